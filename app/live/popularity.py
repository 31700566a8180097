"""Recent popularity while no model is live: what `popular` lists are made of before the first training."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# 2^500 leaves room in a float64 (2^1023) for any count; beyond it the reference time moves.
_LARGEST_EXPONENT = 500.0
# As in a training: a few events with a clock ahead, or the first new ones after an import, must not age all the others.
NEWEST_EVENTS = 10


class RecentPopularity:
    """Counts per item that halve every `half_life_us`, kept as one float per item.

    The newest ten events count in full, every other by its age before the oldest of those ten. An event at time t adds
    2^((t - reference) / half_life), so nothing has to be aged when time passes; the common factor is taken out when the
    counts are read. Not safe for concurrent writers: History holds the lock.
    """

    def __init__(self, *, half_life_us: float) -> None:
        if not half_life_us > 0:
            raise ValueError(f"half-life {half_life_us} us is not above 0")
        self._half_life_us = half_life_us
        self._reference_us: int | None = None
        # A heap of (time, item key): the newest events, not yet among the weights.
        self._newest: list[tuple[int, int]] = []
        self._weights: dict[int, float] = {}
        self._read: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    def add(self, events: Iterable[tuple[int, int]]) -> None:
        """Count events, each (item key, time in microseconds)."""
        for item_key, time_us in events:
            if len(self._newest) < NEWEST_EVENTS:
                heapq.heappush(self._newest, (time_us, item_key))
                continue
            aged_us, aged_key = heapq.heappushpop(self._newest, (time_us, item_key))
            weight = self._weight(aged_us)  # first: it may rescale the others
            self._weights[aged_key] = self._weights.get(aged_key, 0.0) + weight
        self._read = None

    def add_many(self, item_keys: NDArray[np.int64], times_us: NDArray[np.int64]) -> None:
        """Count events given as arrays of shape (N,); a million take a tenth of a second."""
        rest = np.zeros(len(times_us), dtype=np.bool_)
        if len(times_us) > NEWEST_EVENTS:
            # None of these is among the newest ten, whatever came before.
            rest[np.argpartition(times_us, -NEWEST_EVENTS)[:-NEWEST_EVENTS]] = True
            self._add_aged(item_keys[rest], times_us[rest])
        self.add(zip(item_keys[~rest].tolist(), times_us[~rest].tolist(), strict=True))

    def _add_aged(self, item_keys: NDArray[np.int64], times_us: NDArray[np.int64]) -> None:
        self._weight(int(times_us.max()))  # it may rescale the others
        exponents = (times_us - (self._reference_us or 0)) / self._half_life_us
        keys, places = np.unique(item_keys, return_inverse=True)
        sums = np.bincount(places, weights=np.exp2(exponents))
        for key, weight in zip(keys.tolist(), sums.tolist(), strict=True):
            self._weights[key] = self._weights.get(key, 0.0) + weight

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Item keys ascending, shape (I,), and their decayed counts, shape (I,)."""
        if self._read is None:
            decayed = dict(self._weights)
            if self._reference_us is not None:
                factor = math.exp2((self._reference_us - self._newest[0][0]) / self._half_life_us)
                decayed = {key: weight * factor for key, weight in decayed.items()}
            for _, item_key in self._newest:
                decayed[item_key] = decayed.get(item_key, 0.0) + 1.0
            keys = np.array(sorted(decayed), dtype=np.int64)
            self._read = (keys, np.array([decayed[key] for key in keys.tolist()], dtype=np.float64))
        return self._read

    def _weight(self, time_us: int) -> float:
        if self._reference_us is None:
            self._reference_us = time_us
        exponent = (time_us - self._reference_us) / self._half_life_us
        if exponent > _LARGEST_EXPONENT:
            factor = math.exp2(-exponent)
            self._weights = {key: weight * factor for key, weight in self._weights.items()}
            self._reference_us = time_us
            return 1.0
        return math.exp2(exponent)
