from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import Interactions
from model.cross_validation import (
    leave_last_out,
    random_train_test_split,
    shuffle_interactions,
    temporal_cut,
    user_based_train_test_split,
)

COLUMNS = ("user_ids", "item_ids", "ratings", "timestamps", "weights")


def rows_of(interactions):
    """Every row as a tuple of its columns."""
    return list(zip(*(getattr(interactions, name).tolist() for name in COLUMNS), strict=True))


def some_interactions(count=40, num_users=9):
    drawn = np.random.RandomState(0)
    return Interactions(
        drawn.randint(0, num_users - 2, count),
        drawn.randint(0, 5, count),
        ratings=drawn.uniform(size=count),
        timestamps=drawn.randint(0, 6, count),
        weights=np.arange(count),
        num_users=num_users,
        num_items=12,
    )


@given(times=st.lists(st.integers(0, 5), max_size=25), fraction=st.floats(0.01, 0.99))
def test_the_newest_share_of_the_rows_is_cut_off(times, fraction):
    earlier, later = temporal_cut(np.array(times, dtype=np.int64), fraction)

    in_order = sorted(range(len(times)), key=lambda row: (times[row], row))
    assert earlier.tolist() + later.tolist() == in_order
    assert len(later) == round(len(times) * fraction)


def test_rows_of_one_time_are_cut_by_position():
    earlier, later = temporal_cut(np.array([5, 5, 1, 5]), 0.5)

    assert earlier.tolist() == [2, 0]
    assert later.tolist() == [1, 3]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        temporal_cut(np.array([1]), fraction)


def test_shuffling_keeps_rows_sizes_and_columns_together():
    interactions = some_interactions()
    before = rows_of(interactions)
    shuffled = shuffle_interactions(interactions, 3)

    order = np.arange(40)
    np.random.RandomState(3).shuffle(order)
    assert rows_of(shuffled) == [before[row] for row in order]
    assert (shuffled.num_users, shuffled.num_items) == (9, 12)
    assert rows_of(interactions) == before


def test_columns_that_are_not_there_stay_away():
    shuffled = shuffle_interactions(Interactions([0, 1], [1, 0]), 0)

    assert (shuffled.ratings, shuffled.timestamps, shuffled.weights) == (None, None, None)


@pytest.mark.parametrize(("share", "num_train"), [(0.2, 32), (0.5, 20), (0.26, 29)])
def test_a_random_split_cuts_the_shuffled_rows(share, num_train):
    interactions = some_interactions()
    train, test = random_train_test_split(interactions, share, np.random.RandomState(5))

    shuffled = rows_of(shuffle_interactions(interactions, np.random.RandomState(5)))
    assert (rows_of(train), rows_of(test)) == (shuffled[:num_train], shuffled[num_train:])
    assert (train.num_users, test.num_users, train.num_items, test.num_items) == (9, 9, 12, 12)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_a_user_based_split_chooses_that_many_users_whole_and_keeps_the_order(share):
    interactions = some_interactions()
    train, test = user_based_train_test_split(interactions, share, 1)

    chosen = set(test.user_ids.tolist())
    assert len(chosen) == round(share * 7)
    assert rows_of(train) == [row for row in rows_of(interactions) if row[0] not in chosen]
    assert rows_of(test) == [row for row in rows_of(interactions) if row[0] in chosen]
    assert (train.num_users, test.num_users) == (9, 9)


def test_every_user_may_be_chosen():
    chosen = {
        user for seed in range(40) for user in user_based_train_test_split(some_interactions(), 0.2, seed)[1].user_ids
    }

    assert chosen == set(range(7))


SPLITS = [shuffle_interactions, random_train_test_split, user_based_train_test_split]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng, int])
def test_one_seed_gives_one_split(split, source):
    def rows(seed):
        parts = split(some_interactions(), random_state=source(seed))
        return [rows_of(part) for part in (parts if isinstance(parts, tuple) else (parts,))]

    assert rows(4) == rows(4)
    assert any(rows(4) != rows(seed) for seed in range(5, 9))


@pytest.mark.parametrize("split", SPLITS)
def test_without_a_seed_a_split_works_too(split):
    assert split(some_interactions())


@pytest.mark.parametrize("split", [random_train_test_split, user_based_train_test_split])
@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_its_limits_is_refused(split, share):
    with pytest.raises(ValueError, match="test_percentage is"):
        split(some_interactions(), share)


@pytest.mark.parametrize("split", [random_train_test_split, user_based_train_test_split])
@pytest.mark.parametrize("share", [0, 1, 0.001, 0.999])
def test_a_side_without_interactions_is_refused_before_anything_is_drawn(split, share):
    source = np.random.RandomState(0)
    interactions = some_interactions() if share != 0.001 else Interactions([0], [0])
    with pytest.raises(ValueError, match="neither may be empty"):
        split(interactions, share, source)
    assert source.randint(1000) == np.random.RandomState(0).randint(1000)


@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=25))
def test_the_newest_interaction_of_each_user_with_two_or_more_is_left_out(rows):
    users, times = np.array(rows).T
    expected = []
    for user in set(users.tolist()):
        own = [row for row in range(len(rows)) if users[row] == user]
        if len(own) > 1:
            expected.append(max(own, key=lambda row: (times[row], row)))
    interactions = Interactions(users, np.arange(len(rows)), timestamps=times, num_users=5)
    if not expected:
        with pytest.raises(ValueError, match="no user has two interactions"):
            leave_last_out(interactions)
        return
    train, test = leave_last_out(interactions)
    assert test.item_ids.tolist() == sorted(expected)
    assert train.item_ids.tolist() == [row for row in range(len(rows)) if row not in expected]
    assert (train.num_users, test.num_users, test.num_items) == (5, 5, len(rows))


@pytest.mark.parametrize(
    ("timestamps", "message"), [(None, "needs timestamps"), ([1, math.nan], "interaction 1 is nan")]
)
def test_without_times_nobody_has_a_last_interaction(timestamps, message):
    with pytest.raises(ValueError, match=message):
        leave_last_out(Interactions([0, 0], [0, 1], timestamps=timestamps))
