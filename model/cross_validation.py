"""Splitting interactions into what is learnt from and what is judged by.

Letters used for shapes: N interactions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TimeCut(NamedTuple):
    """Rows before and after a moment, as positions in the arrays cut; both in the order of time."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]


def temporal_cut(times_us: NDArray[np.int64], fraction: float) -> TimeCut:
    """Set the newest rows apart, by number of rows, not by duration.

    Args:
        times_us: when each row happened, shape (N,), in the order of the rows' ids; of two rows of the same time the
            one with the lower id is the earlier.
        fraction: share of the rows that goes into `later`, between 0 and 1.
    Returns: positions of the rows, int64; round(N * fraction) of them in `later`.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be between 0 and 1")
    order = np.argsort(times_us, kind="stable").astype(np.int64, copy=False)
    first_later = len(order) - round(len(order) * fraction)
    return TimeCut(order[:first_later], order[first_later:])
