from __future__ import annotations

import logging

import numpy as np
import pytest

from model import Interactions
from model.sampling import UniformNegatives, UnseenNegatives
from model.solvers.task import FitTask, RatingTask, make_rating_task, make_task


def task_of(interactions: Interactions, *, use_weights: bool = False, exclude_positives: bool = False) -> FitTask:
    return make_task(
        interactions,
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        loss="bpr",
        n_iter=1,
        batch_size=8,
        num_negative_samples=5,
        use_weights=use_weights,
        exclude_positives=exclude_positives,
    )


def test_ids_become_int64_in_the_given_order() -> None:
    task = task_of(Interactions(np.array([2, 0], dtype=np.int16), np.array([1.0, 0.0])))
    assert task.user_ids.dtype == task.item_ids.dtype == np.int64
    assert (task.user_ids.tolist(), task.item_ids.tolist()) == ([2, 0], [1, 0])
    assert task.weights is None
    assert isinstance(task.negatives, UniformNegatives)


def test_weights_are_ignored_unless_asked_for() -> None:
    interactions = Interactions([0, 1], [0, 1], weights=[np.nan, -1])
    assert task_of(interactions).weights is None


def test_weights_are_scaled_to_a_largest_of_one_and_rows_of_weight_zero_left_out() -> None:
    task = task_of(Interactions([0, 1, 2], [0, 1, 2], weights=[1e300, 0.0, 5e299]), use_weights=True)
    assert task.user_ids.tolist() == [0, 2]
    assert task.weights is not None
    assert task.weights.dtype == np.float32
    assert task.weights.tolist() == [1.0, 0.5]


def test_asking_for_weights_that_are_not_there_trains_without() -> None:
    assert task_of(Interactions([0, 1], [0, 1]), use_weights=True).weights is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, float("nan"), 1.0], "weight nan of interaction 1 must be finite and 0 or more"),
        ([1.0, 1.0, float("inf")], "weight inf of interaction 2"),
        ([-0.5, 1.0, 1.0], r"weight -0\.5 of interaction 0"),
        ([0, 0, 0], "all 3 weights are 0"),
    ],
)
def test_weights_nobody_can_mean_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_of(Interactions([0, 1, 2], [0, 1, 2], weights=weights), use_weights=True)


def test_users_who_have_everything_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    interactions = Interactions([0, 0, 1], [0, 1, 1])
    with caplog.at_level(logging.WARNING, logger="model"):
        task = task_of(interactions, exclude_positives=True)
    assert isinstance(task.negatives, UnseenNegatives)
    assert (task.user_ids.tolist(), task.item_ids.tolist()) == ([1], [1])
    assert "2 of 3 interactions" in caplog.text


def rating_task_of(interactions: Interactions, *, loss: str = "regression", use_weights: bool = False) -> RatingTask:
    return make_rating_task(
        interactions,
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        loss=loss,
        n_iter=1,
        batch_size=8,
        use_weights=use_weights,
    )


def test_ratings_become_float32_and_rows_of_weight_zero_are_left_out() -> None:
    interactions = Interactions([0, 1, 2], [2, 1, 0], ratings=[5, 0, 3], weights=[1.0, 0.0, 0.5])
    task = rating_task_of(interactions, use_weights=True)
    assert task.ratings.dtype == np.float32
    assert (task.user_ids.tolist(), task.item_ids.tolist(), task.ratings.tolist()) == ([0, 2], [2, 0], [5.0, 3.0])
    assert task.weights is not None
    assert task.weights.tolist() == [1.0, 0.5]
    assert rating_task_of(interactions).user_ids.tolist() == [0, 1, 2]


def test_interactions_without_ratings_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="these have none"):
        rating_task_of(Interactions([0], [0]))


@pytest.mark.parametrize(
    ("loss", "ratings", "message"),
    [
        ("regression", [1.0, float("nan")], "rating nan of interaction 1 must be finite"),
        ("logistic", [float("-inf"), 1.0], "rating -inf of interaction 0 must be finite"),
        ("regression", [0.0, 1e39], r"rating 1e\+39 of interaction 1 .* up to 3\.4e\+38"),
        ("poisson", [0.0, -1.0], r"rating -1\.0 of interaction 1 must be finite and 0 or more, as a count is"),
    ],
)
def test_ratings_nobody_can_mean_are_refused(loss: str, ratings: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rating_task_of(Interactions([0, 1], [0, 1], ratings=ratings), loss=loss)


def test_negative_ratings_are_for_other_losses_than_poisson() -> None:
    assert rating_task_of(Interactions([0, 1], [0, 1], ratings=[-1, 1]), loss="logistic").ratings.tolist() == [-1, 1]
