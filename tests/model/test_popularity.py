from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.popularity import decayed_counts, settled_now

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000


def slowly(items, times, num_items, half_life, newest, weights):
    counts = [0.0] * num_items
    for item, time, weight in zip(items, times, weights, strict=True):
        counts[item] += weight * (1.0 if half_life is None else 2.0 ** (-max(newest - time, 0) / half_life))
    return counts


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(-900 * DAY_US, 10 * DAY_US), st.floats(0, 100)),
        min_size=1,
        max_size=40,
    ),
    half_life=st.none() | st.floats(DAY_US / 100, 1e4 * DAY_US),
    newest=st.none() | st.integers(-10 * DAY_US, 20 * DAY_US),
)
def test_it_counts_like_a_plain_loop(rows, half_life, newest):
    items, offsets, weights = zip(*rows, strict=True)
    times = [NOW_US + offset for offset in offsets]
    counted_from = None if newest is None else NOW_US + newest

    counts = decayed_counts(
        np.array(items),
        np.array(times),
        num_items=5,
        half_life_us=half_life,
        newest_us=counted_from,
        weights=np.array(weights),
    )

    expected = slowly(items, times, 5, half_life, max(times) if newest is None else counted_from, weights)
    np.testing.assert_allclose(counts, expected, rtol=1e-12, atol=1e-300)


def test_an_interaction_counts_half_after_each_half_life():
    times = NOW_US - np.array([0, 1, 2, 3]) * 30 * DAY_US

    counts = decayed_counts(np.arange(4), times, num_items=5, half_life_us=30 * DAY_US)

    assert counts.tolist() == [1, 0.5, 0.25, 0.125, 0]
    assert counts.dtype == np.float64


def test_without_a_half_life_all_count_alike():
    counts = decayed_counts(np.array([1, 1, 0], dtype=np.int32), np.array([0, 5, 9]), num_items=3, half_life_us=None)

    assert counts.tolist() == [1, 2, 0]
    assert counts.dtype == np.float64


def test_what_is_newer_than_the_reference_counts_in_full_and_not_more():
    counts = decayed_counts(
        np.array([0, 1]), np.array([NOW_US, NOW_US + DAY_US]), num_items=2, half_life_us=DAY_US, newest_us=NOW_US
    )

    assert counts.tolist() == [1, 1]


def test_no_interactions_make_no_popularity():
    nothing = np.array([], dtype=np.int64)

    counts = decayed_counts(nothing, nothing, num_items=2, half_life_us=1.0)

    assert counts.tolist() == [0, 0]
    assert counts.dtype == np.float64


@pytest.mark.parametrize("number", [-1, 3])
def test_an_item_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=rf"item number {number} is outside 0\.\.2"):
        decayed_counts(np.array([0, number]), np.array([0, 0]), num_items=3, half_life_us=None)


@pytest.mark.parametrize("half_life", [0, -1.0, float("nan")])
def test_a_half_life_that_is_not_above_zero_is_refused(half_life):
    with pytest.raises(ValueError, match="half_life_us"):
        decayed_counts(np.array([0]), np.array([0]), num_items=1, half_life_us=half_life)


@pytest.mark.parametrize(("times", "weights"), [([1, 2], None), ([1], [1.0, 2.0])])
def test_lengths_that_disagree_are_refused(times, weights):
    with pytest.raises(ValueError, match="same length"):
        decayed_counts(
            np.array([0]),
            np.array(times),
            num_items=1,
            half_life_us=None,
            weights=None if weights is None else np.array(weights),
        )


@pytest.mark.parametrize(("rows", "now"), [(1, 0), (39, 38), (40, 38), (400, 390), (50_000, 49_950)])
def test_now_is_the_oldest_of_the_newest_rows(rows, now):
    assert settled_now(np.random.default_rng(0).permutation(rows)) == now


def test_times_may_be_fractions_of_any_unit():
    counts = decayed_counts(np.array([0, 1]), np.array([0.25, 0.75]), num_items=2, half_life_us=0.5)

    assert counts.tolist() == [0.5, 1]
