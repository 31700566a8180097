"""The items of a store at one moment: names, titles, categories, and which of them are kept out of lists.

Letters used for shapes: I items, C categories, K pairs of an item and a category, R restricted items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.vocabulary import StringTable, Vocabulary

FOREVER_US = np.iinfo(np.int64).max

COLUMNS: Mapping[str, str] = {
    "keys": "int64",
    "category_indptr": "int64",
    "category_codes": "int32",
    "restricted_keys": "int64",
    "restricted_off": "uint8",
    "restricted_from_us": "int64",
    "restricted_until_us": "int64",
}
NAMES: Mapping[str, tuple[str, ...]] = {
    "ids": ("blob", "offsets", "hashes", "order"),
    "titles": ("blob", "offsets"),
    "categories": ("blob", "offsets", "hashes", "order"),
}
STORED_ARRAYS = (*COLUMNS, *(f"{name}_{part}" for name, parts in NAMES.items() for part in parts))


class Restriction(NamedTuple):
    """Why an item is kept out of lists: always (`off`; `deleted`: it is gone), or outside from_us <= now < until_us."""

    off: bool = False
    from_us: int = 0
    until_us: int = FOREVER_US
    deleted: bool = False


@dataclass(frozen=True, eq=False)
class ItemTable:
    """Items by the store's keys.

    Args:
        keys: the store's keys, strictly ascending, int64, shape (I,).
        ids: the items' ids, in the order of keys.
        titles: their titles, in the order of keys; "" for none.
        categories: the names of the categories.
        category_indptr: the categories of item i are category_codes[indptr[i]:indptr[i + 1]], int64, shape (I + 1,).
        category_codes: index into categories, int32, shape (K,).
        restricted_keys: keys of the items that are, or at some time are, kept out of lists, strictly ascending, int64,
            shape (R,).
        restricted_off: 1 for always, 2 for deleted, uint8, shape (R,).
        restricted_from_us, restricted_until_us: see `Restriction`, int64, shape (R,).
    Raises: ValueError naming what does not fit.
    """

    keys: NDArray[np.int64]
    ids: Vocabulary
    titles: StringTable
    categories: Vocabulary
    category_indptr: NDArray[np.int64]
    category_codes: NDArray[np.int32]
    restricted_keys: NDArray[np.int64]
    restricted_off: NDArray[np.uint8]
    restricted_from_us: NDArray[np.int64]
    restricted_until_us: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, dtype in COLUMNS.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype.name != dtype:
                raise ValueError(f"{name} must be one-dimensional {dtype}, not {array.dtype} of {array.ndim}")
        for name in ("keys", "restricted_keys"):
            keys = getattr(self, name)
            if (keys[1:] <= keys[:-1]).any():
                raise ValueError(f"{name} must be strictly ascending")
        if not len(self.keys) == len(self.ids) == len(self.titles) == len(self.category_indptr) - 1:
            raise ValueError("keys, ids, titles and category_indptr do not have the same number of items")
        restricted = (self.restricted_keys, self.restricted_off, self.restricted_from_us, self.restricted_until_us)
        if len({len(column) for column in restricted}) != 1:
            raise ValueError("the columns of restricted items do not have the same length")
        indptr, codes = self.category_indptr, self.category_codes
        if indptr[0] != 0 or indptr[-1] != len(codes) or (indptr[1:] < indptr[:-1]).any():
            raise ValueError(f"category_indptr must rise from 0 to the {len(codes)} entries")
        if len(codes) and (codes.min() < 0 or codes.max() >= len(self.categories)):
            raise ValueError(f"category_codes holds a number outside 0..{len(self.categories) - 1}")

    @classmethod
    def build(
        cls,
        item_ids: Mapping[int, str],
        *,
        titles: Mapping[int, str] | None = None,
        categories: Mapping[int, Sequence[str]] | None = None,
        restrictions: Mapping[int, Restriction] | None = None,
    ) -> ItemTable:
        """A table of the items in `item_ids`; the others by key, for the items that have one."""
        titles, categories, restrictions = titles or {}, categories or {}, restrictions or {}
        keys = np.sort(np.fromiter(item_ids, dtype=np.int64, count=len(item_ids)))
        ordered = keys.tolist()
        codes: dict[str, int] = {}
        of_items = [
            [codes.setdefault(name, len(codes)) for name in dict.fromkeys(categories.get(key, ()))] for key in ordered
        ]
        indptr = np.zeros(len(keys) + 1, dtype=np.int64)
        np.cumsum([len(each) for each in of_items], out=indptr[1:])
        restricted = sorted(restrictions.items())
        return cls(
            keys=keys,
            ids=Vocabulary.from_ids(item_ids[key] for key in ordered),
            titles=StringTable.from_strings(titles.get(key) or "" for key in ordered),
            categories=Vocabulary.from_ids(codes),
            category_indptr=indptr,
            category_codes=np.array([code for each in of_items for code in each], dtype=np.int32),
            restricted_keys=np.array([key for key, _ in restricted], dtype=np.int64),
            restricted_off=np.array([2 if each.deleted else each.off for _, each in restricted], dtype=np.uint8),
            restricted_from_us=np.array([each.from_us for _, each in restricted], dtype=np.int64),
            restricted_until_us=np.array([each.until_us for _, each in restricted], dtype=np.int64),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ItemTable:
        """The table whose `arrays()` these are; nothing is copied. Raises ValueError."""
        missing = [name for name in STORED_ARRAYS if name not in arrays]
        if missing:
            raise ValueError(f"missing arrays of items: {', '.join(missing)}")
        parts = {name: {part: arrays[f"{name}_{part}"] for part in parts} for name, parts in NAMES.items()}
        columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
        return cls(
            ids=Vocabulary.from_arrays(parts["ids"]),
            titles=StringTable.from_arrays(parts["titles"]),
            categories=Vocabulary.from_arrays(parts["categories"]),
            **columns,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, to be stored."""
        stored = {name: getattr(self, name) for name in COLUMNS}
        for name in NAMES:
            stored |= {f"{name}_{part}": array for part, array in getattr(self, name).arrays().items()}
        return stored

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, item_key: int) -> int | None:
        """Where an item stands, or None if it is not here. Found in O(log I)."""
        place = int(self.keys.searchsorted(item_key))
        return place if place < len(self.keys) and self.keys[place] == item_key else None

    def key(self, item_id: str) -> int | None:
        """The store's key of an item, or None if unknown."""
        row = self.ids.number(item_id)
        return None if row is None else int(self.keys[row])

    def id(self, item_key: int) -> str | None:
        """The id of an item, or None if unknown."""
        row = self.row(item_key)
        return None if row is None else self.ids.id(row)

    def title(self, item_key: int) -> str | None:
        """The title of an item, or None if it is unknown or has none."""
        row = self.row(item_key)
        return None if row is None else self.titles[row] or None

    def restriction(self, item_key: int) -> Restriction | None:
        """What keeps an item out of lists; None for nothing."""
        place = int(np.searchsorted(self.restricted_keys, item_key))
        if place >= len(self.restricted_keys) or self.restricted_keys[place] != item_key:
            return None
        from_us, until_us = int(self.restricted_from_us[place]), int(self.restricted_until_us[place])
        off = int(self.restricted_off[place])
        return Restriction(off > 0, from_us, until_us, off > 1)

    def categories_of(self, item_key: int) -> list[str]:
        """The categories of an item; none if it is unknown."""
        row = self.row(item_key)
        return [] if row is None else self._names_at(row)

    def category_sets(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
        """The sets of categories that the items of some rows, shape (M,), have.

        Returns: for each row its place in the list, -1 without categories, int64, shape (M,); and the list, each set as
            a sorted tuple.
        """
        found = np.full(len(rows), -1, dtype=np.int64)
        starts, stops = self.category_indptr[rows], self.category_indptr[rows + 1]
        filled = np.flatnonzero(stops > starts)
        if not len(filled):
            return found, []
        lengths = (stops - starts)[filled]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts[filled] - (ends - lengths), lengths)
        # A set's sum of random numbers stands for it: two different sets of a store share one about never (2^-64).
        marks = np.random.default_rng(0).integers(2**64, size=len(self.categories), dtype=np.uint64)
        sums = np.add.reduceat(marks[self.category_codes[places]], ends - lengths)
        _, first, number_of = np.unique(sums, return_index=True, return_inverse=True)
        found[filled] = number_of
        return found, [tuple(sorted(self._names_at(rows[filled[row]]))) for row in first.tolist()]

    def _names_at(self, row: int) -> list[str]:
        return self.categories.ids(self.category_codes[self.category_indptr[row] : self.category_indptr[row + 1]])

    def in_category(self, category: str) -> NDArray[np.int64]:
        """Keys of a category's items, ascending, int64; none of a category that nobody named."""
        code = self.categories.number(category)
        if code is None:
            return self.keys[:0]
        rows, indptr = self._by_category
        return self.keys[rows[indptr[code] : indptr[code + 1]]]

    @cached_property
    def _by_category(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Rows of each category's items, ascending within it, int32, shape (K,), and where each category starts."""
        order = np.argsort(self.category_codes, kind="stable")
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.category_indptr))[order]
        indptr = np.searchsorted(self.category_codes[order], np.arange(len(self.categories) + 1))
        return rows, indptr
