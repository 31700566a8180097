"""What a fit does: its draws, its steps, its losses, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import ImplicitFactorizationModel, Interactions
from tests.model.factorization.checkerboard import checkerboard, learnt

LOSSES = ["pointwise", "bpr", "hinge", "adaptive_hinge", "log_bpr", "logistic", "warp", "softmax"]
OF_SAMPLES = ["adaptive_hinge", "warp", "softmax"]


def random_interactions(count: int, num_users: int = 6, num_items: int = 9) -> Interactions:
    drawn = np.random.RandomState(0)
    users, items = drawn.randint(0, num_users, count), drawn.randint(0, num_items, count)
    return Interactions(users, items, num_users=num_users, num_items=num_items)


POPULAR = {"negatives": "popularity"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"sparse": True}, {"exclude_positives": True}, POPULAR, POPULAR | {"exclude_positives": True}],
    ids=str,
)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_checkerboard_is_learnt_and_the_items_held_back_are_found(loss: str, settings: dict[str, Any]) -> None:
    model = ImplicitFactorizationModel(
        loss=loss, embedding_dim=2, n_iter=30, batch_size=32, learning_rate=0.05, random_state=0, **settings
    )
    model.fit(checkerboard())
    right, held_back_right = learnt(model)
    # Not 1: the items held back are drawn as negatives like any other.
    assert right > 0.98
    assert held_back_right > 0.9
    assert model.loss_history[-1] < 0.9 * model.loss_history[0]


class Recording(np.random.RandomState):
    """A RandomState that writes down what is asked of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.calls: list[tuple[Any, ...]] = []

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        self.calls.append(("randint", low, high, size, np.dtype(dtype).name))
        return super().randint(low, high, size, dtype)

    def shuffle(self, x: Any) -> None:
        self.calls.append(("shuffle", x.tolist()))
        super().shuffle(x)


@pytest.mark.parametrize("loss", LOSSES)
def test_random_draws_come_in_the_documented_order(loss: str) -> None:
    per_positive = 3 if loss in OF_SAMPLES else 1
    source = Recording(1)
    model = ImplicitFactorizationModel(
        loss=loss, n_iter=2, batch_size=4, random_state=source, num_negative_samples=3, embedding_dim=2
    )
    assert source.calls == [("randint", -(10**8), 10**8, None, "int64")]
    model.fit(random_interactions(10))
    batches = [("randint", 0, 9, size * per_positive, "int64") for size in (4, 4, 2)]
    epoch = [("shuffle", list(range(10))), *batches]
    assert source.calls[1:] == epoch * 2


def plain_term(loss: str, p: torch.Tensor, negatives: torch.Tensor, num_items: int) -> torch.Tensor:
    if loss == "warp":
        close = [k for k, q in enumerate(negatives) if q > p - 1]
        return np.log(1 + (num_items - 1) // (close[0] + 1)) * (1 + negatives[close[0]] - p) if close else 0 * p
    q = negatives.max()
    return {
        "pointwise": lambda: 1 - torch.sigmoid(p) + torch.sigmoid(q),
        "bpr": lambda: 1 - torch.sigmoid(p - q),
        "log_bpr": lambda: -torch.log(torch.sigmoid(p - q)),
        "logistic": lambda: -torch.log(torch.sigmoid(p)) - torch.log(1 - torch.sigmoid(q)),
        "softmax": lambda: torch.log(torch.exp(p) + torch.exp(negatives).sum()) - p,
    }.get(loss, lambda: torch.relu(q - p + 1))()


def plain_fit(
    interactions: Interactions, *, loss: str, epochs: int, batch_size: int, dim: int, lr: float, l2: float, seed: int
) -> tuple[list[NDArray[np.float64]], list[float]]:
    """The same fit in float64 with gradients of whole tables and Adam written out; returns P, Q, b, c and losses."""
    source = np.random.RandomState(seed)
    generator = torch.Generator().manual_seed(int(source.randint(-(10**8), 10**8)))
    U, I = interactions.num_users, interactions.num_items  # noqa: E741 - shape letters
    P = torch.empty(U, dim).normal_(0, 1 / dim, generator=generator).double()
    Q = torch.empty(I, dim).normal_(0, 1 / dim, generator=generator).double()
    parameters = [P, Q, torch.zeros(U).double(), torch.zeros(I).double()]
    means, squares = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    step, history = 0, []
    for _ in range(epochs):
        order = np.arange(len(interactions))
        source.shuffle(order)
        losses = []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            count = 4 if loss in OF_SAMPLES else 1
            negatives = source.randint(0, I, len(rows) * count, dtype=np.int64).reshape(len(rows), count)
            leaves = [p.clone().requires_grad_() for p in parameters]
            terms = []
            for row, own in zip(rows, negatives, strict=True):
                user = int(interactions.user_ids[row])
                P, Q, b, c = leaves

                def score(item: int, user: int = user, P: Any = P, Q: Any = Q, b: Any = b, c: Any = c) -> torch.Tensor:
                    result: torch.Tensor = P[user] @ Q[item] + b[user] + c[item]
                    return result

                p, own_scores = score(int(interactions.item_ids[row])), torch.stack([score(int(n)) for n in own])
                terms.append(plain_term(loss, p, own_scores, I))
            value = torch.stack(terms).mean()
            gradients = torch.autograd.grad(value, leaves)
            step += 1
            for k, gradient in enumerate(gradients):
                decayed = gradient + l2 * parameters[k]
                means[k] = 0.9 * means[k] + 0.1 * decayed
                squares[k] = 0.999 * squares[k] + 0.001 * decayed**2
                update = (means[k] / (1 - 0.9**step)) / ((squares[k] / (1 - 0.999**step)).sqrt() + 1e-8)
                parameters[k] = parameters[k] - lr * update
            losses.append(value.item())
        history.append(sum(losses) / len(losses))
    return [p.numpy() for p in parameters], history


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fit_follows_the_plain_reference(loss: str) -> None:
    interactions = random_interactions(25)
    settings: dict[str, Any] = {"loss": loss, "batch_size": 8}
    expected, history = plain_fit(interactions, **settings, epochs=2, dim=3, lr=0.01, l2=0.01, seed=5)
    model = ImplicitFactorizationModel(
        **settings, n_iter=2, embedding_dim=3, learning_rate=0.01, l2=0.01, random_state=5, num_negative_samples=4
    )
    model.fit(interactions)
    ours = [model.user_vectors, model.item_vectors, model.user_biases, model.item_biases]
    # The bias of a user cancels in a pairwise loss: its gradient is rounding noise, which Adam scales up.
    for name, table, reference in zip("PQbc", ours, expected, strict=True):
        if name != "b" or loss in {"pointwise", "logistic"}:
            np.testing.assert_allclose(table, reference, rtol=1e-3, atol=1e-4, err_msg=name)
    assert model.loss_history == pytest.approx(history, rel=1e-4)


def test_the_first_fit_starts_from_the_drawn_tables() -> None:
    source = np.random.RandomState(11)
    model = ImplicitFactorizationModel(n_iter=0, embedding_dim=4, random_state=np.random.RandomState(11))
    model.fit(random_interactions(5))
    generator = torch.Generator().manual_seed(int(source.randint(-(10**8), 10**8)))
    assert np.array_equal(model.user_vectors, torch.empty(6, 4).normal_(0, 0.25, generator=generator).numpy())
    assert np.array_equal(model.item_vectors, torch.empty(9, 4).normal_(0, 0.25, generator=generator).numpy())
    assert not model.user_biases.any()
    assert not model.item_biases.any()
    assert model.loss_history == []


@pytest.mark.parametrize("settings", [{}, {"exclude_positives": True}, {"sparse": True}], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("count", "batch_size"), [(5, 1), (5, 4), (1, 256)])
def test_a_batch_of_one_and_one_dimension_are_no_special_cases(
    loss: str, settings: dict[str, Any], count: int, batch_size: int
) -> None:
    model = ImplicitFactorizationModel(
        loss=loss, n_iter=2, batch_size=batch_size, embedding_dim=1, random_state=0, **settings
    )
    model.fit(random_interactions(count))
    assert np.isfinite(model.predict(0)).all()
    assert len(model.loss_history) == 2


@pytest.mark.parametrize("exclude_positives", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_one_user_and_one_item_fit(loss: str, exclude_positives: bool) -> None:
    model = ImplicitFactorizationModel(
        loss=loss, n_iter=2, embedding_dim=2, random_state=0, exclude_positives=exclude_positives
    )
    model.fit(Interactions([0], [0]))
    assert model.predict(0).shape == (1,)
    assert np.isfinite(model.predict(0)).all()


@pytest.mark.parametrize("loss", ["hinge", "adaptive_hinge"])
def test_a_loss_of_exactly_zero_is_convergence(loss: str) -> None:
    model = ImplicitFactorizationModel(loss=loss, n_iter=300, random_state=0, learning_rate=0.1, exclude_positives=True)
    model.fit(Interactions([0], [1], num_items=3))
    assert model.loss_history[-1] == 0.0
    assert model.predict(0).argmax() == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_that_is_not_finite_names_its_epoch(loss: str) -> None:
    interactions = random_interactions(20)
    model = ImplicitFactorizationModel(loss=loss, n_iter=5, random_state=0)

    def spoil(epoch: int, loss: float) -> None:
        if epoch == 2:
            with torch.no_grad():
                next(model._fitted().parameters()).fill_(float("nan"))

    with pytest.raises(ValueError, match="the loss of epoch 3 is nan"):
        model.fit(interactions, on_epoch=spoil)
    assert len(model.loss_history) == 2


def test_an_infinite_loss_is_an_error_too() -> None:
    model = ImplicitFactorizationModel(loss="hinge", n_iter=3, random_state=0, learning_rate=1e25)
    with pytest.raises(ValueError, match=r"the loss of epoch [12] is (inf|nan)"):
        model.fit(random_interactions(20))


def test_ratings_timestamps_and_weights_change_nothing_by_default() -> None:
    plain = random_interactions(30)
    columns = {name: np.random.RandomState(2).uniform(size=30) for name in ("ratings", "timestamps", "weights")}
    rich = Interactions(plain.user_ids, plain.item_ids, num_users=6, num_items=9, **columns)
    predictions = []
    for interactions in (plain, rich):
        model = ImplicitFactorizationModel(n_iter=2, random_state=0)
        model.fit(interactions)
        predictions.append(model.predict(1))
    assert np.array_equal(predictions[0], predictions[1])


def weighted_fit(weights: list[float] | None, **settings: Any) -> ImplicitFactorizationModel:
    model = ImplicitFactorizationModel(
        n_iter=3, batch_size=8, embedding_dim=2, random_state=0, use_weights=True, **settings
    )
    plain = random_interactions(20)
    model.fit(Interactions(plain.user_ids, plain.item_ids, weights=weights, num_users=6, num_items=9))
    return model


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_weights_train_like_none_and_only_ratios_matter(loss: str) -> None:
    none = weighted_fit(None, loss=loss)
    ones = weighted_fit([4.0] * 20, loss=loss)
    np.testing.assert_allclose(ones.item_vectors, none.item_vectors, rtol=1e-4, atol=1e-5)
    uneven = [1.0 + k % 3 for k in range(20)]
    assert np.array_equal(
        weighted_fit(uneven, loss=loss).item_vectors, weighted_fit([8 * w for w in uneven], loss=loss).item_vectors
    )
    assert not np.allclose(weighted_fit(uneven, loss=loss).item_vectors, none.item_vectors, atol=1e-3)


def test_a_batch_loss_is_the_weighted_mean() -> None:
    weights = np.array([1.0, 3.0, 0.5])
    interactions = Interactions([0, 1, 2], [0, 1, 2], weights=weights)
    model = ImplicitFactorizationModel(
        loss="pointwise", n_iter=1, learning_rate=0.0, random_state=0, embedding_dim=2, use_weights=True
    )
    model.fit(interactions)
    replay = np.random.RandomState(0)
    replay.randint(-(10**8), 10**8)
    order = np.arange(3)
    replay.shuffle(order)
    negatives = replay.randint(0, 3, 3, dtype=np.int64)
    p, q = model.predict(order, order), model.predict(order, negatives)
    elements = (1 - 1 / (1 + np.exp(-p))) + 1 / (1 + np.exp(-q))
    expected = (elements * weights[order]).sum() / weights.sum()
    assert model.loss_history == pytest.approx([expected], rel=1e-5)


def test_an_interaction_of_weight_zero_is_not_there() -> None:
    plain = random_interactions(20)
    kept = np.arange(20) % 4 != 0
    weighted = weighted_fit(kept.astype(float).tolist(), loss="bpr")
    model = ImplicitFactorizationModel(loss="bpr", n_iter=3, batch_size=8, embedding_dim=2, random_state=0)
    model.fit(Interactions(plain.user_ids[kept], plain.item_ids[kept], num_users=6, num_items=9))
    np.testing.assert_allclose(weighted.item_vectors, model.item_vectors, rtol=1e-4, atol=1e-5)


def test_wrong_weights_are_refused_before_anything_happens() -> None:
    source = Recording(0)
    model = ImplicitFactorizationModel(random_state=source, use_weights=True)
    with pytest.raises(ValueError, match="weight nan of interaction 1"):
        model.fit(Interactions([0, 1], [0, 1], weights=[1.0, float("nan")]))
    assert "uninitialised" in repr(model)
    assert len(source.calls) == 1


def test_excluded_positives_are_never_pushed_down() -> None:
    """With two of three items each, the third is the only negative: nothing else may lose."""
    interactions = Interactions([0, 0, 1, 1], [0, 1, 1, 2])
    before = ImplicitFactorizationModel(n_iter=0, random_state=0)
    before.fit(interactions)
    after = ImplicitFactorizationModel(
        loss="pointwise", n_iter=1, random_state=0, exclude_positives=True, learning_rate=1e-4
    )
    after.fit(interactions)
    rises = np.array([after.predict(user) - before.predict(user) for user in (0, 1)])
    # Item 1 is a positive of both users; items 0 and 2 are a positive of one and the negative of the other.
    assert (rises[:, 1] > 0).all()
    assert rises[0, 0] > rises[0, 2]
    assert rises[1, 2] > rises[1, 0]


@pytest.mark.parametrize("exclude_positives", [False, True])
def test_with_negatives_by_popularity_an_item_nobody_chose_is_never_pushed_down(exclude_positives: bool) -> None:
    interactions = Interactions([0, 0, 1, 1], [0, 1, 1, 2], num_items=5)
    model = ImplicitFactorizationModel(
        "logistic", n_iter=9, random_state=0, negatives="popularity", exclude_positives=exclude_positives
    )
    model.fit(interactions)
    assert (model.item_biases[:3] != 0).all()
    assert (model.item_biases[3:] == 0).all()


def test_adaptive_hinge_scores_a_users_negatives_with_that_user() -> None:
    """Each user sits apart in the tables: a negative scored with another user would have the score 0, not 5."""
    interactions = Interactions(np.arange(4), np.arange(4))
    model = ImplicitFactorizationModel(
        loss="adaptive_hinge", n_iter=0, embedding_dim=4, random_state=0, num_negative_samples=200, learning_rate=0.0
    )
    model.fit(interactions)
    P, Q, _, _ = model._fitted().parameters()
    with torch.no_grad():
        P.copy_(torch.eye(4))
        Q.copy_(torch.diag(torch.full((4,), 5.0)))
    model._n_iter = 1
    model.fit(interactions)
    # With 200 samples a user's hardest negative is the positive itself: margin 1 exactly.
    assert model.loss_history == [1.0]


def test_verbose_prints_one_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    model = ImplicitFactorizationModel(n_iter=2, random_state=0)
    model.fit(random_interactions(20), True)
    first, second = model.loss_history
    assert capsys.readouterr().out == f"Epoch 1: loss {first}\nEpoch 2: loss {second}\n"
    model.fit(random_interactions(20))
    assert capsys.readouterr().out == ""


def test_callbacks_see_every_epoch_and_every_batch_in_order() -> None:
    events: list[Any] = []
    model = ImplicitFactorizationModel(n_iter=2, batch_size=8, random_state=0)
    model.fit(
        random_interactions(20),
        on_epoch=lambda epoch, loss: events.append((epoch, loss)),
        on_batch=lambda: events.append("batch"),
    )
    first, second = model.loss_history
    assert events == ["batch"] * 3 + [(1, first)] + ["batch"] * 3 + [(2, second)]


def test_an_exception_of_the_batch_callback_ends_the_fit_and_the_model_stays_usable() -> None:
    class CancelledError(Exception):
        pass

    def cancel() -> None:
        raise CancelledError

    model = ImplicitFactorizationModel(n_iter=5, batch_size=8, random_state=0)
    with pytest.raises(CancelledError):
        model.fit(random_interactions(20), on_batch=cancel)
    assert model.loss_history == []
    model.fit(random_interactions(20))
    assert np.isfinite(model.predict(0)).all()


def test_the_penalty_reaches_rows_without_interactions() -> None:
    interactions = Interactions([0, 1, 0], [0, 1, 2], num_users=3)
    start, free, held = (
        ImplicitFactorizationModel(n_iter=n, random_state=0, embedding_dim=4, l2=l2)
        for n, l2 in ((0, 0.0), (5, 0.0), (5, 0.1))
    )
    for model in (start, free, held):
        model.fit(interactions)
    assert np.array_equal(free.user_vectors[2], start.user_vectors[2])
    assert (np.abs(held.user_vectors[2]) < np.abs(start.user_vectors[2])).all()


def test_sparse_training_leaves_users_without_interactions_where_they_started() -> None:
    start, trained = (
        ImplicitFactorizationModel(n_iter=n, random_state=0, embedding_dim=4, l2=0.1, sparse=True) for n in (0, 3)
    )
    interactions = Interactions([0, 1, 0], [0, 1, 2], num_users=3)
    for model in (start, trained):
        model.fit(interactions)
    assert np.array_equal(start.user_vectors[2], trained.user_vectors[2])
    assert not np.array_equal(start.user_vectors[0], trained.user_vectors[0])
