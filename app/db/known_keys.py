"""Keys of users and items, looked up once for as long as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import sqlalchemy as sa

from app.db.errors import StoreConflict
from app.db.statements import among, insert, is_postgres, json_of

# Some 150 bytes each.
MOST_KEPT = 100_000
_ATTEMPTS = 5


class KnownKeys:
    """The keys of one table's ids. Some that are kept may be gone by now: whoever writes one then hears of it.

    In a store that was restored they may be others'. That shows by a newer connection, which may lead to another
    server, and by the number of the table.

    Args:
        most_kept: beyond so many, those that came first are looked up again.
    """

    def __init__(self, table: sa.Table, *, most_kept: int = MOST_KEPT) -> None:
        self._table = table
        self._most_kept = most_kept
        self._kept: dict[str, int] = {}
        self._newest_connection = 0
        self._table_number: int | None = None

    def forget(self) -> None:
        """Look all up anew."""
        self._kept.clear()
        self._table_number = None

    def ask_of(self, connection: sa.Connection) -> None:
        """Begin a transaction: a connection that is newer than what is kept makes it be looked up anew."""
        made: int = connection.info.get("made", 0)
        if made > self._newest_connection:
            self.forget()
            self._newest_connection = made

    def check_table(self, number: int | None) -> None:
        """Where rows with these keys went, None for unknown. Raises: StoreConflict where that is another table."""
        if number is not None and self._table_number is not None and number != self._table_number:
            raise StoreConflict("the store was restored while it was written to")
        self._table_number = number or self._table_number

    def keeps(self, ids: Iterable[str]) -> bool:
        """Whether the key of each is kept."""
        return all(map(self._kept.__contains__, ids))

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


def keys_of(connection: sa.Connection, table: sa.Table, named: Mapping[str, int | None]) -> dict[str, int]:
    """Keys of the users or items in `named`, made for those that have none; the values are the users' `created_us`.

    Raises: StoreConflict where they keep vanishing meanwhile.
    """
    key, id_ = table.columns.values()[:2]
    found: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        missing = sorted(named.keys() - found.keys())
        if not missing:
            return found
        # Under READ COMMITTED this sees what another writer committed while the INSERT below waited for it.
        query = sa.select(id_, key).where(among(connection, id_, missing))
        found.update({row[0]: row[1] for row in connection.execute(query)})
        if new := sorted(named.keys() - found.keys()):
            found.update(_create(connection, table, new, [named[one] for one in new]))
    raise StoreConflict("users or items of this upload were deleted while it was stored")


def _create(connection: sa.Connection, table: sa.Table, ids: list[str], created: list[int | None]) -> dict[str, int]:
    """One statement and one parameter, whatever the number of rows; the keys, where the database tells them.

    In the order given: two writers then wait for each other in one direction only.
    """
    key, id_, third = table.columns.values()[:3]
    dated = third.name == "created_us"
    names = [id_.name, third.name] if dated else [id_.name]
    if is_postgres(connection):
        given = json_of([{"id": one, "at": at} for one, at in zip(ids, created, strict=True)])
        rows = (
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT id{', at' if dated else ''}"  # noqa: S608 - names of ours
            " FROM json_to_recordset(%s) AS new (id TEXT, at BIGINT)"
            f" ON CONFLICT ({id_.name}) DO NOTHING RETURNING {id_.name}, {key.name}"
        )
        return {row[0]: row[1] for row in connection.exec_driver_sql(rows, (given,))}
    each = sa.func.json_each(json_of(list(zip(ids, created, strict=True))))
    pair = each.table_valued("value").c.value
    part = [sa.func.json_extract(pair, f"$[{place}]") for place in range(1 + dated)]
    connection.execute(insert(connection, table).from_select(names, sa.select(*part), include_defaults=False))
    return {}
