"""Adds interactions to the log, and users and items to the store when they are named for the first time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy as sa

from app.db import tables
from app.db.known_keys import KnownKeys
from app.db.statements import among, is_postgres, json_of, last_key

_LONGEST_STATEMENT = 128
_t = tables.interactions.c
# Ids in the order given. Then sorted by event: two such statements that hold the same ones wait for each other in one
# direction only. (An import is several statements; of it and an upload that send the same events crosswise the database
# ends one.)
_GIVEN = "user_key, item_key, event_type, value, occurred_us, received_us, event_id, recommendation_id, context"
_INSERT_INTO_POSTGRES = (
    f"INSERT INTO interactions (id, {_GIVEN}) SELECT id, {_GIVEN} FROM ("  # noqa: S608 - names of ours
    "SELECT nextval(pg_get_serial_sequence('interactions', 'id')) AS id, given.* FROM ROWS FROM (json_to_recordset(%s)"
    " AS (user_key BIGINT, item_key BIGINT, event_type TEXT, value DOUBLE PRECISION, occurred_us BIGINT,"
    " received_us BIGINT, event_id TEXT, recommendation_id TEXT, context TEXT)) AS given) AS numbered"
    ' ORDER BY event_id COLLATE "C" ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING'
    " RETURNING id, xact, event_id, tableoid"
)


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


def append_many(
    connection: sa.Connection,
    batches: Sequence[tuple[Sequence[NewInteraction], int]],
    *,
    users: KnownKeys | None = None,
    items: KnownKeys | None = None,
) -> list[Appended]:
    """`append` for several (rows, received_us) at once, at the price of one; each batch has its own outcome.

    Args:
        users, items: keys that are kept. Where one of those is gone the database raises IntegrityError.
    Raises: StoreConflict as `append`, and where keys were kept of tables that another dump has replaced since.
    """
    users = users or KnownKeys(tables.users)
    items = items or KnownKeys(tables.items)
    for keys in (users, items):
        keys.ask_of(connection)
    pending = _first_of_each_event(
        _Pending(number, row, received_us) for number, (rows, received_us) in enumerate(batches) for row in rows
    )
    # PostgreSQL tells which rows it took. What is asked before keeps a duplicate from making a user or an item.
    all_kept = users.keeps(p.row.user_id for p in pending) and items.keeps(p.row.item_id for p in pending)
    if not (all_kept and is_postgres(connection)):
        pending = _without_known_events(connection, pending)
    first_named: dict[str, int] = {}
    for p in pending:
        first_named.setdefault(p.row.user_id, p.received_us)
    user_keys = users.of(connection, first_named)
    item_keys = items.of(connection, dict.fromkeys((p.row.item_id for p in pending), None))
    stored: list[list[StoredInteraction]] = [[] for _ in batches]
    inserted, table = _insert(connection, pending, user_keys, item_keys)
    for keys in (users, items):
        keys.check_table(table)
    for p, row in inserted:
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


def _first_of_each_event(pending: Iterable[_Pending]) -> list[_Pending]:
    seen: set[str] = set()
    kept = []
    for p in pending:
        event_id = p.row.event_id
        if event_id is None or event_id not in seen:
            kept.append(p)
        if event_id is not None:
            seen.add(event_id)
    return kept


def _without_known_events(connection: sa.Connection, pending: list[_Pending]) -> list[_Pending]:
    event_ids = sorted(p.row.event_id for p in pending if p.row.event_id is not None)
    if not event_ids:
        return pending
    known = set(connection.scalars(sa.select(_t.event_id).where(among(connection, _t.event_id, event_ids))))
    return [p for p in pending if p.row.event_id not in known]


def _insert(
    connection: sa.Connection, pending: list[_Pending], user_keys: dict[str, int], item_keys: dict[str, int]
) -> tuple[list[tuple[_Pending, StoredInteraction]], int | None]:
    """The rows that were stored, and the number of the table they went into, where the database tells.

    A concurrent writer may have been first with an event id.
    """
    if not pending:
        return [], None
    values: list[dict[str, Any]] = [
        {
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
        for p in pending
    ]
    if is_postgres(connection):
        found = sorted(map(tuple, connection.exec_driver_sql(_INSERT_INTO_POSTGRES, (json_of(values),))))
        taken = {event_id for _, _, event_id, _ in found}
        kept = [(p, value) for p, value in zip(pending, values, strict=True) if value["event_id"] in taken]
        stored = [(p, _stored(value, *new[:2])) for (p, value), new in zip(kept, found, strict=True)]
        return stored, found[0][3] if found else None
    # BEGIN IMMEDIATE keeps every other writer away until the commit, and AUTOINCREMENT follows ids that it is given.
    first = 1 + (connection.scalar(sa.select(last_key(connection, tables.interactions))) or 0)
    _insert_lots(connection, first, values)
    stored = [
        (p, _stored(value, first + place, 0)) for place, (p, value) in enumerate(zip(pending, values, strict=True))
    ]
    return stored, None


def _insert_lots(connection: sa.Connection, first: int, values: list[dict[str, Any]]) -> None:
    """Into SQLite by statements of 128, 64, 32 ... rows.

    The driver gives the interpreter up for each statement that it runs, and where requests keep it busy waits for it
    every time. Few lengths, since each is another statement to be prepared.
    """
    names = ["id", *values[0]]
    row = f"({', '.join('?' * len(names))})"
    start = 0
    while left := len(values) - start:
        size = min(_LONGEST_STATEMENT, 1 << (left.bit_length() - 1))
        lot = values[start : start + size]
        statement = f"INSERT INTO interactions ({', '.join(names)}) VALUES {', '.join([row] * size)}"  # noqa: S608 - names of ours
        numbered = ((first + start + place, *value.values()) for place, value in enumerate(lot))
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(numbered)))
        start += size


def _stored(value: Mapping[str, Any], row_id: int, xact: int) -> StoredInteraction:
    return StoredInteraction(
        row_id,
        xact,
        value["user_key"],
        value["item_key"],
        value["event_type"],
        value["value"],
        value["occurred_us"],
    )
