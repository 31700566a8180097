"""What users did, with everybody's names, as the arrays the service reads from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from app.db import items, users
from app.db.engine import Store
from app.training.dataset import Events
from model.histories import Histories

KEYS_AT_ONCE = 10_000


def build_histories(store: Store, events: Events, *, check: Callable[[], None] = lambda: None) -> Histories:
    """All events, those that hide included, with the ids of their users and items and the items' titles.

    Events of a user or an item that has gone from the store since they were read are left out.

    Args:
        check: called before each short read of the store; may raise to give up.
    Raises: StoreUnavailable.
    """
    user_ids: dict[int, str] = {}
    item_ids: dict[int, str] = {}
    titles: dict[int, str] = {}
    for keys in _chunks(events.user_keys):
        check()
        with store.read() as connection:
            user_ids |= users.ids_of(connection, keys)
    for keys in _chunks(events.item_keys):
        check()
        with store.read() as connection:
            for record in items.records(connection, keys):
                item_ids[record.item_key] = record.item_id
                if record.title:
                    titles[record.item_key] = record.title
    kept = np.flatnonzero(_named(events.user_keys, user_ids) & _named(events.item_keys, item_ids))
    return Histories.build(
        events.user_keys[kept],
        events.item_keys[kept],
        event_codes=events.event_codes[kept],
        times_us=events.times_us[kept],
        values=events.values[kept],
        event_types=events.event_types,
        user_ids=user_ids,
        item_ids=item_ids,
        titles=titles,
    )


def _chunks(keys: NDArray[np.int64]) -> Iterator[list[int]]:
    distinct = np.unique(keys)
    for start in range(0, len(distinct), KEYS_AT_ONCE):
        yield distinct[start : start + KEYS_AT_ONCE].tolist()


def _named(keys: NDArray[np.int64], ids: dict[int, str]) -> NDArray[np.bool_]:
    return np.isin(keys, np.fromiter(ids, dtype=np.int64, count=len(ids)))
