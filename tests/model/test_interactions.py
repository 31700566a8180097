from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model import Interactions
from model.interactions import checked_ids, checked_times


def test_arrays_are_kept_as_given() -> None:
    users, items = np.array([0, 1], dtype=np.int32), np.array([2, 0], dtype=np.int16)
    ratings, weights = np.array([1.5, 0.0], dtype=np.float32), np.array([-1.0, np.nan])
    timestamps = np.array([7, 5])
    interactions = Interactions(users, items, ratings, timestamps, weights)
    assert interactions.user_ids is users
    assert interactions.item_ids is items
    assert interactions.ratings is ratings
    assert interactions.timestamps is timestamps
    assert interactions.weights is weights


def test_sizes_are_the_largest_id_plus_one_unless_given() -> None:
    inferred = Interactions(np.array([0, 4]), np.array([9, 1]))
    assert (inferred.num_users, inferred.num_items, len(inferred)) == (5, 10, 2)
    assert type(inferred.num_users) is int
    given = Interactions(np.array([0, 4]), np.array([9, 1]), num_users=np.int64(7), num_items=0)
    assert (given.num_users, given.num_items) == (7, 10)
    assert type(given.num_users) is int


def test_lists_and_whole_floats_are_accepted() -> None:
    interactions = Interactions([0, 1], [2.0, 3.0], ratings=[1, 2])
    assert repr(interactions) == "<Interactions dataset (2 users x 4 items x 2 interactions)>"
    assert interactions.tocsr().shape == (2, 4)


@pytest.mark.parametrize(
    ("users", "items", "sizes", "message"),
    [
        ([0, -3], [0, 0], {}, r"user id -3 is outside 0\.\."),
        ([0, 1], [0, -1], {}, r"item id -1 is outside 0\.\."),
        ([0, 1.5], [0, 0], {}, r"user id 1\.5 is not a whole number"),
        ([0, 1], [0, float("nan")], {}, r"item id nan is not a whole number"),
        ([0, 1], [0, float("inf")], {}, r"item id inf is not a whole number"),
        ([0, 8], [0, 9], {"num_users": 8, "num_items": 9}, r"user id 8 is outside 0\.\.7: the data has 8 users"),
        ([0, 7], [0, 9], {"num_users": 8, "num_items": 9}, r"item id 9 is outside 0\.\.8: the data has 9 items"),
        ([0, 1], [0, 9], {"num_users": -2}, r"num_users is -2"),
        ([0, 1], [0, 9], {"num_items": -1}, r"num_items is -1"),
        ([], [], {}, r"no user ids"),
        ([], [], {"num_users": 3, "num_items": 3}, r"no user ids"),
        ([0], [], {}, r"no item ids"),
        ([0, 1], [0], {}, r"item_ids has 1 entries, user_ids has 2"),
        ([[0, 1]], [[0, 1]], {}, r"user_ids must have one dimension, its shape is \(1, 2\)"),
        ([0, 2**63], [0, 0], {}, r"user id 9223372036854775808 is outside"),
    ],
)
def test_wrong_ids_and_sizes_are_refused_with_value_and_limit(
    users: list[float], items: list[float], sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Interactions(users, items, **sizes)


@pytest.mark.parametrize("column", ["ratings", "timestamps", "weights"])
def test_a_column_of_another_length_is_named(column: str) -> None:
    with pytest.raises(ValueError, match=f"{column} has 3 entries, user_ids has 2"):
        Interactions(np.array([0, 1]), np.array([0, 1]), **{column: np.ones(3)})


@pytest.mark.parametrize("column", ["ratings", "timestamps", "weights"])
def test_a_column_of_a_data_frame_is_not_taken_for_a_row(column: str) -> None:
    with pytest.raises(ValueError, match=rf"{column} must have one dimension, its shape is \(2, 1\)"):
        Interactions(np.array([0, 1]), np.array([0, 1]), **{column: np.ones((2, 1))})


@pytest.mark.parametrize(
    ("timestamps", "problem"),
    [
        ([1.0, np.nan], "timestamp nan of interaction 1 must be finite"),
        ([-np.inf, 1.0], "timestamp -inf of interaction 0 must be finite"),
        (np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[s]"), r"timestamps are datetime64\[s\]"),
        (["2026-01-01", "2026-01-02"], "ages need numbers"),
    ],
)
def test_ages_are_told_from_finite_numbers_alone(timestamps: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        checked_times(np.asarray(timestamps))


def test_timestamps_that_ages_can_be_told_from_are_left_as_they_are() -> None:
    for timestamps in (np.array([3, -1]), np.array([0.5, 2.0], dtype=np.float32)):
        assert checked_times(timestamps) is timestamps


def test_users_are_checked_before_items_and_items_before_lengths() -> None:
    with pytest.raises(ValueError, match="user id 5"):
        Interactions([5], [5, 5], num_users=5, num_items=5)
    with pytest.raises(ValueError, match="item id 5"):
        Interactions([4], [5, 5], num_users=5, num_items=5)


@pytest.mark.parametrize("ids", [["a", "b"], [True, False], [object(), None]])
def test_ids_that_are_not_numbers_are_a_type_error(ids: list[object]) -> None:
    with pytest.raises(TypeError, match="user ids must be whole numbers"):
        Interactions(ids, [0, 1])  # type: ignore[arg-type]  # the point of the test


def test_checked_ids_keep_their_shape_and_copy_nothing_that_is_int64() -> None:
    ids = np.array([[0, 1], [2, 3]])
    assert checked_ids(ids, kind="user") is ids
    assert checked_ids(ids[0, ::-1], kind="user").flags.c_contiguous
    assert checked_ids(np.uint8(3), kind="user").shape == ()
    assert checked_ids(ids.astype(np.float32), kind="user").dtype == np.int64


def test_the_coo_matrix_holds_ratings_or_ones() -> None:
    plain = Interactions([0, 1, 1], [2, 0, 0]).tocoo()
    assert plain.dtype == np.float64
    assert plain.data.tolist() == [1.0, 1.0, 1.0]
    rated = Interactions([0, 1], [2, 0], ratings=np.array([4, 5], dtype=np.int8), num_users=3).tocoo()
    assert rated.shape == (3, 3)
    assert rated.data.tolist() == [4, 5]


def test_the_csr_matrix_sums_repeats_and_keeps_zeros() -> None:
    csr = Interactions([0, 0, 1], [1, 1, 0], ratings=[2.0, 3.0, 0.0]).tocsr()
    assert csr.nnz == 2
    assert csr.toarray().tolist() == [[0.0, 5.0], [0.0, 0.0]]
