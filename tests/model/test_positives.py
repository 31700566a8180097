from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.positives import HIDE, REPEAT_US, TypeWeights, speaking

TYPES = ("view", "purchase", "dislike")
WEIGHTS = TypeWeights.of(TYPES, {"purchase": 4.0, "dislike": HIDE})
SECOND = 1_000_000


def said(events, weights=WEIGHTS):
    """Of events (user, item, type, seconds[, value])."""
    columns = list(zip(*[(*event, 1.0)[:5] for event in events], strict=True)) or [()] * 5
    return speaking(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        event_codes=np.array([TYPES.index(name) for name in columns[2]], dtype=np.int64),
        times_us=np.array([round(seconds * SECOND) for seconds in columns[3]], dtype=np.int64),
        values=np.array(columns[4], dtype=np.float64),
        types=weights,
    )


def test_an_event_says_the_weight_of_its_type_times_its_value():
    found = said([(1, 1, "view", 0, 2.0), (1, 2, "purchase", 0, 0.5), (2, 1, "view", 0)])

    assert found.rows.tolist() == [0, 1, 2]
    assert found.weights.tolist() == [2.0, 2.0, 1.0]
    assert set(found.left_out.values()) == {0}


def test_the_same_event_again_within_a_minute_is_no_other():
    found = said([(1, 1, "view", 0), (1, 1, "view", 59.9), (1, 1, "view", 119.8), (1, 1, "view", 179.8)])

    # Each is counted from the one before it, also one that does not count itself.
    assert found.rows.tolist() == [0, 3]
    assert found.left_out["repeated_within_60_seconds"] == 2


@pytest.mark.parametrize("other", [(2, 1, "view"), (1, 2, "view"), (1, 1, "purchase")])
def test_another_user_item_or_type_is_another_event(other):
    assert said([(1, 1, "view", 0), (*other, 1)]).rows.tolist() == [0, 1]


def test_of_events_at_the_same_moment_the_largest_counts():
    found = said([(1, 1, "view", 5, 1.0), (1, 1, "view", 5, 3.0), (1, 1, "view", 5, 2.0)])

    assert found.weights.tolist() == [3.0]


def test_an_event_that_hides_says_nothing_for_its_item_and_silences_what_came_before():
    found = said([(1, 1, "view", 0), (1, 1, "dislike", 100), (1, 1, "purchase", 100), (1, 1, "view", 101)])

    assert found.rows.tolist() == [3]
    assert (found.left_out["hiding_events"], found.left_out["hidden_by_them"]) == (1, 2)


def test_hiding_an_item_touches_nobody_else_and_no_other_item():
    found = said([(1, 1, "dislike", 100), (2, 1, "view", 0), (1, 2, "view", 0)])

    assert found.rows.tolist() == [1, 2]


def test_nothing_says_nothing():
    found = said([])

    assert (found.rows.tolist(), found.weights.tolist()) == ([], [])


EVENTS = st.tuples(
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from(TYPES),
    st.sampled_from([0, 30, 59.999999, 60, 61, 119, 120]),
    st.sampled_from([0.5, 1.0, 2.0]),
)


def one_by_one(events):
    """The rule as it is told: which events speak, as sorted facts."""
    hidden = {}
    for user, item, name, seconds, _ in events:
        if name == "dislike":
            hidden[user, item] = max(seconds, hidden.get((user, item), seconds))
    last, spoken = {}, []
    for user, item, name, seconds, value in sorted(events, key=lambda event: (event[3], -event[4])):
        if name == "dislike":
            continue
        again = (user, item, name) in last and round((seconds - last[user, item, name]) * SECOND) < REPEAT_US
        last[user, item, name] = seconds
        if not again and seconds > hidden.get((user, item), -1):
            spoken.append((user, item, name, seconds, value))
    return sorted(spoken)


@given(st.lists(EVENTS, max_size=12), st.sampled_from([1, 2**40]), st.sampled_from(["given", "times", "shuffled"]))
def test_it_is_the_rule_as_it_is_told_in_whatever_order_events_come(events, key, order):
    events = [(user * key, item * key, *rest) for user, item, *rest in events]
    if order == "times":
        events.sort(key=lambda event: (event[0], event[3]))
    elif order == "shuffled":
        random.Random(len(events)).shuffle(events)

    found = said(events)

    assert sorted(events[row] for row in found.rows.tolist()) == one_by_one(events)
    assert sum(found.left_out.values()) + len(found.rows) == len(events)
