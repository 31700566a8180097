"""Keys of millions of users or items, looked up once, while very many rows are brought in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import compress

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.db.known_keys import keys_of

_MOST_BY_NAME = 50_000
_MOST_IN_ALL = 2_000_000
_OTHER = "\x00"


class ManyKeys:
    """The keys of one table's ids: the newest by name, some 150 bytes each, the others in 24 bytes each.

    Of those the name is not kept but 128 bits of it: Python's hash, whose secret no sender knows, of the name and of
    another text made of it. Some may be gone from the store by now: whoever writes one then hears of it.

    Args:
        most_by_name, most_in_all: beyond so many in all, all but the newest are looked up again.
    """

    def __init__(self, table: sa.Table, *, most_by_name: int = _MOST_BY_NAME, most_in_all: int = _MOST_IN_ALL) -> None:
        self._table = table
        self._most_by_name = most_by_name
        self._most_in_all = most_in_all
        self.forget()

    def forget(self) -> None:
        """Look all up anew."""
        self._named: dict[str, int] = {}
        # Hashes, which ascend, other hashes and keys.
        self._nameless = [np.empty(0, dtype=np.int64) for _ in range(3)]

    def list_of(self, connection: sa.Connection, ids: Collection[str], *, created_us: int) -> list[int]:
        """The key of each, made for those that have none; all are kept, so forget them if the transaction is undone.

        Raises: StoreConflict, as `keys_of`.
        """
        named = self._named
        met: dict[str, int] = {}
        if missing := set(ids) - named.keys():
            met = self._met(list(missing))
            named |= keys_of(connection, self._table, dict.fromkeys(missing - met.keys(), created_us))
        found = [named[one] if one in named else met[one] for one in ids] if met else list(map(named.__getitem__, ids))
        if len(named) > self._most_by_name:
            self._fold()
        return found

    def _met(self, ids: Sequence[str]) -> dict[str, int]:
        """The key of each that is kept, but not by name."""
        kept, others, keys = self._nameless
        if not len(kept):
            return {}
        hashes = _hashed(ids)
        places = np.minimum(np.searchsorted(kept, hashes), len(kept) - 1)
        alike = np.flatnonzero(kept[places] == hashes)
        places, names = places[alike], [ids[place] for place in alike.tolist()]
        same = others[places] == _hashed(map(_OTHER.__add__, names))
        return dict(compress(zip(names, keys[places].tolist(), strict=True), same.tolist()))

    def _fold(self) -> None:
        """Keep the named ones without their names."""
        names = self._named
        keys = np.fromiter(names.values(), dtype=np.int64, count=len(names))
        new = np.array([_hashed(names), _hashed(map(_OTHER.__add__, names)), keys])
        new = new[:, np.argsort(new[0])]
        if len(self._nameless[0]) + len(names) > self._most_in_all:
            self._nameless = list(new)
        else:
            places = np.searchsorted(self._nameless[0], new[0])
            for column, more in enumerate(new):
                # One after the other: a million keys are eight megabytes a column.
                self._nameless[column] = np.insert(self._nameless[column], places, more)
        self._named = {}


def _hashed(texts: Iterable[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, texts), dtype=np.int64)
