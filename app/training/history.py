"""What users did, with everybody's names, as the arrays the service reads from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.db import items, users
from app.db.engine import Store
from app.db.items import ItemRecord
from app.training.dataset import Events
from model.histories import Histories
from model.item_table import ItemTable, Restriction

KEYS_AT_ONCE = 10_000


def build_histories(store: Store, events: Events, *, check: Callable[[], None] = lambda: None) -> Histories:
    """All events, those that hide included, with the ids of their users, and all items.

    Events of a user or an item that has gone from the store since they were read are left out.

    Args:
        check: called before each short read of the store; may raise to give up.
    Raises: StoreUnavailable.
    """
    user_ids: dict[int, str] = {}
    for keys in _chunks(np.unique(events.user_keys)):
        check()
        with store.read() as connection:
            user_ids |= users.ids_of(connection, keys)
    table = item_table(_records(store, events, check))
    kept = np.flatnonzero(np.isin(events.user_keys, list(user_ids)) & np.isin(events.item_keys, table.keys))
    return Histories.build(
        events.user_keys[kept],
        events.item_keys[kept],
        event_codes=events.event_codes[kept],
        times_us=events.times_us[kept],
        values=events.values[kept],
        event_types=events.event_types,
        user_ids=user_ids,
        items=table,
    )


def item_table(records: Iterable[ItemRecord]) -> ItemTable:
    """The table of some items."""
    item_ids: dict[int, str] = {}
    titles: dict[int, str] = {}
    categories: dict[int, Sequence[str]] = {}
    restrictions: dict[int, Restriction] = {}
    for record in records:
        item_ids[record.item_key] = record.item_id
        if record.title:
            titles[record.item_key] = record.title
        if record.categories:
            categories[record.item_key] = record.categories
        if (restriction := record.restriction) is not None:
            restrictions[record.item_key] = restriction
    return ItemTable.build(item_ids, titles=titles, categories=categories, restrictions=restrictions)


def _records(store: Store, events: Events, check: Callable[[], None]) -> Iterator[ItemRecord]:
    """The items of the events and those that somebody has put a record for, as the store has them now."""
    with store.read() as connection:
        put = np.array(items.put_keys(connection), dtype=np.int64)
    for keys in _chunks(np.union1d(events.item_keys, put)):
        check()
        with store.read() as connection:
            yield from list(items.records(connection, keys))


def _chunks(keys: NDArray[np.int64]) -> Iterator[list[int]]:
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[start : start + KEYS_AT_ONCE].tolist()
