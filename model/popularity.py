"""How popular items are, old interactions counting less than new ones."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Times = TypeVar("Times", np.int64, np.float64)


# So many rows are "now", and where there are more, this share of them.
NEWEST_ROWS = 10
NEWEST_SHARE = 1 / 1000
# Of few rows no more than this share is.
LARGEST_SHARE = 1 / 20


def newest_rows(count: int) -> int:
    """How many of so many rows, one or more, are "now"."""
    return max(1, min(max(NEWEST_ROWS, int(count * NEWEST_SHARE)), int(count * LARGEST_SHARE)))


def settled_now(times: NDArray[Times]) -> Times:
    """About the newest time: the oldest of the newest ten rows, or of the newest thousandth where that is more.

    A few rows with a time far ahead of all others (a first click on imported history, a wrong clock) then cannot age
    everything else. Of fewer than 200 rows only the newest twentieth counts, and one row at least.

    Args:
        times: in any unit, shape (N,), N at least 1.
    """
    late = newest_rows(len(times))
    newest: Times = np.partition(times, -late)[-late]
    return newest


def decayed_counts(
    item_numbers: NDArray[np.integer[Any]],
    times_us: NDArray[np.int64] | NDArray[np.float64],
    *,
    num_items: int,
    half_life_us: float | None,
    newest_us: float | None = None,
    weights: NDArray[np.floating[Any]] | None = None,
) -> NDArray[np.float64]:
    """Count interactions per item; each halves in weight with every half-life of its age.

    r_i = sum over the interactions n of item i of weights[n] * 2^(-(newest_us - times_us[n]) / half_life_us)

    Args:
        item_numbers: item of each interaction, integers in 0..num_items-1, shape (N,).
        times_us: when it happened, microseconds since the epoch, shape (N,). Another unit will do, for all three.
        num_items: number of items I.
        half_life_us: age in microseconds at which an interaction counts half; None counts all in full.
        newest_us: the moment ages are counted back from, by default the newest of times_us; what is newer counts full.
        weights: weight of each interaction, shape (N,), or None for 1.
    Returns: float64, shape (I,).
    Raises: ValueError for an item number outside 0..I-1, lengths that disagree, or a half-life that is not above 0.
    """
    if item_numbers.shape != times_us.shape or (weights is not None and weights.shape != times_us.shape):
        raise ValueError("item_numbers, times_us and weights must have the same length")
    if half_life_us is not None and not half_life_us > 0:
        raise ValueError(f"half_life_us is {half_life_us}; it must be above 0")
    if not len(item_numbers):
        return np.zeros(num_items, dtype=np.float64)
    lowest, highest = int(item_numbers.min()), int(item_numbers.max())
    if lowest < 0 or highest >= num_items:
        raise ValueError(f"item number {lowest if lowest < 0 else highest} is outside 0..{num_items - 1}")

    counted = np.ones(len(times_us)) if weights is None else weights.astype(np.float64)
    if half_life_us is not None:
        newest = times_us.max() if newest_us is None else newest_us
        ages = np.maximum(newest - times_us, 0)
        counted = counted * np.exp2(-ages / half_life_us)
    return np.bincount(item_numbers, weights=counted, minlength=num_items).astype(np.float64, copy=False)
