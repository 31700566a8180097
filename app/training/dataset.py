"""Rows of the store as training data: read in ranges of ids up to a fixed watermark, straight into arrays.

Letters used for shapes: N events, P pairs of a user and an item, U users, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.db import interactions
from app.db.engine import Store
from app.db.feed import adopt_restored, holds_foreign
from app.db.watermark import Watermark
from model.positives import EventWeights, TypeWeights, speaking
from model.user_items import damped

# One short read of the store: long reads hold back its clean-up and, with them, everybody's writes.
RANGE_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Events:
    """Everything that happened up to a watermark, in the order of the rows' ids; all columns of shape (N,).

    Attributes:
        user_keys, item_keys: the store's keys, int64.
        event_codes: index into event_types, uint16.
        event_types: names of the event types.
        values: float32.
        times_us: microseconds since the epoch, int64.
        watermark: which rows these are.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    event_codes: NDArray[np.uint16]
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
    codes: dict[str, int] = {}
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    after_id = 0
    while True:
        check()
        with store.read() as connection:
            found = interactions.scan(connection, upto=watermark, after_id=after_id, limit=range_rows)
        event_codes = [codes.setdefault(name, len(codes)) for name in found.event_type]
        columns["user_keys"].append(found.user_key)
        columns["item_keys"].append(found.item_key)
        columns["event_codes"].append(np.array(event_codes, dtype=np.uint16))
        columns["values"].append(found.value.astype(np.float32))
        columns["times_us"].append(found.occurred_us)
        if len(found) < range_rows:
            break
        after_id = int(found.id[-1])
    # Column by column, each list freed as it is joined: the peak is one column more than the result.
    joined = {name: _joined(columns.pop(name), dtype) for name, dtype in _COLUMNS.items()}
    return Events(**joined, event_types=tuple(codes), watermark=watermark)


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
    user_keys, users = np.unique(rows.user_keys, return_inverse=True)
    item_keys, items = np.unique(rows.item_keys, return_inverse=True)
    width = max(len(item_keys), 1)
    found, row_of = np.unique(users * width + items, return_inverse=True)
    weights = damped(np.bincount(row_of, weights=rows.weights, minlength=len(found)))
    if len(found):
        weights /= weights.mean()
    return Pairs(user_keys, item_keys, found // width, found % width, weights.astype(np.float32))


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
    "event_codes": np.uint16,
    "values": np.float32,
    "times_us": np.int64,
}


def _joined(chunks: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(chunks).astype(dtype, copy=False) if chunks else np.empty(0, dtype=dtype)
