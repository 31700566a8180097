"""The few places where SQLite and PostgreSQL spell one statement differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.watermark import PostgresSnapshot, Watermark

_CHUNK = 10_000


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if is_postgres(connection) else sqlite.insert(table)


def is_postgres(connection: sa.Connection) -> bool:
    """Whether the connection leads to PostgreSQL."""
    return connection.dialect.name == "postgresql"


def among(connection: sa.Connection, column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """`column` is one of `values`, however many: they travel as one parameter, so the statement is compiled once."""
    if is_postgres(connection):
        return column == sa.any_(sa.bindparam(None, list(values), type_=postgresql.ARRAY(column.type)))
    each = sa.func.json_each(json_of(list(values))).table_valued("value")
    return column.in_(sa.select(each.c.value))


def json_of(values: Sequence[Any]) -> str:
    """JSON, for a statement that takes many values as one parameter."""
    return msgspec.json.encode(values).decode()


def covered(
    table: sa.Table, upto: Watermark, *, last_id: int, xact: sa.ColumnElement[int] | None = None
) -> sa.ColumnElement[bool]:
    """The rows of `table` (`id`, `xact`) that `upto` has seen; `last_id` is its last id in this table.

    `xact` may be written otherwise, for whoever wants no index on it to be used.
    """
    seen = upto.postgres
    if seen is None:
        return table.c.id <= last_id
    xact = table.c.xact if xact is None else xact
    return (xact < seen.xmax) & xact.not_in(seen.running) if seen.running else xact < seen.xmax


def uncovered(
    table: sa.Table,
    since: Watermark,
    *,
    last_id: int,
    now: PostgresSnapshot | None = None,
    xact: sa.ColumnElement[int] | None = None,
) -> sa.ColumnElement[bool]:
    """The rows of `table` that `since` has not seen; arguments as of `covered`.

    On PostgreSQL this is `NOT pg_visible_in_snapshot(xact, since)` written out, so that the index on xact serves it
    whatever old transaction is still open: from `xmax` on, and the few that were running.

    Args:
        now: what the transaction sees. An upload that is not committed may have put millions of rows there, and without
            this each of them is looked at, and passed over. Rows of a dump that is not adopted are left out then.
    """
    seen = since.postgres
    if seen is None:
        return table.c.id > last_id
    xact = table.c.xact if xact is None else xact
    running, new = set(seen.running), xact >= seen.xmax
    if now is not None:
        running -= set(now.running)
        new &= xact < now.xmax
    return new | xact.in_(sorted(running)) if running else new


def snapshot_now(connection: sa.Connection) -> sa.ColumnElement[str]:
    """The running transaction's snapshot as text; null on SQLite."""
    if is_postgres(connection):
        return sa.cast(sa.func.pg_current_snapshot(), sa.Text)
    return sa.cast(sa.null(), sa.Text)


def copy_now(connection: sa.Connection) -> sa.ColumnElement[str]:
    """Which copy of the tables this is, as text; null on SQLite.

    The cluster's identifier, and the numbers that the database and a table of ours were given when they were made.
    """
    if not is_postgres(connection):
        return sa.cast(sa.null(), sa.Text)
    parts: list[sa.ColumnElement[Any]] = []
    if _tells_cluster(connection):
        control = sa.func.pg_control_system().table_valued("system_identifier")
        parts.append(sa.select(control.c.system_identifier).scalar_subquery())
    databases = sa.table("pg_database", sa.column("oid"), sa.column("datname"))
    own = databases.c.datname == sa.func.current_database()
    parts.append(sa.select(databases.c.oid).where(own).scalar_subquery())
    parts.append(sa.cast(sa.func.to_regclass("interactions"), postgresql.OID))
    return sa.func.concat_ws("/", *parts)


def _tells_cluster(connection: sa.Connection) -> bool:
    """Whether the function is there for this user: a hosted or merely compatible database may not offer it."""
    known: bool | None = connection.info.get("tells_cluster")
    if known is None:
        there = sa.func.to_regprocedure("pg_control_system()")
        may = sa.func.has_function_privilege(sa.cast(there, postgresql.OID), "EXECUTE")
        known = connection.info["tells_cluster"] = bool(connection.scalar(sa.select(may)))
    return known


def last_key(connection: sa.Connection, table: sa.Table) -> sa.ScalarSelect[int]:
    """The highest key of `table` that is committed; on SQLite the highest ever given, also where that row is gone."""
    key = table.primary_key.columns.values()[0]
    highest = sa.select(sa.func.max(key))
    if not is_postgres(connection):
        sequence = sa.table("sqlite_sequence", sa.column("name", sa.Text), sa.column("seq", sa.BigInteger))
        highest = sa.select(sa.func.max(sequence.c.seq)).where(sequence.c.name == table.name)
    return sa.select(sa.func.coalesce(highest.scalar_subquery(), 0)).scalar_subquery()


def chunked(keys: Iterable[int]) -> Iterator[list[int]]:
    """The keys as lists of a bounded length, so that no statement's parameter grows without bound."""
    remaining = iter(keys)
    while chunk := [int(key) for key in islice(remaining, _CHUNK)]:
        yield chunk
