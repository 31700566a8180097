"""RecentPopularity against the sum it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.live.popularity import NEWEST_EVENTS, RecentPopularity

HALF_LIFE_US = 1_000


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2_000_000)), min_size=1, max_size=60))
def test_counts_equal_the_decayed_sum_whatever_the_order_and_the_span(events: list[tuple[int, int]]) -> None:
    popularity = RecentPopularity(half_life_us=HALF_LIFE_US)
    for event in events:
        popularity.add([event])
    newest = sorted((at for _, at in events), reverse=True)[:NEWEST_EVENTS][-1]
    expected = {
        key: sum(2.0 ** (min(at - newest, 0) / HALF_LIFE_US) for k, at in events if k == key)
        for key in {k for k, _ in events}
    }
    keys, counts = popularity.counts()
    assert keys.tolist() == sorted(expected)
    np.testing.assert_allclose(counts, [expected[key] for key in keys.tolist()], rtol=1e-9, atol=1e-200)


def test_a_half_life_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="half-life 0"):
        RecentPopularity(half_life_us=0)


def test_one_new_event_does_not_age_all_that_went_before() -> None:
    popularity = RecentPopularity(half_life_us=HALF_LIFE_US)
    popularity.add([(1, 0)] * 30 + [(2, 0)] * 20)
    popularity.add([(3, 10_000 * HALF_LIFE_US)])
    assert popularity.counts()[1].tolist() == [30, 20, 1]
