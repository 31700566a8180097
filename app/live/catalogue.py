"""The items a replica knows: names, titles, and which of them may be shown now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.db.items import ItemRecord
from model.histories import Histories


class Catalogue:
    """Item keys to ids and titles: the memory-mapped names of `base`, and over them the records that came since.

    One writer at a time (History holds the lock); readers see each record whole.
    """

    def __init__(self, base: Histories) -> None:
        self._base = base
        self._ids: dict[int, str] = {}
        self._keys: dict[str, int] = {}
        self._records: dict[int, ItemRecord] = {}
        self._restricted: dict[int, ItemRecord] = {}
        self._restrictions = _Restrictions(())

    def rebase(self, base: Histories) -> None:
        """Take the names from a newer base; records stay, since they are what the store said last.

        A name that only the old base has is kept: the model in use may still list its item.
        """
        old = self._base
        gone = np.setdiff1d(old.item_keys, base.item_keys).tolist()
        self._learn({key: item_id for key in gone if (item_id := old.item_id(key)) is not None})
        self._base = base
        known = set(base.item_keys.tolist()) if self._ids else set()
        self._ids = {key: item_id for key, item_id in self._ids.items() if key not in known}
        self._keys = {item_id: key for key, item_id in self._ids.items()}

    def name(self, item_ids: dict[int, str]) -> None:
        """Learn the ids of item keys that interactions brought."""
        self._learn({key: item_id for key, item_id in item_ids.items() if self._base.item_id(key) is None})

    def _learn(self, item_ids: dict[int, str]) -> None:
        self._ids |= item_ids
        self._keys |= {item_id: key for key, item_id in item_ids.items()}

    def update(self, records: Iterable[ItemRecord]) -> None:
        """Take item records as the store now has them."""
        changed = False
        for record in records:
            self.name({record.item_key: record.item_id})
            self._records[record.item_key] = record
            if _is_restricted(record):
                self._restricted[record.item_key] = record
                changed = True
            elif self._restricted.pop(record.item_key, None) is not None:
                changed = True
        if changed:
            self._restrictions = _Restrictions(tuple(self._restricted.values()))

    def item_key(self, item_id: str) -> int | None:
        """The store's key of an id, or None for one that was never seen."""
        key = self._keys.get(item_id)
        return key if key is not None else self._base.item_key(item_id)

    def item_id(self, item_key: int) -> str | None:
        """The id of a key, or None for one that was never seen."""
        item_id = self._ids.get(item_key)
        return item_id if item_id is not None else self._base.item_id(item_key)

    def item_keys(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """The keys of many ids at once, shape of item_ids; -1 for one that was never seen."""
        # What came since is looked at before the base, so that a rebase between the two hides nothing.
        since = self._keys
        found = np.array([since.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        base = self._base
        places = np.flatnonzero(found < 0)
        rows = base.items.numbers([item_ids[place] for place in places.tolist()])
        found[places[rows >= 0]] = base.item_keys[rows[rows >= 0]]
        return found

    def item_ids(self, item_keys: NDArray[np.int64]) -> list[str | None]:
        """The ids of many keys at once, None for one that was never seen."""
        since = self._ids
        base = self._base
        rows = np.searchsorted(base.item_keys, item_keys)
        known = rows < len(base.item_keys)
        known[known] = base.item_keys[rows[known]] == item_keys[known]
        named: list[str | None] = [*base.items.ids(rows[known])]
        if len(named) == len(item_keys):
            return named
        found: list[str | None] = [since.get(key) for key in item_keys.tolist()]
        for place, item_id in zip(np.flatnonzero(known).tolist(), named, strict=True):
            found[place] = item_id
        return found

    def unnamed(self, item_keys: NDArray[np.int64]) -> list[int]:
        """Those of `item_keys`, shape (I,), whose id is not known here."""
        beside = item_keys[~np.isin(item_keys, self._base.item_keys)]
        return [key for key in beside.tolist() if key not in self._ids]

    def title(self, item_key: int) -> str | None:
        """The title of a key, or None where none was given."""
        record = self._records.get(item_key)
        return record.title if record is not None else self._base.title(item_key)

    def withheld_keys(self, now_us: int) -> NDArray[np.int64]:
        """Keys of the items no list may hold at `now_us`: hidden, deleted, outside their availability window."""
        return self._restrictions.withheld(now_us)


class _Restrictions:
    """The records that restrict an item, as arrays, so that a request costs two comparisons a record and no loop."""

    def __init__(self, records: tuple[ItemRecord, ...]) -> None:
        self._keys = np.array([r.item_key for r in records], dtype=np.int64)
        self._off = np.array([r.hidden or r.deleted for r in records], dtype=np.bool_)
        self._from_us = np.array([r.available_from_us or 0 for r in records], dtype=np.int64)
        forever = np.iinfo(np.int64).max
        until = [forever if r.available_until_us is None else r.available_until_us for r in records]
        self._until_us = np.array(until, dtype=np.int64)

    def withheld(self, now_us: int) -> NDArray[np.int64]:
        return self._keys[self._off | (now_us < self._from_us) | (now_us >= self._until_us)]


def _is_restricted(record: ItemRecord) -> bool:
    return (
        record.hidden or record.deleted or record.available_from_us is not None or record.available_until_us is not None
    )
