"""The items a replica knows: names, titles, categories, and which of them may be shown now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.db.items import ItemRecord
from app.live.restrictions import Restrictions
from model.item_table import ItemTable, Restriction

# Beyond so many, what came since becomes a table too: a record in memory takes about a kilobyte.
MOST_SINCE = 20_000
# Names that were looked up are kept, some two hundred bytes each: most lists show the same items.
MOST_NAMES = 4_096


@dataclass(frozen=True, slots=True)
class _State:
    """Tables, the newest first, and what came since, behind one reference: all of the same moment.

    Attributes:
        ids, keys: names of items that the tables do not have.
        records: as the store said last, whatever the tables have.
    """

    tables: tuple[ItemTable, ...]
    ids: dict[int, str] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    records: dict[int, ItemRecord] = field(default_factory=dict)


class Catalogue:
    """Items by key and id: the memory-mapped table of a training, and over it what came since.

    One writer at a time (History holds the lock); readers see each record whole.

    Args:
        most_since: beyond so many, what came since becomes a table.
    Attributes:
        version: another number after each change.
    """

    def __init__(self, base: ItemTable, *, most_since: int = MOST_SINCE) -> None:
        self._most_since = most_since
        self._state = _State((base,))
        # With the version that it was made for: a change that comes while it is made must not be covered up.
        self._restrictions: tuple[int, Restrictions] | None = None
        # Ids and titles that were shown lately; a new one whenever some of them may have changed.
        self._kept_names: dict[int, tuple[str | None, str | None]] = {}
        self.version = 0

    @classmethod
    def of(cls, base: ItemTable, item_ids: Mapping[int, str], records: Iterable[ItemRecord]) -> Catalogue:
        """A table, names that it may not have, and records that came since."""
        made = cls(base)
        made.name(item_ids)
        made.update(records)
        made.compact()
        return made

    # -- what comes in ------------------------------------------------------------------------------------------------

    def rebase(self, newer: Catalogue) -> None:
        """Hold what a newer one does, all at once: no reader sees its table without what came since.

        A name that only this one has is kept: the model in use may still list its item.
        """
        old, new = self._state, newer._state
        ids = {key: item_id for key, item_id in old.ids.items() if not _is_named(new, key)}
        for table in old.tables:
            gone = table.keys
            for other in new.tables:
                gone = gone[~np.isin(gone, other.keys)]
            ids |= dict(zip(gone.tolist(), table.ids.ids(np.searchsorted(table.keys, gone)), strict=True))
        # What records said is in the newer table as well, or among the changes since it, which were read again.
        ids |= new.ids
        self._become(_State(new.tables, ids, {item_id: key for key, item_id in ids.items()}, new.records))

    def name(self, item_ids: Mapping[int, str]) -> None:
        """Learn the ids of item keys that interactions brought."""
        state = self._state
        if not (new := {key: item_id for key, item_id in item_ids.items() if not _is_named(state, key)}):
            return
        state.keys.update({item_id: key for key, item_id in new.items()})
        state.ids.update(new)
        self._changed()

    def update(self, records: Iterable[ItemRecord]) -> None:
        """Take item records as the store now has them."""
        records = list(records)
        if not records:
            return
        self.name({record.item_key: record.item_id for record in records})
        self._state.records.update({record.item_key: record for record in records})
        self._kept_names = {}
        self._changed()

    def compact(self) -> None:
        """Make a table of what came since where that is much; nothing else changes."""
        state = self._state
        base, *between = reversed(state.tables)
        if len(state.records) + len(state.ids) <= max(self._most_since, sum(map(len, between))):
            return
        keys = {*state.ids, *state.records, *(key for table in between for key in table.keys.tolist())}
        facts = {key: self._facts(state, key) for key in keys}
        table = ItemTable.build(
            {key: item_id for key in keys if (item_id := self._id(state, key)) is not None},
            titles={key: title for key, (title, _, _) in facts.items() if title},
            categories={key: categories for key, (_, categories, _) in facts.items() if categories},
            restrictions={key: each for key, (_, _, each) in facts.items() if each is not None},
        )
        self._become(_State((table, base)))

    # -- names --------------------------------------------------------------------------------------------------------

    def item_key(self, item_id: str) -> int | None:
        """The store's key of an id, or None for one that was never seen."""
        state = self._state
        if (key := state.keys.get(item_id)) is not None:
            return key
        return next((key for table in state.tables if (key := table.key(item_id)) is not None), None)

    def item_keys(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """The keys of many ids at once, shape of item_ids; -1 for one that was never seen."""
        state = self._state
        since = state.keys
        found = np.array([since.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        for table in state.tables:
            places = np.flatnonzero(found < 0)
            rows = table.ids.numbers([item_ids[place] for place in places.tolist()])
            found[places[rows >= 0]] = table.keys[rows[rows >= 0]]
        return found

    def item_id(self, item_key: int) -> str | None:
        """The id of a key, or None for one that was never seen."""
        return self._id(self._state, item_key)

    def item_ids(self, item_keys: NDArray[np.int64]) -> list[str | None]:
        """The ids of many keys at once, None for one that was never seen."""
        state = self._state
        found: list[str | None] = [None] * len(item_keys)
        for table in state.tables:
            rows = np.minimum(np.searchsorted(table.keys, item_keys), max(len(table) - 1, 0))
            here = np.flatnonzero(table.keys[rows] == item_keys) if len(table) else rows[:0]
            for place, item_id in zip(here.tolist(), table.ids.ids(rows[here]), strict=True):
                found[place] = item_id
        if state.ids:
            found = [state.ids.get(key, item_id) for key, item_id in zip(item_keys.tolist(), found, strict=True)]
        return found

    def names(self, item_keys: NDArray[np.int64]) -> list[tuple[str | None, str | None]]:
        """Ids and titles of many keys at once, None where there is none."""
        # Taken before anything is looked up: what changes meanwhile leaves this one behind.
        kept = self._kept_names
        keys = item_keys.tolist()
        found = [kept.get(key) for key in keys]
        if None not in found:
            return found  # type: ignore[return-value]  # there is no None among them
        if len(kept) > MOST_NAMES:
            kept = self._kept_names = {}
        missing = [place for place, names in enumerate(found) if names is None]
        for place, names in zip(missing, self._look_up([keys[place] for place in missing]), strict=True):
            found[place] = names
            if names[0] is not None:
                kept[keys[place]] = names
        return found  # type: ignore[return-value]  # all are filled now

    def _look_up(self, keys: list[int]) -> list[tuple[str | None, str | None]]:
        """Ids and titles, as `names`."""
        state = self._state
        base = state.tables[-1]
        rows = base.keys.searchsorted(keys)
        in_base = len(state.tables) == 1 and len(keys) > 0 and rows.max() < len(base)
        if in_base and (base.keys[rows] == keys).all() and state.records.keys().isdisjoint(keys):
            # Nearly always: all at once.
            titles = base.titles.take(rows)
            return [(item_id, title or None) for item_id, title in zip(base.ids.ids(rows), titles, strict=True)]
        return [(self._id(state, key), self._facts(state, key)[0]) for key in keys]

    def unnamed(self, item_keys: NDArray[np.int64]) -> list[int]:
        """Those of `item_keys`, shape (I,), whose id is not known here."""
        state = self._state
        for table in state.tables:
            item_keys = item_keys[~np.isin(item_keys, table.keys)]
        return [key for key in item_keys.tolist() if key not in state.ids]

    def title(self, item_key: int) -> str | None:
        """The title of a key, or None where none was given."""
        return self._facts(self._state, item_key)[0]

    def is_deleted(self, item_key: int) -> bool:
        """Whether the item was deleted; a hidden one is not."""
        restriction = self._facts(self._state, item_key)[2]
        return restriction is not None and restriction.deleted

    # -- what lists need ----------------------------------------------------------------------------------------------

    def keys_beyond(self, item_keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys of the items that are not among `item_keys`, both ascending; hidden and deleted ones are left out."""
        state = self._state
        since = np.array(sorted({*state.ids.copy(), *state.records.copy()}), dtype=np.int64)
        beyond = [_without(keys, item_keys) for keys in (since, *(table.keys for table in state.tables))]
        return _without(np.unique(np.concatenate(beyond)), self._restricted().always_off)

    def categories_of(self, item_key: int) -> Sequence[str]:
        """The categories of an item."""
        return self._facts(self._state, item_key)[1]

    def category_sets(self, item_keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
        """Which categories items have: for each of `item_keys`, shape (M,), a place in a list of sets; -1 for none."""
        state = self._state
        sets: dict[tuple[str, ...], int] = {}
        found = np.full(len(item_keys), -1, dtype=np.int64)
        open_ = np.ones(len(item_keys), dtype=np.bool_)
        for place, key in enumerate(item_keys.tolist()) if state.records else ():
            if (record := state.records.get(key)) is not None:
                open_[place] = False
                if record.categories:
                    found[place] = sets.setdefault(tuple(sorted(record.categories)), len(sets))
        for table in state.tables:
            rows = np.minimum(np.searchsorted(table.keys, item_keys), max(len(table) - 1, 0))
            here = np.flatnonzero(open_ & (table.keys[rows] == item_keys)) if len(table) else np.empty(0, np.int64)
            open_[here] = False
            numbers, names = table.category_sets(rows[here])
            known = np.array([sets.setdefault(each, len(sets)) for each in names], dtype=np.int64)
            found[here[numbers >= 0]] = known[numbers[numbers >= 0]]
        return found, list(sets)

    def in_category(self, category: str) -> NDArray[np.int64]:
        """Keys of a category's items, ascending, int64."""
        state = self._state
        records = state.records.copy()
        newer = np.fromiter(records, dtype=np.int64, count=len(records))
        parts = [np.array([key for key, record in records.items() if category in record.categories], dtype=np.int64)]
        for table in state.tables:
            own = table.in_category(category)
            parts.append(own[~np.isin(own, newer)])
            newer = np.concatenate((newer, table.keys)) if len(state.tables) > 1 else newer
        return np.unique(np.concatenate(parts))

    def withheld_keys(self, now_us: int) -> NDArray[np.int64]:
        """Keys of the items no list may hold at `now_us`: hidden, deleted, outside their availability window."""
        return self._restricted().withheld(now_us)

    def withheld_until_us(self, now_us: int) -> int:
        """Until when `withheld_keys` stay as they are at `now_us`, if nothing is changed."""
        return self._restricted().until(now_us)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _become(self, state: _State) -> None:
        self._state = state
        self._kept_names = {}
        self._changed()

    def _changed(self) -> None:
        self.version += 1

    def _restricted(self) -> Restrictions:
        version, kept = self.version, self._restrictions
        if kept is not None and kept[0] == version:
            return kept[1]
        state = self._state
        found = Restrictions.of(state.records.copy(), state.tables)
        self._restrictions = (version, found)
        return found

    @staticmethod
    def _id(state: _State, item_key: int) -> str | None:
        if (item_id := state.ids.get(item_key)) is not None:
            return item_id
        return next((item_id for table in state.tables if (item_id := table.id(item_key)) is not None), None)

    @staticmethod
    def _facts(state: _State, item_key: int) -> tuple[str | None, Sequence[str], Restriction | None]:
        """Title, categories and restriction of an item."""
        if (record := state.records.get(item_key)) is not None:
            return record.title, record.categories, record.restriction
        for table in state.tables:
            if table.row(item_key) is not None:
                return table.title(item_key), table.categories_of(item_key), table.restriction(item_key)
        return None, (), None


def _without(keys: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of some keys that are not among others, which ascend: a tenth of the time that np.setdiff1d takes."""
    if not len(others):
        return keys
    if np.array_equal(keys, others):  # a version that knows all items of the table, as most do
        return keys[:0]
    left: NDArray[np.int64] = keys[others[np.minimum(others.searchsorted(keys), len(others) - 1)] != keys]
    return left


def _is_named(state: _State, item_key: int) -> bool:
    return item_key in state.ids or any(table.row(item_key) is not None for table in state.tables)
