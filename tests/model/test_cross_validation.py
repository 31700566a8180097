from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.cross_validation import temporal_cut


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
