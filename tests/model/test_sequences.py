from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import Interactions
from model.interactions import SequenceInteractions


def slow_sequences(
    rows: list[tuple[int, int, int]], length: int, shortest: int | None, step: int | None
) -> list[tuple[int, list[int]]]:
    """Users and windows, built one item at a time; rows are (user, item, time)."""
    found = []
    for user in sorted({row[0] for row in rows}):
        items = [item for owner, item, _ in sorted(rows, key=lambda row: row[2]) if owner == user]
        end = len(items)
        while end > 0:
            window = items[max(0, end - length) : end]
            if len(window) >= (shortest or 1):
                found.append((user, [0] * (length - len(window)) + window))
            end -= step or length
    return found


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.integers(0, 6)), min_size=1, max_size=30),
    length=st.integers(1, 6),
    step=st.none() | st.integers(1, 8),
    data=st.data(),
)
def test_windows_equal_those_built_item_by_item(
    rows: list[tuple[int, int, int]], length: int, step: int | None, data: st.DataObject
) -> None:
    shortest = data.draw(st.none() | st.integers(1, length))
    users, items, times = np.array(rows).T
    sequences = Interactions(users, items, timestamps=times, num_items=51).to_sequence(length, shortest, step)
    expected = slow_sequences(rows, length, shortest, step)
    assert sequences.user_ids is not None
    assert sequences.user_ids.tolist() == [user for user, _ in expected]
    assert sequences.sequences.tolist() == [window for _, window in expected]
    assert sequences.sequences.shape == (len(expected), length)
    assert (sequences.num_items, sequences.max_sequence_length) == (51, length)
    assert sequences.sequences.dtype == sequences.user_ids.dtype == np.int32


def test_overlapping_windows_of_a_case_worked_by_hand() -> None:
    interactions = Interactions([7, 2, 7, 7, 7], [5, 9, 6, 7, 8], timestamps=[1, 0, 2, 3, 4])
    sequences = interactions.to_sequence(max_sequence_length=3, step_size=2)
    assert sequences.sequences.tolist() == [[0, 0, 9], [6, 7, 8], [0, 5, 6]]
    assert sequences.user_ids is not None
    assert sequences.user_ids.tolist() == [2, 7, 7]
    assert repr(sequences) == "<SequenceInteractions dataset (3 sequences x 3 items)>"


def test_lists_of_whole_floats_become_sequences_too() -> None:
    sequences = Interactions([0.0, 0.0], [1.0, 2.0], timestamps=[2.5, 1.5]).to_sequence(2)
    assert sequences.sequences.tolist() == [[2, 1]]


def test_a_minimum_that_nobody_reaches_leaves_no_sequence() -> None:
    sequences = Interactions([0, 1], [1, 2], timestamps=[0, 0]).to_sequence(4, 2)
    assert sequences.sequences.shape == (0, 4)
    assert sequences.num_items == 3


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"timestamps": None}, {}, "needs timestamps"),
        ({"timestamps": [0.0, float("nan")]}, {}, "timestamp of interaction 1 is nan"),
        ({"item_ids": [1, 0]}, {}, "item id 0 is the padding"),
        ({"item_ids": [1, 2**31]}, {}, r"item id 2147483648 is outside 0\.\.2147483647"),
        ({"user_ids": [1, 2**31]}, {}, r"user id 2147483648 is outside 0\.\.2147483647"),
        ({}, {"max_sequence_length": 0}, "max_sequence_length is 0; it must be at least 1"),
        ({}, {"step_size": -1}, "step_size is -1; it must be at least 1"),
        ({}, {"min_sequence_length": 0}, "min_sequence_length is 0; it must be at least 1"),
        ({}, {"min_sequence_length": 11}, "min_sequence_length is 11; it must be at most max_sequence_length, 10"),
    ],
)
def test_what_cannot_be_cut_is_refused(columns: dict[str, Any], settings: dict[str, int], message: str) -> None:
    given: dict[str, Any] = {"user_ids": [0, 1], "item_ids": [1, 2], "timestamps": [0, 1]} | columns
    with pytest.raises(ValueError, match=message):
        Interactions(**given).to_sequence(**settings)


def test_sequences_are_kept_as_given_and_count_their_items() -> None:
    table, users = np.array([[0, 3], [1, 2]], dtype=np.int8), np.array([4, 5])
    sequences = SequenceInteractions(table, users)
    assert sequences.sequences is table
    assert sequences.user_ids is users
    assert sequences.num_items == 4
    assert type(sequences.num_items) is int
    assert SequenceInteractions(table, num_items=9).num_items == 9
    assert SequenceInteractions([[0, 3]]).user_ids is None


@pytest.mark.parametrize(
    ("sequences", "settings", "message"),
    [
        ([1, 2], {}, "two dimensions"),
        ([[]], {}, "two dimensions"),
        ([[1, -2]], {}, "item -2 of a sequence"),
        ([[1, 1.5]], {}, r"item 1\.5 of a sequence"),
        ([[1, 2]], {"num_items": 2}, "num_items is 2, and the largest item is 2"),
        ([[1, 2]], {"num_items": -1}, "num_items is -1"),
        ([[1, 2]], {"user_ids": [1, 2]}, r"user_ids of shape \(2,\) for 1 sequences"),
    ],
)
def test_wrong_sequences_are_refused(sequences: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceInteractions(sequences, **settings)


def test_sequences_of_strings_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        SequenceInteractions([["a"]])
