"""Keys of users and items, looked up once for as long as they are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice

import sqlalchemy as sa

from app.db.append import keys_of

# Some 150 bytes each.
MOST_KEPT = 100_000


class KnownKeys:
    """The keys of one table's ids. Some that are kept may be gone by now: whoever writes one then hears of it.

    Args:
        most_kept: beyond so many, those that came first are looked up again.
    """

    def __init__(self, table: sa.Table, *, most_kept: int = MOST_KEPT) -> None:
        self._table = table
        self._most_kept = most_kept
        self._kept: dict[str, int] = {}

    def forget(self) -> None:
        """Look all up anew."""
        self._kept.clear()

    def of(self, connection: sa.Connection, named: Mapping[str, int | None]) -> dict[str, int]:
        """The key of each id in `named`, made for those that have none; the values are the users' `created_us`.

        The transaction may be rolled back: see `keep`. Raises: StoreConflict, as `keys_of`.
        """
        kept = self._kept
        found = {one: kept[one] for one in named if one in kept}
        if len(found) < len(named):
            found |= keys_of(connection, self._table, {one: at for one, at in named.items() if one not in found})
        return found

    def keep(self, found: Mapping[str, int]) -> None:
        """Keep keys that are there for good, or for this transaction if nothing is kept beyond it."""
        self._kept |= found
        for one in list(islice(self._kept, max(0, len(self._kept) - self._most_kept))):
            del self._kept[one]

    def list_of(self, connection: sa.Connection, ids: Collection[str], *, created_us: int) -> list[int]:
        """The key of each of many ids, all kept at once: for whoever forgets them if the transaction is rolled back."""
        kept = self._kept
        if missing := set(ids) - kept.keys():
            kept |= keys_of(connection, self._table, dict.fromkeys(missing, created_us))
        found = list(map(kept.__getitem__, ids))
        self.keep({})
        return found
