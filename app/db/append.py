"""Adds interactions to the log, and users and items to the store when they are named for the first time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.db import tables
from app.db.errors import StoreConflict
from app.db.statements import among, insert, is_postgres, last_key

_ATTEMPTS = 5
_LONGEST_STATEMENT = 128
_t = tables.interactions.c


@dataclass(frozen=True, slots=True)
class NewInteraction:
    """What somebody did, as it came in; `occurred_us` in microseconds since the epoch, `context` a JSON text."""

    user_id: str
    item_id: str
    event_type: str
    value: float
    occurred_us: int
    event_id: str | None = None
    recommendation_id: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class StoredInteraction:
    """An interaction as the store holds it, by keys. `xact` is the transaction that wrote it (0 on SQLite)."""

    id: int
    xact: int
    user_key: int
    item_key: int
    event_type: str
    value: float
    occurred_us: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch: counts, the rows that were stored in the order given, and the ids behind their keys."""

    accepted: int
    duplicates: int
    rows: list[StoredInteraction]
    user_ids: dict[int, str]
    item_ids: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Pending:
    batch: int
    row: NewInteraction
    received_us: int


def append(connection: sa.Connection, rows: Sequence[NewInteraction], *, received_us: int) -> Appended:
    """Store `rows`; one whose `event_id` is known, or stands earlier in `rows`, is a duplicate and changes nothing.

    Ids ascend in the order given. Any number of writers may do this at once on PostgreSQL: new users, then new items,
    then event ids are inserted in sorted order, so that two writers wait for each other in one direction only.

    Raises: StoreConflict where users or items keep vanishing meanwhile; and what the database raises.
    """
    return append_many(connection, [(rows, received_us)])[0]


KeysOf = Callable[[sa.Connection, Mapping[str, int | None]], dict[str, int]]


def append_many(
    connection: sa.Connection,
    batches: Sequence[tuple[Sequence[NewInteraction], int]],
    *,
    keys_of_users: KeysOf | None = None,
    keys_of_items: KeysOf | None = None,
) -> list[Appended]:
    """`append` for several (rows, received_us) at once, at the price of one; each batch has its own outcome.

    Args:
        keys_of_users, keys_of_items: as `keys_of`, for whoever keeps some. Where one that was kept is gone the database
            raises IntegrityError.
    """
    pending = _without_known_events(
        connection,
        [_Pending(number, row, received_us) for number, (rows, received_us) in enumerate(batches) for row in rows],
    )
    first_named: dict[str, int] = {}
    for p in pending:
        first_named.setdefault(p.row.user_id, p.received_us)
    items_named = dict.fromkeys((p.row.item_id for p in pending), None)
    user_keys = (keys_of_users or _keys_of_users)(connection, first_named)
    item_keys = (keys_of_items or _keys_of_items)(connection, items_named)
    stored: list[list[StoredInteraction]] = [[] for _ in batches]
    for p, row in _insert(connection, pending, user_keys, item_keys):
        stored[p.batch].append(row)
    user_ids = {key: user_id for user_id, key in user_keys.items()}
    item_ids = {key: item_id for item_id, key in item_keys.items()}
    return [
        Appended(
            accepted=len(kept),
            duplicates=len(rows) - len(kept),
            rows=kept,
            user_ids={row.user_key: user_ids[row.user_key] for row in kept},
            item_ids={row.item_key: item_ids[row.item_key] for row in kept},
        )
        for kept, (rows, _) in zip(stored, batches, strict=True)
    ]


def _without_known_events(connection: sa.Connection, pending: list[_Pending]) -> list[_Pending]:
    event_ids = sorted({p.row.event_id for p in pending if p.row.event_id is not None})
    if not event_ids:
        return pending
    known = set(connection.scalars(sa.select(_t.event_id).where(among(connection, _t.event_id, event_ids))))
    kept = []
    for p in pending:
        if p.row.event_id in known:
            continue
        if p.row.event_id is not None:
            known.add(p.row.event_id)
        kept.append(p)
    return kept


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


def _keys_of_users(connection: sa.Connection, named: Mapping[str, int | None]) -> dict[str, int]:
    return keys_of(connection, tables.users, named)


def _keys_of_items(connection: sa.Connection, named: Mapping[str, int | None]) -> dict[str, int]:
    return keys_of(connection, tables.items, named)


def _create(connection: sa.Connection, table: sa.Table, ids: list[str], created: list[int | None]) -> dict[str, int]:
    key, id_, third = table.columns.values()[:3]
    dated = third.name == "created_us"
    if not is_postgres(connection):
        # One statement and one parameter, whatever the number of rows.
        each = sa.func.json_each(json.dumps(list(zip(ids, created, strict=True)), ensure_ascii=False))
        pair = each.table_valued("value").c.value
        part = [sa.func.json_extract(pair, f"$[{place}]") for place in range(1 + dated)]
        names = [id_.name, third.name] if dated else [id_.name]
        connection.execute(insert(connection, table).from_select(names, sa.select(*part), include_defaults=False))
        return {}
    columns: dict[str, tuple[Any, Sequence[Any]]] = {id_.name: (id_.type, ids)}
    if dated:
        columns[third.name] = (third.type, created)
    statement = _insert_arrays(table, columns, order_by=id_.name).on_conflict_do_nothing(index_elements=[id_])
    return {row[0]: row[1] for row in connection.execute(statement.returning(id_, key))}


def _insert_arrays(
    table: sa.Table, columns: Mapping[str, tuple[Any, Sequence[Any]]], *, order_by: str
) -> postgresql.Insert:
    """INSERT ... SELECT FROM unnest(...): one statement and one parameter a column, whatever the number of rows."""
    arrays = [sa.bindparam(None, list(values), type_=postgresql.ARRAY(kind)) for kind, values in columns.values()]
    source = (
        sa.func.unnest(*arrays)
        .table_valued(*(sa.column(name, kind) for name, (kind, _) in columns.items()), name="new")
        .render_derived()
    )
    chosen = sa.select(*(source.c[name] for name in columns)).order_by(source.c[order_by])
    return postgresql.insert(table).from_select(list(columns), chosen, include_defaults=False)


def _insert(
    connection: sa.Connection, pending: list[_Pending], user_keys: dict[str, int], item_keys: dict[str, int]
) -> list[tuple[_Pending, StoredInteraction]]:
    """The rows that were stored; a concurrent writer may have been first with an event id."""
    if not pending:
        return []
    ids = _allocate(connection, len(pending))
    values: list[dict[str, Any]] = [
        {
            "id": row_id,
            "user_key": user_keys[p.row.user_id],
            "item_key": item_keys[p.row.item_id],
            "event_type": p.row.event_type,
            "value": p.row.value,
            "occurred_us": p.row.occurred_us,
            "received_us": p.received_us,
            "event_id": p.row.event_id,
            "recommendation_id": p.row.recommendation_id,
            "context": p.row.context,
        }
        for row_id, p in zip(ids, pending, strict=True)
    ]
    if is_postgres(connection):
        columns = {name: (_t[name].type, [value[name] for value in values]) for name in values[0]}
        statement = _insert_arrays(tables.interactions, columns, order_by="event_id").on_conflict_do_nothing(
            index_elements=[_t.event_id], index_where=_t.event_id.is_not(None)
        )
        xacts = {row[0]: row[1] for row in connection.execute(statement.returning(_t.id, _t.xact))}
    else:
        _insert_lots(connection, values)
        xacts = dict.fromkeys(ids, 0)
    return [
        (p, _stored(value, xacts[value["id"]]))
        for p, value in zip(pending, values, strict=True)
        if value["id"] in xacts
    ]


def _insert_lots(connection: sa.Connection, values: list[dict[str, Any]]) -> None:
    """Into SQLite by statements of 128, 64, 32 ... rows.

    The driver gives the interpreter up for each statement that it runs, and where requests keep it busy waits for it
    every time. Few lengths, since each is another statement to be prepared.
    """
    names = list(values[0])
    row = f"({', '.join('?' * len(names))})"
    start = 0
    while left := len(values) - start:
        size = min(_LONGEST_STATEMENT, 1 << (left.bit_length() - 1))
        lot = values[start : start + size]
        statement = f"INSERT INTO interactions ({', '.join(names)}) VALUES {', '.join([row] * size)}"  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, tuple(value[name] for value in lot for name in names))
        start += size


def _stored(value: Mapping[str, Any], xact: int) -> StoredInteraction:
    return StoredInteraction(
        value["id"],
        xact,
        value["user_key"],
        value["item_key"],
        value["event_type"],
        value["value"],
        value["occurred_us"],
    )


def _allocate(connection: sa.Connection, n: int) -> list[int]:
    """`n` fresh ids, ascending. Taken beforehand, since rows are inserted in the order of their event ids."""
    if is_postgres(connection):
        sequence = sa.func.pg_get_serial_sequence(tables.interactions.name, _t.id.name)
        numbers = sa.func.generate_series(1, n).table_valued("number")
        following = sa.func.nextval(sa.cast(sequence, postgresql.REGCLASS))
        return list(connection.scalars(sa.select(following).select_from(numbers)))
    # BEGIN IMMEDIATE keeps every other writer away until the commit, and AUTOINCREMENT follows ids that it is given.
    last = connection.scalar(sa.select(last_key(connection, tables.interactions))) or 0
    return list(range(last + 1, last + 1 + n))
