"""Events in an order that only what they say decides, whatever order they were stored in.

Stores that hold the same give the same model, also where one was filled from the other's export and handed out other
keys. So within a training users and items go by keys of its own: their places in the order of their ids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.db import tables
from app.db.engine import Store
from app.db.scan import keys_in_order_of_ids
from app.training.dataset import Events
from model.served import ServedModel


@dataclass(frozen=True, eq=False)
class Ordered:
    """Events by places, and whose places these are.

    Attributes:
        events: `user_keys` and `item_keys` are places, from 0; ascending by user, time, item, type and value.
        rows: the place of each event among those that were read, int64.
        user_keys, item_keys: the store's key of each place, int64.
    """

    events: Events
    rows: NDArray[np.int64]
    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]

    def as_stored(self) -> Events:
        """The events by the store's keys, in the order of their rows' ids."""
        by_id = np.argsort(self.rows)
        return replace(
            self.events,
            user_keys=self.user_keys[self.events.user_keys[by_id]],
            item_keys=self.item_keys[self.events.item_keys[by_id]],
            event_codes=self.events.event_codes[by_id],
            values=self.events.values[by_id],
            times_us=self.events.times_us[by_id],
        )

    def with_store_keys(self, served: ServedModel) -> ServedModel:
        """A version of these places by the store's keys."""
        user_keys = self.user_keys[served.user_keys]
        item_keys = self.item_keys[served.item_keys]
        by_key = np.argsort(user_keys)
        return replace(
            served,
            pause=lambda: None,
            user_keys=user_keys[by_key],
            user_vectors=served.user_vectors[by_key],
            user_groups=served.user_groups[by_key],
            history_sizes=served.history_sizes[by_key],
            item_keys=item_keys,
            items_by_key=np.argsort(item_keys),
        )


def ordered(store: Store, events: Events) -> Ordered:
    """The events of users and items that are still there, in order. Raises: StoreUnavailable."""
    with store.read() as connection:
        user_keys = keys_in_order_of_ids(connection, tables.users)
        item_keys = keys_in_order_of_ids(connection, tables.items)
    user_keys = user_keys[np.isin(user_keys, events.user_keys)]
    item_keys = item_keys[np.isin(item_keys, events.item_keys)]
    users, items = _places(user_keys, events.user_keys), _places(item_keys, events.item_keys)
    names = sorted(events.event_types)
    numbers = {name: number for number, name in enumerate(names)}
    renumbered = np.array([numbers[name] for name in events.event_types], dtype=events.event_codes.dtype)
    codes = renumbered[events.event_codes] if len(events) else events.event_codes
    values, times_us, watermark = events.values, events.times_us, events.watermark
    # Where nobody else holds them, the other columns go now: of many millions the peak is a third less.
    del events
    order = np.lexsort((times_us, users))
    # Few are of the same user and moment: only these need more to be told apart.
    tied = np.diff(users[order]) == 0
    tied &= np.diff(times_us[order]) == 0
    places = np.flatnonzero(np.append(tied, False) | np.append(False, tied)) if len(order) else order
    rows = order[places]
    order[places] = rows[np.lexsort((values[rows], codes[rows], items[rows], times_us[rows], users[rows]))]
    order = order[(users[order] >= 0) & (items[order] >= 0)]
    found = Events(users[order], items[order], codes[order], tuple(names), values[order], times_us[order], watermark)
    return Ordered(found, order, user_keys, item_keys)


def _places(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of `wanted` stands among `keys`, which are in any order; -1 for nowhere."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    by_key = np.argsort(keys)
    found = np.minimum(np.searchsorted(keys, wanted, sorter=by_key), len(keys) - 1)
    places = by_key[found]
    return np.where(keys[places] == wanted, places, -1)
