"""ImplicitFactorizationModel with the pooled solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import BilinearNet, ImplicitFactorizationModel, Interactions
from model.evaluation import ItemsByUser
from model.factorization.representations import normalised
from model.solvers.settings import PooledSoftmax
from tests.model.factorization.checkerboard import checkerboard, learnt

SETTINGS: list[dict[str, Any]] = [
    {},
    {"similarity": "dot", "temperature": 2.0},
    {"pool_size": 6},
    {"item_bias": True},
    {"history": 1.0},
    {"negative_weight": 1.2},
    {"block": 1},
    {"top_k": 8},
]


def made(settings: dict[str, Any] | None = None, **arguments: Any) -> ImplicitFactorizationModel:
    given: dict[str, Any] = {"embedding_dim": 4, "n_iter": 40, "batch_size": 32, "learning_rate": 0.1}
    solver = PooledSoftmax(**({"temperature": 0.2} | (settings or {})))
    return ImplicitFactorizationModel("softmax", **(given | {"random_state": 0} | arguments), solver=solver)


def bits(model: ImplicitFactorizationModel) -> list[NDArray[np.float32]]:
    return [parameter.detach().numpy().copy() for parameter in model._fitted().parameters()]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_checkerboard_is_learnt_and_the_items_held_back_are_found(settings: dict[str, Any]) -> None:
    model = made(settings)
    model.fit(checkerboard())
    right, held_back_right = learnt(model)
    assert right > 0.98
    assert held_back_right > 0.9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_checkerboard_is_learnt_on_cuda(settings: dict[str, Any]) -> None:
    # CUDA draws other numbers. Of twelve seeds on the CPU, 40 epochs with `top_k` leave one at .957, 80 none below 1.
    model = made(settings, device="cuda", n_iter=80 if "top_k" in settings else 40)
    model.fit(checkerboard())
    right, held_back_right = learnt(model)
    assert right > 0.98
    assert held_back_right > 0.9


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_seed_gives_the_same_bits_and_another_seed_others(settings: dict[str, Any]) -> None:
    first, again, other = (made(settings, n_iter=2, random_state=seed) for seed in (1, 1, 2))
    for model in (first, again, other):
        model.fit(checkerboard())
    assert all(np.array_equal(one, two) for one, two in zip(bits(first), bits(again), strict=True))
    assert not np.array_equal(bits(first)[0], bits(other)[0])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_vectors_and_biases_give_the_scores(settings: dict[str, Any]) -> None:
    model = made(settings, n_iter=2)
    model.fit(checkerboard())
    scores = model.user_vectors @ model.item_vectors.T
    if settings.get("item_bias"):
        scores = scores + model.item_biases
    everyone, everything = np.divmod(np.arange(256), 16)
    np.testing.assert_allclose(model.predict(everyone, everything).reshape(16, 16), scores, rtol=1e-4, atol=1e-5)
    assert np.array_equal(model.predict(3), model.predict(np.full(16, 3), np.arange(16)))
    assert np.array_equal(model.predict(3)[[5]], model.predict(3, 5))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_model_that_was_saved_goes_on_as_one_that_never_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    straight, stopped = made(settings, n_iter=1), made(settings, n_iter=1)
    straight.fit(checkerboard())
    stopped.fit(checkerboard())
    stopped.save(tmp_path / "model")
    loaded = ImplicitFactorizationModel.load(tmp_path / "model")
    straight.fit(checkerboard())
    loaded.fit(checkerboard())
    assert all(np.array_equal(one, two) for one, two in zip(bits(straight), bits(loaded), strict=True))


def test_weights_decide_between_interactions_that_contradict_each_other() -> None:
    users = np.repeat(np.arange(8), 2)
    items = np.tile([0, 1], 8)
    weights = np.tile([1.0, 0.05], 8)
    interactions = Interactions(users, items, weights=weights, num_users=9, num_items=12)
    model = made({"item_bias": True, "pool_size": 12}, use_weights=True, n_iter=30)
    model.fit(interactions)
    scores = model.predict(np.arange(8), np.zeros(8)) - model.predict(np.arange(8), np.ones(8))
    assert (scores > 0).all()


@pytest.mark.parametrize("settings", [{}, {"pool_size": 1}, {"top_k": 1}], ids=str)
@pytest.mark.parametrize(("users", "items"), [([0], [0]), ([0, 0, 1], [0, 1, 0]), ([0, 0, 0], [0, 1, 2])])
def test_one_user_one_item_and_a_user_who_has_everything_fit(
    users: list[int], items: list[int], settings: dict[str, Any]
) -> None:
    model = made(settings, n_iter=3)
    model.fit(Interactions(users, items))
    assert np.isfinite(model.predict(0)).all()
    assert np.isfinite(model.loss_history).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss": "bpr", "solver": "pooled"}, "'bpr' is not one of softmax"),
        ({"loss": "warp", "solver": PooledSoftmax()}, "'warp' is not one of softmax"),
        ({"loss": "softmax", "solver": "pooled", "negatives": "popularity"}, "takes no negatives='popularity'"),
        ({"loss": "softmax", "solver": "als"}, "'als'"),
        ({"loss": "softmax", "solver": "pooled", "sparse": True}, "takes no .*sparse"),
        ({"loss": "softmax", "solver": "pooled", "representation": BilinearNet(2, 2)}, "takes no representation"),
        ({"loss": "softmax", "solver": "pooled", "optimizer_func": torch.optim.SGD}, "takes no .*optimizer_func"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(arguments: dict[str, Any], words: str) -> None:
    source = np.random.RandomState(0)
    with pytest.raises(ValueError, match=words):
        ImplicitFactorizationModel(**arguments, random_state=source)
    assert source.randint(2**31) == np.random.RandomState(0).randint(2**31)


def test_without_the_pooled_solver_the_softmax_is_trained_on_the_default_net() -> None:
    model = ImplicitFactorizationModel("softmax", embedding_dim=4, n_iter=1, random_state=0, num_negative_samples=7)
    model.fit(checkerboard())
    assert isinstance(model._fitted(), BilinearNet)
    # One of eight at scores near zero.
    assert model.loss_history[0] == pytest.approx(np.log(8), abs=0.1)


def test_torch_s_own_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    made(n_iter=2).fit(checkerboard())
    assert torch.equal(before, torch.get_rng_state())


def test_users_who_are_not_in_a_later_fit_keep_the_mean_of_their_items() -> None:
    model = made({"history": 2.0}, n_iter=2)
    everything = checkerboard()
    model.fit(everything)
    before = model._fitted().user_means.clone()  # type: ignore[union-attr, operator]
    first = everything.user_ids == 0
    model.fit(Interactions(everything.user_ids[first], everything.item_ids[first]))
    after = model._fitted().user_means  # type: ignore[union-attr]
    assert torch.equal(before[1:], after[1:])  # type: ignore[index]
    assert not torch.equal(before[0], after[0])  # type: ignore[index]


def test_a_fit_that_is_cut_short_leaves_the_means_of_its_tables() -> None:
    model, seconds = made({"history": 2.0}, n_iter=9, batch_size=8), iter(range(1_000))
    model.fit(checkerboard(), time_budget=5, clock=lambda: float(next(seconds)))
    assert model.loss_history == []
    known = ItemsByUser.from_pairs(checkerboard().user_ids, checkerboard().item_ids, num_users=model._num_users)
    unit = normalised(model._fitted().item_embeddings.weight.detach())[0].numpy()  # type: ignore[union-attr, operator]
    means = model._fitted().user_means.numpy()  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(means, [unit[known.of(user)].mean(axis=0) for user in range(len(means))], atol=1e-6)
