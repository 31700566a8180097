"""The log of interactions: read in pages, in ranges, and deleted from. `app.db.append` writes it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.db import changes, tables
from app.db.append import Appended, NewInteraction, StoredInteraction, append, append_many
from app.db.statements import copy_now, is_postgres, last_key, snapshot_now, uncovered
from app.db.watermark import START, PostgresSnapshot, Watermark

__all__ = [
    "Appended",
    "NewInteraction",
    "StoredInteraction",
    "append",
    "append_many",
    "count",
    "current_watermark",
    "delete_by_event_id",
    "delete_expired",
    "last_id",
    "page",
]

_t = tables.interactions.c


def page(
    connection: sa.Connection,
    *,
    user_id: str | None = None,
    item_id: str | None = None,
    limit: int,
    before: tuple[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Up to `limit` rows, the newest timestamp first, that follow `before` = (occurred_us, id) in this order.

    Each row: id, user_id, item_id, event_type, value, occurred_us, received_us, event_id, recommendation_id, context
    (text).
    """
    users, items = tables.users.c, tables.items.c
    query = (
        sa.select(
            *(_t.id, users.user_id, items.item_id, _t.event_type, _t.value, _t.occurred_us, _t.received_us),
            *(_t.event_id, _t.recommendation_id, _t.context),
        )
        .select_from(tables.interactions.join(tables.users).join(tables.items))
        .order_by(_t.occurred_us.desc(), _t.id.desc())
        .limit(limit)
    )
    if user_id is not None:
        query = query.where(users.user_id == user_id)
    if item_id is not None:
        query = query.where(items.item_id == item_id)
    if before is not None:
        query = query.where(sa.tuple_(_t.occurred_us, _t.id) < sa.tuple_(*map(sa.literal, before)))
    return [dict(row) for row in connection.execute(query).mappings()]


def delete_by_event_id(connection: sa.Connection, event_id: str, *, now_us: int | None = None) -> bool:
    """Take back the interaction of that `event_id`; False where there is none. The feed brings it to every replica."""
    deleted = sa.delete(tables.interactions).where(_t.event_id == event_id).returning(_t.user_key)
    user_key = connection.scalar(deleted)
    if user_key is None:
        return False
    changes.record(connection, "interactions_deleted", [user_key], at_us=now_us)
    return True


def delete_expired(connection: sa.Connection, *, before_us: int, limit: int, now_us: int) -> int:
    """Delete up to `limit` interactions that occurred before a moment; returns how many. The feed tells every replica.

    Users and items stay known: an id that comes back has the key it had.
    """
    doomed = sa.select(_t.id).where(_t.occurred_us < before_us).order_by(_t.occurred_us).limit(limit)
    deleted = connection.execute(sa.delete(tables.interactions).where(_t.id.in_(doomed))).rowcount
    if deleted:
        changes.record(connection, "interactions_expired", [before_us], at_us=now_us)
    return deleted


def current_watermark(connection: sa.Connection, *, since: Watermark | None = None) -> Watermark:
    """The point that the log has reached for this transaction.

    Args:
        since: an earlier point. On PostgreSQL its ids are taken over then: the highest ones are found by passing over
            all rows of an upload that is not committed.
    """
    last_id: sa.ColumnElement[int]
    last_change: sa.ColumnElement[int]
    if since is None or since == START or not is_postgres(connection):
        last_id, last_change = (last_key(connection, table) for table in (tables.interactions, tables.changes))
    else:
        last_id, last_change = sa.literal(since.last_id), sa.literal(since.last_change_id)
    row = connection.execute(sa.select(last_id, last_change, snapshot_now(connection), copy_now(connection))).one()
    return Watermark(*row)


def last_id(connection: sa.Connection) -> int:
    """The highest id of the log; about how many rows were ever stored, and quick."""
    return connection.scalar(sa.select(last_key(connection, tables.interactions))) or 0


def count(connection: sa.Connection, *, beyond: Watermark | None = None) -> int:
    """How many interactions there are, or how many came since `beyond`."""
    query = sa.select(sa.func.count()).select_from(tables.interactions)
    if beyond is not None:
        text = connection.scalar(sa.select(snapshot_now(connection)))
        now = None if text is None else PostgresSnapshot.parse(text)
        query = query.where(uncovered(tables.interactions, beyond, last_id=beyond.last_id, now=now))
    return connection.scalar(query) or 0
