"""A fit that ends early, and one with held out interactions, for every loss of both models and the pooled solver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import BilinearNet, ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions
from model.evaluation import ItemsByUser, evaluate
from model.factorization.base import FactorizationModel
from model.losses import LOSSES, RATING_LOSSES

EVERY_MODEL = [*LOSSES, "pooled", *(f"explicit {loss}" for loss in RATING_LOSSES)]
IMPLICIT = EVERY_MODEL[: len(LOSSES) + 1]
USERS, ITEMS = 12, 30


def drawn(seed: int, count: int = 80) -> Interactions:
    source = np.random.RandomState(seed)
    users, items, ratings = (source.randint(0, limit, count) for limit in (USERS, ITEMS, 2))
    return Interactions(users, items, ratings=ratings, num_users=USERS, num_items=ITEMS)


TRAIN, HELD_OUT = drawn(0), drawn(1, 30)


def made(kind: str, **settings: Any) -> FactorizationModel[Any]:
    arguments: dict[str, Any] = {"n_iter": 6, "batch_size": 16, "embedding_dim": 4, "learning_rate": 0.05}
    arguments |= {"random_state": 3} | settings
    if kind == "pooled":
        return ImplicitFactorizationModel("softmax", solver="pooled", **arguments)
    if kind.startswith("explicit "):
        return ExplicitFactorizationModel(kind.removeprefix("explicit "), **arguments)
    return ImplicitFactorizationModel(kind, **arguments)


def bits(model: FactorizationModel[Any]) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model._fitted().parameters()]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_the_parameters_kept_are_those_of_the_best_epoch(kind: str) -> None:
    model = made(kind)
    seen: list[list[torch.Tensor]] = []
    model.fit(TRAIN, validation=HELD_OUT, on_epoch=lambda epoch, loss: seen.append(bits(model)))
    judged = model.validation_history
    assert len(judged) == len(model.loss_history) == 6
    best = int(np.argmin(judged) if kind.startswith("explicit") else np.argmax(judged))
    assert same(bits(model), seen[best])


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_validation_without_patience_changes_no_training(kind: str) -> None:
    plain, watched = made(kind), made(kind)
    plain.fit(TRAIN)
    watched.fit(TRAIN, validation=HELD_OUT)
    assert watched.loss_history == plain.loss_history


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_patience_ends_a_fit_that_no_longer_gets_better(kind: str) -> None:
    model = made(kind, learning_rate=0.0)
    model.fit(TRAIN, validation=HELD_OUT, patience=2)
    # The first is the best; two more are not better.
    assert len(model.validation_history) == len(model.loss_history) == 3


@pytest.mark.parametrize("kind", [*IMPLICIT, "own net"])
def test_an_implicit_model_is_judged_by_the_ndcg_of_items_that_are_new_to_the_user(kind: str) -> None:
    own = {"representation": BilinearNet(USERS, ITEMS, 4)}
    model = made("bpr", n_iter=1, **own) if kind == "own net" else made(kind, n_iter=1)
    model.fit(TRAIN, validation=HELD_OUT)
    test, seen = (ItemsByUser.from_pairs(p.user_ids, p.item_ids, num_users=USERS) for p in (HELD_OUT, TRAIN))
    report = evaluate(lambda users: np.stack([model.predict(int(user)) for user in users]), test, seen=seen)
    assert model.validation_history == pytest.approx([report.ndcg.mean()], rel=1e-12)


def test_a_model_of_ratings_is_judged_by_the_loss_of_the_ratings_held_out() -> None:
    model = made("explicit regression", n_iter=1)
    model.fit(TRAIN, validation=HELD_OUT)
    assert HELD_OUT.ratings is not None
    errors = model.predict(HELD_OUT.user_ids, HELD_OUT.item_ids) - HELD_OUT.ratings
    assert model.validation_history == pytest.approx([(errors**2).mean()], rel=1e-5)


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_a_model_that_stopped_early_goes_on_from_its_best_epoch_saved_or_not(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    model.fit(TRAIN, validation=HELD_OUT, patience=2)
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    assert again.validation_history == model.validation_history
    for each in (model, again):
        each.fit(TRAIN)
    assert same(bits(again), bits(model))
    assert again.loss_history == model.loss_history


def ticking() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 1.0


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_a_fit_ends_normally_after_the_batch_in_which_its_time_is_up(kind: str) -> None:
    batches: list[None] = []
    clock = ticking()
    model = made(kind)
    model.fit(TRAIN, on_batch=lambda: batches.append(None), time_budget=7, clock=lambda: next(clock))
    # 80 interactions are five batches an epoch, and the clock is read once before the first.
    assert (len(batches), len(model.loss_history)) == (7, 1)
    assert np.isfinite(model.predict(0)).all()


def test_when_the_time_is_up_the_best_epoch_that_was_finished_is_kept() -> None:
    clock = ticking()
    short, whole = made("bpr"), made("bpr", n_iter=1)
    short.fit(TRAIN, validation=HELD_OUT, time_budget=7, clock=lambda: next(clock))
    whole.fit(TRAIN)
    assert same(bits(short), bits(whole))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patience": 3}, "patience needs validation"),
        ({"patience": 0, "validation": HELD_OUT}, "patience is 0; it must be at least 1"),
        ({"time_budget": -1}, r"time_budget is -1\.0"),
        ({"validation": Interactions([0], [ITEMS])}, f"item id {ITEMS} is outside"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_changed(arguments: dict[str, Any], words: str) -> None:
    model = made("bpr")
    model.fit(TRAIN)
    before = bits(model)
    with pytest.raises(ValueError, match=words):
        model.fit(TRAIN, **arguments)
    assert same(bits(model), before)
