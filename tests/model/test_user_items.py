from __future__ import annotations

import numpy as np
import pytest

from model import Interactions
from model.user_items import LEAST_SHARE, UserItems, own_counts


@pytest.fixture
def interactions():
    # User 0 takes item 2 twice; user 1 has nothing; user 2 takes 0 and 1.
    return Interactions(
        [2, 0, 0, 2], [1, 2, 2, 0], timestamps=[30, 10, 20, 10], weights=[1.0, 1.0, 2.0, 7.0], num_users=3, num_items=4
    )


def test_one_entry_a_pair_with_the_logarithm_of_its_weights_and_its_newest_time(interactions):
    found = UserItems.of(interactions)

    assert found.indptr.tolist() == [0, 1, 1, 3]
    assert found.items.tolist() == [2, 0, 1]
    assert found.weights.tolist() == [2.0, 3.0, 1.0]
    assert found.times.tolist() == [20, 10, 30]
    assert found.sizes.tolist() == [1, 0, 2]


def test_without_weights_and_timestamps_each_interaction_counts_one():
    found = UserItems.of(Interactions([0, 0], [1, 1]))

    assert found.weights.tolist() == pytest.approx([np.log2(3)], rel=1e-15)
    assert found.decayed(5.0).tolist() == found.weights.tolist()


def test_weights_halve_with_the_age_against_the_users_own_newest_entry(interactions):
    decayed = UserItems.of(interactions).decayed(10.0)

    # The only item of user 0 is its newest, though ten older than that of user 2.
    assert decayed.tolist() == [2.0, 3.0 / 4, 1.0]


def test_an_entry_of_any_age_still_says_something():
    # The oldest of a history is as far from its newest as somebody who comes back after a year.
    ages = np.array([0.0, 6.5, 8.0, 400.0])
    history = UserItems.of(Interactions([0] * 4, [0, 1, 2, 3], timestamps=500.0 - ages))

    decayed = history.decayed(1.0)

    assert decayed.tolist() == pytest.approx([1.0, 2**-6.5, LEAST_SHARE, LEAST_SHARE])


def test_some_users_are_taken_in_the_order_given(interactions):
    some = UserItems.of(interactions).take(np.array([2, 1, 0, 2]))

    assert some.indptr.tolist() == [0, 2, 2, 3, 5]
    assert some.items.tolist() == [0, 1, 2, 0, 1]
    assert some.decayed(10.0).tolist() == [3.0 / 4, 1.0, 2.0, 3.0 / 4, 1.0]


def test_own_counts_halve_with_the_age_of_every_interaction(interactions):
    indptr, items, counts = own_counts(interactions, half_life=10.0, newest=20.0)

    assert (indptr.tolist(), items.tolist()) == ([0, 1, 1, 3], [2, 0, 1])
    # 10 and 0 old; 10 old; later than "now" counts in full.
    assert counts.tolist() == [1.5, 0.5, 1.0]


def test_own_counts_without_a_half_life_or_times_are_plain_counts(interactions):
    assert own_counts(interactions, half_life=None, newest=0.0)[2].tolist() == [2, 1, 1]
    assert own_counts(Interactions([0, 0], [1, 1]), half_life=3.0, newest=0.0)[2].tolist() == [2]


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_weight_is_refused(wrong):
    with pytest.raises(ValueError, match=f"weight {wrong} of interaction 1"):
        UserItems.of(Interactions([0, 0], [0, 1], weights=[1.0, wrong]))


def test_a_weight_that_has_decayed_for_long_still_says_something():
    weights = UserItems.of(Interactions([0, 0], [0, 1], weights=[2.0**-60, 2.0**-61])).weights

    np.testing.assert_allclose(weights / weights.sum(), [2 / 3, 1 / 3])


def test_a_timestamp_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="timestamp nan of interaction 1"):
        UserItems.of(Interactions([0, 0], [0, 1], timestamps=[1.0, np.nan]))
