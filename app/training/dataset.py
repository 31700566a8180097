"""Rows of the store as training data: read in ranges of ids up to a fixed watermark, straight into arrays.

Letters used for shapes: N events, P pairs of a user and an item, U users, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.db import interactions
from app.db.engine import Store
from app.db.feed import adopt_restored, holds_foreign
from app.db.scan import RANGE_ROWS, EventNames, LogRange, scan
from app.db.watermark import Watermark
from model.positives import EventWeights, TypeWeights, speaking
from model.user_items import damped


@dataclass(frozen=True, eq=False)
class Events:
    """Everything that happened up to a watermark, in the order of the rows' ids; all columns of shape (N,).

    Attributes:
        user_keys, item_keys: the store's keys, int64.
        event_codes: index into event_types, int32.
        event_types: names of the event types.
        values: float32.
        times_us: microseconds since the epoch, int64.
        watermark: which rows these are.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    event_codes: NDArray[np.int32]
    event_types: tuple[str, ...]
    values: NDArray[np.float32]
    times_us: NDArray[np.int64]
    watermark: Watermark

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, eq=False)
class Positives:
    """Events that speak for an item; all columns of shape (N,), in the order of the rows' ids.

    Attributes:
        user_keys, item_keys: the store's keys, int64.
        times_us: microseconds since the epoch, int64.
        weights: weight of the event's type times its value, float64.
        left_out: how many events were left out, by reason.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    times_us: NDArray[np.int64]
    weights: NDArray[np.float64]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, rows: NDArray[np.int64]) -> Positives:
        """Some of the rows, in the order given."""
        columns = (self.user_keys[rows], self.item_keys[rows], self.times_us[rows], self.weights[rows])
        return Positives(*columns, left_out=self.left_out)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Users and items numbered from 0, one row for each pair that occurs.

    Attributes:
        user_keys, item_keys: the key of each number, strictly ascending, int64, shapes (U,) and (I,).
        user_numbers, item_numbers: int64, shape (P,).
        weights: log2(1 + summed weights of the pair's events), scaled to mean 1, float32, shape (P,).
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    user_numbers: NDArray[np.int64]
    item_numbers: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)


def read_events(store: Store, *, check: Callable[[], None] = lambda: None, range_rows: int = RANGE_ROWS) -> Events:
    """Read every interaction that is committed now, those of a restored dump included.

    Args:
        check: called before each range; may raise to give up.
        range_rows: rows read in one transaction.
    Raises: StoreUnavailable.
    """
    watermark = _watermark(store)
    names = EventNames()
    ranges: list[LogRange] = list(scan(store, watermark, names, rows=range_rows, check=check))
    joined: dict[str, NDArray[Any]] = {}
    for column, dtype in _COLUMNS.items():
        # Column by column, each freed as it is joined: the peak is one column more than the result.
        parts = [getattr(each, column) for each in ranges]
        joined[column] = np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
        ranges = [replace(each, **{column: _NOTHING[dtype]}) for each in ranges]
    return Events(**joined, event_types=names.names, watermark=watermark)


def positives(events: Events, event_weights: EventWeights) -> Positives:
    """Which events speak for an item, and how much, as `model.positives.speaking` says."""
    found = speaking(
        events.user_keys,
        events.item_keys,
        event_codes=events.event_codes,
        values=events.values,
        times_us=events.times_us,
        types=TypeWeights.of(events.event_types, event_weights),
    )
    kept = found.rows
    return Positives(
        user_keys=events.user_keys[kept],
        item_keys=events.item_keys[kept],
        times_us=events.times_us[kept],
        weights=found.weights,
        left_out=found.left_out,
    )


def pairs(rows: Positives) -> Pairs:
    """One row for each (user, item): weight log2(1 + sum of its events' weights), scaled to mean 1."""
    user_keys, users = _numbered(rows.user_keys)
    item_keys, items = _numbered(rows.item_keys)
    width = max(len(item_keys), 1)
    found, row_of = np.unique(users * width + items, return_inverse=True)
    weights = damped(np.bincount(row_of, weights=rows.weights, minlength=len(found)))
    if len(found):
        weights /= weights.mean()
    return Pairs(user_keys, item_keys, found // width, found % width, weights.astype(np.float32))


def _numbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `np.unique(keys, return_inverse=True)`, of keys from 0; without a sort where they lie close together."""
    if not len(keys) or keys.max() > 4 * len(keys):
        return np.unique(keys, return_inverse=True)
    there = np.bincount(keys) > 0
    numbers = np.cumsum(there) - 1
    return np.flatnonzero(there), numbers[keys]


def _watermark(store: Store) -> Watermark:
    with store.read(repeatable=True) as connection:
        watermark = interactions.current_watermark(connection)
        if not holds_foreign(connection, watermark):
            return watermark
    # Transaction numbers of another server lie beyond any watermark: those rows would be left out.
    adopt_restored(store)
    return _watermark(store)


_COLUMNS: Mapping[str, type[np.generic]] = {
    "user_keys": np.int64,
    "item_keys": np.int64,
    "event_codes": np.int32,
    "values": np.float32,
    "times_us": np.int64,
}
_NOTHING: Mapping[type[np.generic], NDArray[Any]] = {kind: np.empty(0, dtype=kind) for kind in _COLUMNS.values()}
