"""ImplicitFactorizationModel with the compiled solvers: minibatches of Spotlight's kind, and single interactions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import BilinearNet, CompiledSGD, ImplicitFactorizationModel, Interactions
from model.evaluation import ItemsByUser, evaluate
from model.solvers.settings import BATCH_LOSSES, SGD_LOSSES, PooledSoftmax
from tests.model.factorization.checkerboard import checkerboard, learnt

# The first test of each kernel compiles it, which takes seven seconds.
pytestmark = pytest.mark.slow

SGD = [CompiledSGD("sgd"), CompiledSGD("adagrad"), CompiledSGD("sgd", threads=2)]


def made(loss: str, solver: Any, **changed: Any) -> ImplicitFactorizationModel:
    given = {"embedding_dim": 4, "n_iter": 60, "batch_size": 16, "learning_rate": 0.05, "random_state": 0}
    return ImplicitFactorizationModel(loss, **(given | changed), solver=solver)


def crowd(*, weights: bool = False, users: int = 60, items: int = 300) -> Interactions:
    generator = np.random.default_rng(4)
    pairs = generator.choice(users * items, 1_500, replace=False)
    drawn = generator.uniform(0, 3, len(pairs)).round() if weights else None
    return Interactions(pairs // items, pairs % items, weights=drawn, num_users=users, num_items=items)


def tables(model: ImplicitFactorizationModel) -> list[np.ndarray]:
    return [model.user_vectors, model.item_vectors, model.user_biases, model.item_biases]


@pytest.mark.parametrize("loss", BATCH_LOSSES)
def test_the_checkerboard_is_learnt_in_compiled_batches(loss: str) -> None:
    model = made(loss, "compiled", exclude_positives=True)
    model.fit(checkerboard())
    right, held_back_right = learnt(model)
    assert right > 0.95
    assert held_back_right > 0.9


@pytest.mark.parametrize("solver", SGD, ids=str)
@pytest.mark.parametrize("loss", SGD_LOSSES)
def test_the_checkerboard_is_learnt_one_interaction_at_a_time(loss: str, solver: CompiledSGD) -> None:
    rate = 0.02 if loss == "warp" else 0.3 if loss in {"bpr", "pointwise"} else 0.1
    model = made(loss, solver, n_iter=200, learning_rate=rate)
    model.fit(checkerboard())
    right, held_back_right = learnt(model)
    assert right > 0.95
    assert held_back_right > 0.9


@pytest.mark.parametrize("changed", [{}, {"use_weights": True}, {"exclude_positives": True}, {"l2": 0.01}], ids=str)
@pytest.mark.parametrize("loss", ["pointwise", "bpr", "log_bpr", "logistic"])
def test_compiled_batches_have_the_losses_and_tables_of_autograd(loss: str, changed: dict[str, Any]) -> None:
    interactions = crowd(weights=True)
    compiled, general = (made(loss, solver, n_iter=4, batch_size=100, **changed) for solver in ("compiled", "autograd"))
    for model in (compiled, general):
        model.fit(interactions)
    np.testing.assert_allclose(compiled.loss_history, general.loss_history, atol=1e-5)
    for ours, theirs in zip(tables(compiled), tables(general), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("loss", ["hinge", "adaptive_hinge"])
def test_a_compiled_step_of_a_hinge_is_that_of_autograd(loss: str) -> None:
    # One step: over many, a pair at the very edge of the margin may fall to either side by rounding.
    interactions = crowd()
    compiled, general = (made(loss, solver, n_iter=1, batch_size=2_000) for solver in ("compiled", "autograd"))
    for model in (compiled, general):
        model.fit(interactions)
    np.testing.assert_allclose(compiled.loss_history, general.loss_history, atol=1e-5)
    for ours, theirs in zip(tables(compiled), tables(general), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("solver", ["compiled", *SGD], ids=str)
def test_a_seed_gives_the_same_bits_and_another_seed_others(solver: Any) -> None:
    first, again, other = (made("log_bpr", solver, n_iter=3, random_state=seed) for seed in (1, 1, 2))
    for model in (first, again, other):
        model.fit(crowd())
    assert all(np.array_equal(one, two) for one, two in zip(tables(first), tables(again), strict=True))
    assert not np.array_equal(first.item_vectors, other.item_vectors)


@pytest.mark.parametrize("solver", ["compiled", *SGD], ids=str)
def test_a_model_that_was_put_down_and_grown_goes_on_as_if_it_had_not(solver: Any, tmp_path: Path) -> None:
    straight, stopped = (made("log_bpr", solver, n_iter=2) for _ in range(2))
    for model in (straight, stopped):
        model.fit(crowd())
    stopped.save(tmp_path / "model")
    stopped = ImplicitFactorizationModel.load(tmp_path / "model")
    for model in (straight, stopped):
        model.grow(num_users=70, num_items=320)
        model.fit(crowd())
    assert all(np.array_equal(one, two) for one, two in zip(tables(straight), tables(stopped), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("loss", SGD_LOSSES)
def test_one_interaction_moves_its_rows_by_the_gradient(loss: str, optimizer: Any) -> None:
    # Two items: the one that was not chosen is the only negative.
    interactions = Interactions([0], [1], num_users=2, num_items=2)
    model = made(loss, CompiledSGD(optimizer), n_iter=0, learning_rate=0.1, l2=0.02)
    model.fit(interactions)
    users, items = (torch.tensor(each, requires_grad=True) for each in (model.user_vectors, model.item_vectors))
    biases = torch.zeros(2, requires_grad=True)
    scores = users[0] @ items.T + biases
    other, chosen = scores[:1], scores[1:]
    from model.losses import LOSSES, warp_loss

    value = warp_loss(chosen, other[None], num_items=2) if loss == "warp" else LOSSES[loss](chosen, other)
    penalty = 0.01 * ((users[0] ** 2).sum() + (items**2).sum() + (biases**2).sum())
    torch.autograd.backward(value + penalty)

    model._n_iter = 1
    model.fit(interactions)

    assert model.loss_history[-1] == pytest.approx(value.item(), rel=1e-4)
    for before, after in ((users, model.user_vectors), (items, model.item_vectors), (biases, model.item_biases)):
        assert before.grad is not None
        step = before.grad if optimizer == "sgd" else before.grad / (before.grad.abs() + 1e-10)
        np.testing.assert_allclose(after, (before - 0.1 * step).detach().numpy(), atol=1e-4)


def test_a_users_own_items_are_never_negatives() -> None:
    # User 0 has all items but one, and only that one may fall.
    interactions = Interactions([0] * 9, np.arange(9), num_users=1, num_items=10)
    model = made("log_bpr", CompiledSGD(), n_iter=50)
    model.fit(interactions)
    assert (model.item_biases[:9] > 0).all()
    assert model.item_biases[9] < 0


@pytest.mark.parametrize("solver", ["compiled", *SGD], ids=str)
def test_a_user_who_has_everything_and_a_single_item_fit(solver: Any) -> None:
    for interactions in (Interactions([0, 0, 1], [0, 1, 0]), Interactions([0], [0])):
        model = made("bpr", solver, n_iter=2)
        model.fit(interactions)
        assert all(np.isfinite(table).all() for table in tables(model))


def test_interactions_of_weight_zero_teach_nothing_and_others_by_their_weight() -> None:
    half = Interactions([0, 1, 1], [0, 1, 2], weights=[0.0, 1.0, 3.0], num_items=40)
    model = made("log_bpr", CompiledSGD(), n_iter=30, use_weights=True)
    before = made("log_bpr", CompiledSGD(), n_iter=0, use_weights=True)
    for each in (model, before):
        each.fit(half)
    assert np.array_equal(model.user_vectors[0], before.user_vectors[0])
    assert model.item_biases[2] > model.item_biases[1] > 0


@pytest.mark.parametrize("solver", ["compiled", CompiledSGD()], ids=str)
def test_a_fit_can_be_given_up_between_batches(solver: Any) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        made("bpr", solver).fit(crowd(), on_batch=stop)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"loss": "warp", "solver": "compiled"}, "'warp' is not one of pointwise"),
        ({"loss": "adaptive_hinge", "solver": CompiledSGD()}, "'adaptive_hinge' is not one of pointwise"),
        ({"loss": "bpr", "solver": CompiledSGD(), "negatives": "popularity"}, "takes no negatives='popularity'"),
        ({"loss": "bpr", "solver": "compiled", "sparse": True}, "compiled solver .* no representation"),
        ({"loss": "bpr", "solver": CompiledSGD(), "representation": BilinearNet(2, 2)}, "takes no representation"),
        ({"loss": "bpr", "solver": "compiled", "use_cuda": True}, "works on the CPU"),
    ],
    ids=str,
)
def test_what_a_compiled_solver_cannot_do_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ImplicitFactorizationModel(**arguments)


@pytest.mark.parametrize(("wrong", "problem"), [({"optimizer": "adam"}, "'adam'"), ({"threads": 0}, "threads is 0")])
def test_settings_outside_their_limits_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CompiledSGD(**wrong)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_interaction_is_met_once_whatever_the_threads_and_however_uneven_the_items(threads: int) -> None:
    generator, count = np.random.default_rng(0), 900_000
    items = generator.integers(0, 4_000, count)
    items[generator.random(count) < 0.7] = 17
    users = generator.integers(0, 5_000, count)
    many = Interactions(users, items, num_users=5_000, num_items=4_000)
    # So small a step that every loss is that of equal scores, log 2; two thirds of them may be one thread's.
    model = ImplicitFactorizationModel(
        "log_bpr", 16, n_iter=1, learning_rate=1e-9, random_state=1, solver=CompiledSGD(threads=threads)
    )

    model.fit(many)

    assert model.loss_history[0] == pytest.approx(np.log(2), rel=1e-3)


def popular_neighbours() -> tuple[Interactions, ItemsByUser, ItemsByUser]:
    """Half of all interactions are of 16 items that have neighbouring numbers; what is to be found as well."""
    generator, users = np.random.default_rng(0), 1_000

    def items(count: int) -> NDArray[np.int64]:
        popular = generator.random(count) < 0.5
        return np.where(popular, generator.integers(0, 16, count), generator.integers(16, 1_000, count))

    known = Interactions(generator.integers(0, users, 10_000), items(10_000), num_users=users, num_items=1_000)
    wanted = ItemsByUser.from_pairs(np.arange(users), items(users), num_users=users)
    return known, ItemsByUser.from_pairs(known.user_ids, known.item_ids, num_users=users), wanted


@pytest.mark.parametrize("threads", [2, 4, 7])
def test_popular_items_with_neighbouring_numbers_are_contrasted_with_others_on_any_number_of_threads(
    threads: int,
) -> None:
    known, seen, wanted = popular_neighbours()
    found = []
    for each in (1, threads):
        solver = CompiledSGD(threads=each)
        model = ImplicitFactorizationModel("log_bpr", 4, learning_rate=0.1, random_state=1, solver=solver)
        model.fit(known)
        users, items, biases = model.user_vectors, model.item_vectors, model.item_biases
        scores = evaluate(lambda some, u=users, i=items, b=biases: u[some] @ i.T + b, wanted, seen=seen)
        found.append(scores.ndcg.mean())
    assert found[1] > 0.9 * found[0]


@pytest.mark.parametrize(("loss", "solver"), [("hinge", "compiled"), ("adaptive_hinge", "compiled"), *(
    (loss, CompiledSGD()) for loss in ("hinge", "warp")
)])  # fmt: skip
def test_what_is_not_a_number_is_no_loss_of_zero(loss: str, solver: Any) -> None:
    generator = np.random.default_rng(0)
    some = Interactions(generator.integers(0, 30, 400), generator.integers(0, 50, 400), num_users=30, num_items=50)
    model = ImplicitFactorizationModel(
        loss, 64, n_iter=3, learning_rate=1e30, batch_size=400, random_state=1, solver=solver
    )
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="the loss of epoch"):
        model.fit(some)


def test_a_user_who_has_everything_may_have_weights() -> None:
    model = ImplicitFactorizationModel("bpr", 1, n_iter=1, solver=CompiledSGD(), use_weights=True)
    model.fit(Interactions([0], [0], weights=[2.0]))
    assert model.loss_history == [0.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: CompiledSGD(threads=1.5),  # type: ignore[arg-type]
        lambda: PooledSoftmax(pool_size=10.5),  # type: ignore[arg-type]
        lambda: PooledSoftmax(block=float("nan")),  # type: ignore[arg-type]
        lambda: PooledSoftmax(top_k=1.5),  # type: ignore[arg-type]
    ],
)
def test_numbers_that_are_not_whole_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="whole number"):
        make()


def test_settings_hold_plain_numbers() -> None:
    settings = PooledSoftmax(temperature=np.float64(0.2), block=np.int64(4))  # type: ignore[arg-type]
    assert [type(value) for value in (settings.temperature, settings.block)] == [float, int]


@pytest.mark.parametrize("solver", [["compiled"], {"foo": 1}, {"threads": 1, "foo": 1}, "fast"])
def test_a_solver_that_there_is_not_is_refused(solver: Any) -> None:
    with pytest.raises(ValueError, match="is not autograd, compiled, pooled"):
        ImplicitFactorizationModel(solver=solver)
