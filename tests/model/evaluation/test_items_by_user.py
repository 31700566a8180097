from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import NO_USER, ItemsByUser


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6) | st.just(2**62)), max_size=30),
)
def test_items_are_grouped_by_user_once_each(pairs):
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    grouped = ItemsByUser.from_pairs(users, items, num_users=5)

    expected = [sorted({item for user, item in pairs if user == number}) for number in range(5)]
    assert [items.tolist() for items in grouped.of_each(np.arange(5))] == expected
    assert [grouped.of(number).tolist() for number in range(5)] == expected


@pytest.mark.parametrize("number", [-1, 5])
def test_a_user_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=rf"user number {number} is outside 0\.\.4"):
        ItemsByUser.from_pairs(np.array([0, number]), np.array([0, 0]), num_users=5)


def test_somebody_without_a_number_has_no_items():
    grouped = ItemsByUser.from_pairs(np.array([0, 4]), np.array([1, 2]), num_users=5)

    assert [items.tolist() for items in grouped.of_each(np.array([4, NO_USER]))] == [[2], []]


@pytest.mark.parametrize("number", [-2, 5])
def test_items_of_a_user_out_of_range_are_nobodys(number):
    grouped = ItemsByUser.from_pairs(np.array([0, 4]), np.array([1, 2]), num_users=5)

    with pytest.raises(ValueError, match=rf"user number {number} is outside -1\.\.4"):
        grouped.of(number)
    with pytest.raises(ValueError, match="they must be integers"):
        grouped.of_each(np.array([0.0]))


@pytest.mark.parametrize(
    ("users", "items", "problem"),
    [
        ([0, 1], [5], r"user numbers have the shape \(2,\), item numbers \(1,\)"),
        ([0], [-1], "item number -1 is below 0"),
    ],
)
def test_what_are_no_pairs_is_refused(users, items, problem):
    with pytest.raises(ValueError, match=problem):
        ItemsByUser.from_pairs(np.array(users), np.array(items), num_users=2)
