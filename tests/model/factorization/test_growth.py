"""A fitted model with room for more users and items, for every loss of both models and the pooled solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import BilinearNet, ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions, NotFittedError
from model.factorization.base import FactorizationModel
from model.losses import LOSSES, RATING_LOSSES

EVERY_MODEL = [*LOSSES, "pooled", *(f"explicit {loss}" for loss in RATING_LOSSES)]


def drawn(users: int, items: int, count: int = 60) -> Interactions:
    source = np.random.RandomState(users)
    columns = source.randint(0, users, count), source.randint(0, items, count)
    return Interactions(*columns, ratings=source.randint(0, 2, count), num_users=users, num_items=items)


FEW, MORE = drawn(6, 9), drawn(10, 15)


def made(kind: str, **settings: Any) -> FactorizationModel[Any]:
    arguments: dict[str, Any] = {"n_iter": 2, "batch_size": 16, "embedding_dim": 4, "random_state": 3} | settings
    if kind == "pooled":
        return ImplicitFactorizationModel("softmax", solver="pooled", **arguments)
    if kind.startswith("explicit "):
        return ExplicitFactorizationModel(kind.removeprefix("explicit "), **arguments)
    return ImplicitFactorizationModel(kind, **arguments)


def tables(model: FactorizationModel[Any]) -> dict[str, torch.Tensor]:
    """The net and, table by table, the moments of its optimizer."""
    assert model._optimizer is not None
    named = {f"net {name}": value.detach().clone() for name, value in model._fitted().named_parameters()}
    for number, state in model._optimizer.state_dict()["state"].items():
        named |= {f"{number} {name}": value.clone() for name, value in state.items() if np.ndim(value)}
    return named


SPARSE_OR_NOT = [
    (kind, sparse) for kind in EVERY_MODEL for sparse in (False, True) if (kind, sparse) != ("pooled", True)
]


@pytest.mark.parametrize(("kind", "sparse"), SPARSE_OR_NOT)
def test_what_was_trained_stays_and_new_rows_have_moments_of_zero(kind: str, sparse: bool) -> None:
    model = made(kind, sparse=sparse)
    model.fit(FEW)
    before = tables(model)
    model.grow(num_users=10, num_items=15)
    after = tables(model)
    assert list(after) == list(before)
    assert len(after) > len(before) / 2
    for name, values in before.items():
        assert torch.equal(after[name][: len(values)], values)
        assert len(after[name]) in {10, 15}
        if not name.startswith("net"):
            assert not after[name][len(values) :].any()


@pytest.mark.parametrize(("kind", "sparse"), SPARSE_OR_NOT)
def test_a_grown_model_learns_more_users_and_items_saved_or_not(kind: str, sparse: bool, tmp_path: Path) -> None:
    model = made(kind, sparse=sparse)
    model.fit(FEW)
    model.grow(num_users=10, num_items=15)
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    before = tables(model)["net user_embeddings.weight"]
    for each in (model, again):
        each.fit(MORE)
    assert all(torch.equal(values, tables(again)[name]) for name, values in tables(model).items())
    assert (tables(model)["net user_embeddings.weight"] != before)[6:].any()
    assert np.isfinite(model.predict(9)).all()
    assert len(model.predict(9)) == 15


@pytest.mark.parametrize(("kind", "deviation"), [("bpr", 1 / 40), ("pooled", 1 / np.sqrt(40))])
def test_new_rows_are_drawn_as_those_of_a_fresh_net_and_are_not_rows_there_are(kind: str, deviation: float) -> None:
    model = made(kind, embedding_dim=40, n_iter=0)
    model.fit(FEW)
    model.grow(num_users=206, num_items=209)
    model.grow(num_users=406)
    rows = torch.cat([tables(model)[f"net {name}_embeddings.weight"] for name in ("user", "item")])
    assert rows.std().item() == pytest.approx(deviation, rel=0.05)
    assert len(torch.unique(rows, dim=0)) == len(rows)


def test_one_side_may_grow_alone_and_nothing_to_grow_draws_nothing() -> None:
    model = made("bpr")
    model.fit(FEW)
    state = repr(model._random_state.__getstate__())
    model.grow()
    model.grow(num_users=6, num_items=9)
    assert repr(model._random_state.__getstate__()) == state
    model.grow(num_items=11)
    assert (model.user_vectors.shape, model.item_vectors.shape) == ((6, 4), (11, 4))


def test_an_optimizer_of_ones_own_starts_new_rows_as_it_starts_any() -> None:
    def adagrad(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(parameters, lr=0.1, initial_accumulator_value=0.25)

    model = made("bpr", optimizer_func=adagrad)
    model.fit(FEW)
    before = tables(model)
    model.grow(num_users=10, num_items=15)
    after = tables(model)
    assert torch.equal(after["0 sum"][:6], before["0 sum"])
    assert (after["0 sum"][6:] == 0.25).all()
    model.fit(MORE)


def test_what_cannot_grow_says_why() -> None:
    model = made("bpr")
    with pytest.raises(NotFittedError):
        model.grow(num_users=7)
    model.fit(FEW)
    with pytest.raises(ValueError, match="num_users is 5; it must be at least 6"):
        model.grow(num_users=5)
    own = made("bpr", representation=BilinearNet(6, 9, 4))
    own.fit(FEW)
    with pytest.raises(ValueError, match="a representation has its own size"):
        own.grow(num_users=7)


def test_an_optimizer_that_keeps_more_than_one_number_an_entry_is_refused_before_anything_has_changed() -> None:
    model = made("bpr", optimizer_func=torch.optim.Adafactor)
    model.fit(FEW)
    before, seed = tables(model), model._seed
    with pytest.raises(ValueError, match=r"Adafactor keeps row_var of shape \(6, 1\) for a table of shape"):
        model.grow(num_users=7)
    assert model._seed == seed
    assert all(torch.equal(values, before[name]) for name, values in tables(model).items())
    model.fit(FEW)
