"""Rows of the store as training data: read in ranges of ids up to a fixed watermark, straight into arrays.

Letters used for shapes: N events, P pairs of a user and an item, U users, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.db import interactions
from app.db.engine import Store
from app.db.feed import adopt_restored, holds_foreign
from app.db.scan import RANGE_ROWS, EventNames, LogRange, scan
from app.db.watermark import Watermark
from model.positives import DEFAULT_WEIGHT, EventWeights, TypeWeights, speaking, value_caps
from model.user_items import damped

FAR_BEYOND = 20
# Of fewer users the 99th percentile is one of the most active ones itself.
FEWEST_COMPARED = 200
MANY_PAIRS = 200
MOST_TYPES_SHOWN = 100


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
        value_caps: the largest value that counts, by the name of a type.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    times_us: NDArray[np.int64]
    weights: NDArray[np.float64]
    left_out: Mapping[str, int]
    value_caps: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, rows: NDArray[np.int64]) -> Positives:
        """Some of the rows, in the order given."""
        columns = (self.user_keys[rows], self.item_keys[rows], self.times_us[rows], self.weights[rows])
        return Positives(*columns, left_out=self.left_out, value_caps=self.value_caps)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Users and items numbered from 0, one row for each pair that occurs.

    Attributes:
        user_keys, item_keys: the key of each number, strictly ascending, int64, shapes (U,) and (I,).
        user_numbers, item_numbers: int64, shape (P,).
        weights: log2(1 + summed weights of the pair's events), of users with many pairs less, scaled to mean 1,
            float32, shape (P,).
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
    """Which events speak for an item, and how much, as `model.positives.speaking` says.

    Users with over FAR_BEYOND times as many of them as 99 of 100 have are no people: they are left out. The value of an
    event is cut at the 99th percentile of its type.
    """
    caps = value_caps(events.event_types, events.event_codes, events.values)
    found = speaking(
        events.user_keys,
        events.item_keys,
        event_codes=events.event_codes,
        values=events.values,
        times_us=events.times_us,
        types=TypeWeights.of(events.event_types, event_weights, caps),
    )
    kept, weights = found.rows, found.weights
    beyond = _far_beyond_others(events.user_keys[kept])
    if beyond.any():
        kept, weights = kept[~beyond], weights[~beyond]
    return Positives(
        user_keys=events.user_keys[kept],
        item_keys=events.item_keys[kept],
        times_us=events.times_us[kept],
        weights=weights,
        left_out={**found.left_out, "of_users_far_beyond_others": int(beyond.sum())},
        value_caps=caps,
    )


def event_types_in_words(events: Events, rows: Positives, event_weights: EventWeights) -> dict[str, dict[str, Any]]:
    """What an event of each type counted for: `events`, `weight` (or `hide`), `value_cap`; the most frequent ones."""
    counts = np.bincount(events.event_codes, minlength=len(events.event_types))
    shown = np.argsort(-counts, kind="stable")[:MOST_TYPES_SHOWN].tolist()
    names = [(events.event_types[code], int(counts[code])) for code in shown]
    return {
        name: {
            "events": count,
            "weight": event_weights.get(name, DEFAULT_WEIGHT),
            "value_cap": rows.value_caps.get(name),
        }
        for name, count in names
    }


def pairs(rows: Positives) -> Pairs:
    """One row for each (user, item): weight log2(1 + sum of its events' weights), scaled to mean 1.

    Beyond MANY_PAIRS of a user their weights grow together with the square root of their number only, so that a few who
    do all day what others do once a week do not decide alone what is alike.
    """
    user_keys, users = _numbered(rows.user_keys)
    item_keys, items = _numbered(rows.item_keys)
    width = max(len(item_keys), 1)
    users *= width
    users += items
    del items
    found, row_of = np.unique(users, return_inverse=True)
    del users
    weights = damped(np.bincount(row_of, weights=rows.weights, minlength=len(found)))
    sizes = np.bincount(found // width, minlength=len(user_keys))
    weights *= np.sqrt(np.minimum(1.0, MANY_PAIRS / np.maximum(sizes, 1)))[found // width]
    if len(found):
        weights /= weights.mean()
    return Pairs(user_keys, item_keys, found // width, found % width, weights.astype(np.float32))


def _far_beyond_others(user_keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row is of a user with far more of them than others have, bool, shape of user_keys."""
    _, users = _numbered(user_keys)
    sizes = np.bincount(users)
    if len(sizes) < FEWEST_COMPARED:
        return np.zeros(len(user_keys), dtype=np.bool_)
    limit = FAR_BEYOND * np.quantile(sizes, 0.99, method="higher")
    return (sizes > limit)[users]


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
