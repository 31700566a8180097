"""The model of ratings: what is its own. What it shares with the implicit model is tested for both there."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import Interactions, NotFittedError
from model.factorization.explicit import ExplicitFactorizationModel
from model.factorization.implicit import ImplicitFactorizationModel

LOSSES = ["regression", "poisson", "logistic"]
USERS, ITEMS = 7, 11


def rated(count: int = 60, *, seed: int = 0, **columns: Any) -> Interactions:
    drawn = np.random.RandomState(seed)
    users, items = drawn.randint(0, USERS, count), drawn.randint(0, ITEMS, count)
    ratings = drawn.randint(0, 2, count)
    return Interactions(
        users, items, num_users=USERS, num_items=ITEMS, **({"ratings": ratings.astype(np.float32)} | columns)
    )


def fitted(interactions: Interactions | None = None, **settings: Any) -> ExplicitFactorizationModel:
    arguments: dict[str, Any] = {"n_iter": 2, "batch_size": 16, "embedding_dim": 4, "random_state": 3} | settings
    model = ExplicitFactorizationModel(**arguments)
    model.fit(rated() if interactions is None else interactions)
    return model


def tables(model: ExplicitFactorizationModel) -> list[NDArray[np.float32]]:
    return [model.user_vectors, model.item_vectors, model.user_biases, model.item_biases]


def assert_same_bits(left: ExplicitFactorizationModel, right: ExplicitFactorizationModel) -> None:
    for ours, theirs in zip(tables(left), tables(right), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_arguments_are_those_of_the_implicit_model_without_its_negatives() -> None:
    ours, theirs = (
        dict(inspect.signature(model).parameters) for model in (ExplicitFactorizationModel, ImplicitFactorizationModel)
    )
    assert ours.pop("loss").default == "regression"
    assert theirs.pop("loss").default == "pointwise"
    shared = [name for name in theirs if name in ours]
    assert list(ours) == shared
    assert all(ours[name] == theirs[name] for name in shared)
    assert shared[:10] == list(theirs)[:10]


@pytest.mark.parametrize("loss", ["pointwise", "adaptive_hinge", "mse"])
def test_a_loss_of_implicit_feedback_is_refused(loss: str) -> None:
    with pytest.raises(ValueError, match=f"loss '{loss}' is not one of regression, poisson, logistic"):
        ExplicitFactorizationModel(loss=loss)


# What is learnt


def plain_fit(interactions: Interactions, loss: str, *, epochs: int, batch: int) -> tuple[list[Any], list[float]]:
    """The fit in float64 with gradients of whole tables and Adam written out; returns P, Q, b, c and the losses."""
    source = np.random.RandomState(5)
    generator = torch.Generator().manual_seed(int(source.randint(-(10**8), 10**8)))
    tables = [torch.empty(rows, 3).normal_(0, 1 / 3, generator=generator).double() for rows in (USERS, ITEMS)]
    tables += [torch.zeros(USERS).double(), torch.zeros(ITEMS).double()]
    means, squares = [torch.zeros_like(t) for t in tables], [torch.zeros_like(t) for t in tables]
    step, history = 0, []
    ratings = interactions.ratings
    assert ratings is not None
    for _ in range(epochs):
        order = np.arange(len(interactions))
        source.shuffle(order)
        losses = []
        for rows in (order[start : start + batch] for start in range(0, len(order), batch)):
            P, Q, b, c = leaves = [t.clone().requires_grad_() for t in tables]
            terms = []
            for row in rows:
                user, item, o = int(interactions.user_ids[row]), int(interactions.item_ids[row]), float(ratings[row])
                z = P[user] @ Q[item] + b[user] + c[item]
                if loss == "regression":
                    terms.append((o - z) ** 2)
                elif loss == "poisson":
                    terms.append(torch.exp(z) - o * z)
                else:
                    terms.append(-torch.log(torch.sigmoid(z if o > 0 else -z)))
            value = torch.stack(terms).mean()
            step += 1
            for k, gradient in enumerate(torch.autograd.grad(value, leaves)):
                decayed = gradient + 0.01 * tables[k]
                means[k] = 0.9 * means[k] + 0.1 * decayed
                squares[k] = 0.999 * squares[k] + 0.001 * decayed**2
                update = (means[k] / (1 - 0.9**step)) / ((squares[k] / (1 - 0.999**step)).sqrt() + 1e-8)
                tables[k] = tables[k] - 0.01 * update
            losses.append(value.item())
        history.append(sum(losses) / len(losses))
    return [table.numpy() for table in tables], history


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fit_follows_the_plain_reference(loss: str) -> None:
    interactions = rated(25)
    expected, history = plain_fit(interactions, loss, epochs=2, batch=8)
    model = fitted(interactions, loss=loss, batch_size=8, embedding_dim=3, l2=0.01, random_state=5)
    for name, table, reference in zip("PQbc", tables(model), expected, strict=True):
        np.testing.assert_allclose(table, reference, rtol=1e-3, atol=1e-4, err_msg=name)
    assert model.loss_history == pytest.approx(history, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("loss", "high", "low"), [("regression", 4.5, 1.5), ("poisson", 6.0, 1.0), ("logistic", 1.0, -1.0)]
)
def test_a_checkerboard_of_ratings_is_learnt_and_a_rating_held_back_is_found(
    loss: str, high: float, low: float, sparse: bool
) -> None:
    users, items = (grid.ravel() for grid in np.divmod(np.arange(256).reshape(16, 16), 16))
    ratings = np.where((users + items) % 2 == 0, high, low)
    kept = items != (users + 2) % 16
    model = ExplicitFactorizationModel(
        loss=loss, embedding_dim=2, n_iter=40, batch_size=32, learning_rate=0.05, random_state=0, sparse=sparse
    )
    model.fit(Interactions(users[kept], items[kept], ratings=ratings[kept], num_users=16, num_items=16))
    target = {1.0: 1.0, -1.0: 0.0} if loss == "logistic" else {high: high, low: low}
    expected = np.array([target[rating] for rating in ratings[~kept].tolist()])
    assert np.abs(model.predict(users[~kept], items[~kept]) - expected).max() < 0.2 * high


def test_equal_weights_train_like_none_and_others_do_not() -> None:
    none = fitted(use_weights=True)
    np.testing.assert_allclose(
        fitted(rated(weights=np.full(60, 4.0)), use_weights=True).item_vectors, none.item_vectors, rtol=1e-4, atol=1e-5
    )
    uneven = rated(weights=1.0 + np.arange(60) % 3)
    assert not np.allclose(fitted(uneven, use_weights=True).item_vectors, none.item_vectors, atol=1e-3)
    assert_same_bits(fitted(uneven), fitted())


@pytest.mark.parametrize("loss", LOSSES)
def test_one_user_and_one_item_in_one_dimension_fit(loss: str) -> None:
    model = fitted(Interactions([0], [0], ratings=[1.0]), loss=loss, embedding_dim=1, batch_size=1)
    assert model.predict(0).shape == model.predict(0, 0).shape == (1,)
    assert np.isfinite(model.predict(0)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_fit_on_cuda_follows_the_fit_on_the_cpu(loss: str) -> None:
    on_cuda, on_cpu = fitted(loss=loss, use_cuda=True), fitted(loss=loss)
    np.testing.assert_allclose(on_cuda.predict(1), on_cpu.predict(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(on_cuda.loss_history, on_cpu.loss_history, rtol=1e-4)


# What is predicted


def test_predictions_are_scores_exponentials_or_probabilities() -> None:
    regression, poisson, logistic = (fitted(loss=loss, n_iter=0) for loss in LOSSES)
    scores = regression.predict(2)
    P, Q, b, c = tables(regression)
    np.testing.assert_allclose(scores, Q @ P[2] + b[2] + c, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(poisson.predict(2), np.exp(scores), rtol=1e-6)
    np.testing.assert_allclose(logistic.predict(2), 1 / (1 + np.exp(-scores)), rtol=1e-6)
    assert poisson.predict(2).dtype == logistic.predict(2).dtype == np.float32


@pytest.mark.parametrize("loss", LOSSES)
def test_all_forms_give_the_same_bits_for_the_same_pair(loss: str) -> None:
    model = fitted(loss=loss, embedding_dim=5)
    everything = model.predict(2)
    order = [3, 0, 3, 10]
    assert np.array_equal(model.predict(2, order), everything[order])
    assert np.array_equal(model.predict([2] * 4, order), everything[order])
    assert [model.predict(2, item)[0] for item in order] == everything[order].tolist()


# Going on


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_two_fits_of_one_epoch_equal_one_fit_of_two_bit_for_bit(loss: str, sparse: bool) -> None:
    whole = fitted(loss=loss, sparse=sparse, l2=1e-3)
    halves = fitted(loss=loss, sparse=sparse, l2=1e-3, n_iter=1)
    halves.predict(0)
    halves.fit(rated())
    assert_same_bits(halves, whole)
    assert halves.loss_history == whole.loss_history


def test_an_epoch_takes_one_shuffle_and_nothing_else() -> None:
    source, replay = np.random.RandomState(1), np.random.RandomState(1)
    fitted(random_state=source)
    replay.randint(-(10**8), 10**8)
    for _ in range(2):
        replay.shuffle(np.arange(60))
    assert source.randint(10**6) == replay.randint(10**6)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"ratings": None}, TypeError, "needs interactions with ratings"),
        ({"ratings": np.full(60, np.nan)}, ValueError, "rating nan of interaction 0"),
        ({"ratings": np.full(60, np.inf)}, ValueError, "rating inf of interaction 0"),
        ({"weights": np.full(60, -1.0)}, ValueError, r"weight -1\.0 of interaction 0"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_before_anything_has_changed(
    columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    fresh = ExplicitFactorizationModel(random_state=3, use_weights=True)
    with pytest.raises(error, match=message):
        fresh.fit(rated(**columns))
    assert repr(fresh) == "<ExplicitFactorizationModel: [uninitialised]>"
    with pytest.raises(NotFittedError):
        fresh.predict(0)
    model, twin = fitted(use_weights=True), fitted(use_weights=True)
    with pytest.raises(error, match=message):
        model.fit(rated(**columns))
    model.fit(rated())
    twin.fit(rated())
    assert_same_bits(model, twin)
