"""What both models refuse, before anything has changed, and what is unusual but fits."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from model import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions
from model.factorization.base import FactorizationModel
from model.losses import LOSSES, RATING_LOSSES

MODELS: list[type[FactorizationModel[Any]]] = [ImplicitFactorizationModel, ExplicitFactorizationModel]
USERS, ITEMS, COUNT = 4, 6, 20


def some_interactions(**columns: Any) -> Interactions:
    """Interactions whose columns are replaced after they were checked, as attributes allow."""
    drawn = np.random.RandomState(0)
    users, items, ratings = (drawn.randint(0, limit, COUNT) for limit in (USERS, ITEMS, 2))
    interactions = Interactions(users, items, ratings=ratings, num_users=USERS, num_items=ITEMS)
    for name, column in columns.items():
        setattr(interactions, name, column)
    return interactions


def one_wrong(value: float, *, others: float = 1.0) -> Any:
    column = np.full(COUNT, others)
    column[3] = value
    return column


WRONG_COLUMNS: list[tuple[dict[str, Any], str]] = [
    ({"user_ids": np.array([], dtype=np.int64)}, "no user ids"),
    ({"user_ids": one_wrong(USERS)}, rf"user id {USERS} is outside 0\.\.{USERS - 1}: this model has {USERS} users"),
    ({"item_ids": one_wrong(ITEMS)}, rf"item id {ITEMS} is outside 0\.\.{ITEMS - 1}: this model has {ITEMS} items"),
    ({"item_ids": one_wrong(-1)}, r"item id -1 is outside"),
    ({"item_ids": one_wrong(0.5)}, r"item id 0\.5 is not a whole number"),
    ({"item_ids": np.zeros(3, dtype=np.int64)}, r"item_ids has the shape \(3,\).*each of the 20 interactions"),
    ({"user_ids": np.zeros((COUNT, 1), dtype=np.int64)}, r"user_ids has the shape \(20, 1\)"),
    ({"weights": one_wrong(np.nan)}, "weight nan of interaction 3 must be finite and 0 or more"),
    ({"weights": one_wrong(np.inf)}, "weight inf of interaction 3"),
    ({"weights": one_wrong(-0.5)}, r"weight -0\.5 of interaction 3"),
    ({"weights": np.zeros(COUNT)}, "all 20 weights are 0"),
    ({"weights": np.ones(COUNT + 1)}, r"weights has the shape \(21,\)"),
    ({"weights": np.ones((COUNT, 2))}, r"weights has the shape \(20, 2\)"),
]
WRONG_RATINGS: list[tuple[dict[str, Any], str]] = [
    ({"ratings": one_wrong(np.nan)}, "rating nan of interaction 3 must be finite"),
    ({"ratings": one_wrong(-np.inf)}, "rating -inf of interaction 3 must be finite"),
    ({"ratings": np.ones((COUNT, 1))}, r"ratings has the shape \(20, 1\)"),
    ({"ratings": np.ones(COUNT - 1)}, r"ratings has the shape \(19,\)"),
]
REFUSED = [
    *((kind, columns, message) for kind in MODELS for columns, message in WRONG_COLUMNS),
    *((ExplicitFactorizationModel, columns, message) for columns, message in WRONG_RATINGS),
]


@pytest.mark.parametrize(("kind", "columns", "message"), REFUSED)
def test_a_fit_that_is_refused_has_changed_nothing(
    kind: type[FactorizationModel[Any]], columns: dict[str, Any], message: str
) -> None:
    source = np.random.RandomState(3)
    settings: dict[str, Any] = {"n_iter": 1, "batch_size": 8, "embedding_dim": 2, "use_weights": True}
    model = kind(random_state=source, **settings)
    for fitted in (False, True):
        if fitted:
            model.fit(some_interactions())
        before = source.get_state(legacy=False)
        parameters = [p.detach().clone() for p in model._fitted().parameters()] if fitted else []
        with pytest.raises(ValueError, match=message):
            model.fit(some_interactions(**columns))
        assert repr(source.get_state(legacy=False)) == repr(before)
        assert len(model.loss_history) == fitted
        assert ("uninitialised" in repr(model)) != fitted
        if fitted:
            assert all(map(torch.equal, parameters, model._fitted().parameters()))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("loss", "mse", "loss 'mse' is not one of"),
        ("embedding_dim", 0, "embedding_dim is 0; it must be at least 1"),
        ("n_iter", -1, "n_iter is -1; it must be at least 0"),
        ("batch_size", -5, "batch_size is -5; it must be at least 1"),
        ("l2", -0.1, r"l2 is -0\.1; it must be finite and 0 or more"),
        ("learning_rate", float("nan"), "learning_rate is nan; it must be finite"),
        ("random_state", -1, r"random_state -1 is outside 0\.\.4294967295"),
    ],
)
def test_an_argument_outside_its_limits_is_refused_with_value_and_limit(
    kind: type[FactorizationModel[Any]], argument: str, value: object, message: str
) -> None:
    make: Any = kind
    with pytest.raises(ValueError, match=message):
        make(**{argument: value})


def fits(loss: str, interactions: Interactions, **settings: Any) -> FactorizationModel[Any]:
    kind = ImplicitFactorizationModel if loss in LOSSES else ExplicitFactorizationModel
    model: FactorizationModel[Any] = kind(
        loss=loss.removeprefix("explicit "), n_iter=2, batch_size=3, random_state=0, **settings
    )
    model.fit(interactions)
    assert np.isfinite(model.predict(0)).all()
    assert np.isfinite(model.loss_history).all()
    assert len(model.loss_history) == 2
    return model


# Four rows and batches of three: the last batch has one row.
EVERYTHING = {
    "one user": ([0] * 4, [0, 1, 2, 3]),
    "one item": ([0, 1, 2, 3], [0] * 4),
    "one of both": ([0] * 4, [0] * 4),
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("loss", [*LOSSES, *(f"explicit {loss}" for loss in RATING_LOSSES)])
def test_one_user_or_one_item_fits(loss: str, name: str, sparse: bool) -> None:
    users, items = EVERYTHING[name]
    interactions = Interactions(users, items, ratings=[1, 0, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fits(loss, interactions, sparse=sparse)
        assert model.predict(0).shape == (interactions.num_items,)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_user_who_has_everything_fits_and_draws_no_negatives_where_positives_are_excluded(
    loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    interactions = Interactions([0, 0, 0, 1], [0, 1, 2, 1])
    fits(loss, interactions)
    with caplog.at_level(logging.WARNING, logger="model"):
        model = fits(loss, interactions, exclude_positives=True)
    assert "3 of 4 interactions are of users who have every item" in caplog.text
    start = ImplicitFactorizationModel(loss=loss, n_iter=0, random_state=0)
    start.fit(interactions)
    assert np.array_equal(model.user_vectors[0], start.user_vectors[0])
