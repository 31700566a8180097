"""What came since a watermark: how every replica learns of what any process committed. No gap, no repeat, no stall.

PostgreSQL commits ids out of order, so ids cannot say what is new, and waiting for the oldest open transaction would
stall behind any long one. The snapshot of the last read can: new is what that snapshot did not see. Reading the rows
and the next snapshot in one REPEATABLE READ transaction makes each row belong to exactly one read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.db import items, tables, users
from app.db.append import StoredInteraction
from app.db.columns import InteractionColumns
from app.db.engine import Store
from app.db.feed_parts import NextPart, next_part
from app.db.interactions import current_watermark
from app.db.items import MANY, ItemRecord
from app.db.scan import columns_where
from app.db.statements import among, chunked, uncovered
from app.db.watermark import START, Watermark

_t = tables.interactions.c


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """What one read brought; the next one goes on from `watermark`.

    Attributes:
        rows: new interactions of users that are not in `deleted`, ascending by id. deleted: users of whom
        interactions were taken back: user_key -> all rows that are left, ascending by id. items: records that were
        put or deleted, as they are now; at the start, all that anybody has put. user_ids, item_ids: the ids of the
        keys in `rows` and `deleted`. erased: keys of users who are gone, with all that they did. expired_us: of
        interactions that occurred before this moment some or all were deleted for their age. keys_changed: API keys
        were made or revoked. pointer_moved: another model version answers now. reset: the store was restored to
        another state than `since` came from; everything else is empty. Forget what was read before and read from
        START. more: this is a part, and the next one is there already.
    """

    rows: InteractionColumns
    deleted: dict[int, list[StoredInteraction]]
    items: list[ItemRecord]
    user_ids: dict[int, str]
    item_ids: dict[int, str]
    keys_changed: bool
    watermark: Watermark
    expired_us: int | None = None
    erased: frozenset[int] = frozenset()
    pointer_moved: bool = False
    reset: bool = False
    more: bool = False


@dataclass(slots=True)
class _Changes:
    item_keys: set[int] = field(default_factory=set)
    many_items: bool = False
    user_keys: set[int] = field(default_factory=set)
    erased: set[int] = field(default_factory=set)
    expired_us: int | None = None
    keys: bool = False
    pointer: bool = False
    last_id: int = 0


def read_feed(
    store: Store, since: Watermark, *, most_rows: int | None = None, look_for_foreign: bool = True
) -> FeedBatch:
    """Everything committed that `since` has not seen.

    Args:
        look_for_foreign: also for rows of a dump that was put into tables that were there. That passes over all rows of
            an upload that is not committed, so who reads often does it now and then.
        most_rows: read about so many rows at most. Until the last of them is read nothing else that changed is told but
            erasures, so that no change comes before a row that it is about.
    Raises: StoreUnavailable, SchemaOutdated.
    """
    with store.read(repeatable=True) as connection:
        now = current_watermark(connection, since=since)
        if not ((look_for_foreign or since == START) and holds_foreign(connection, now)):
            if is_ahead(since, now):
                return _reset()
            part = None if most_rows is None else next_part(connection, since, now, most_rows=most_rows)
            return _read(connection, since, now) if part is None else _read_part(connection, since, part, now)
    adopt_restored(store)
    return read_feed(store, START, most_rows=most_rows) if since == START else _reset()


def _read(connection: sa.Connection, since: Watermark, watermark: Watermark) -> FeedBatch:
    changed = _read_changes(connection, since, watermark)
    read = since if since.part is None else since.part.target
    new = uncovered(tables.interactions, read, last_id=read.last_id, now=watermark.postgres)
    rows = columns_where(connection, new)
    if watermark.postgres is not None:
        ids = (watermark.last_id, 0 if since.part is None else since.part.last, *rows.id[-1:].tolist())
        watermark = replace(watermark, last_id=max(ids), last_change_id=max(watermark.last_change_id, changed.last_id))
    if changed.user_keys:
        rows = rows.take(np.flatnonzero(~np.isin(rows.user_key, list(changed.user_keys))))
    deleted: dict[int, list[StoredInteraction]] = {key: [] for key in sorted(changed.user_keys)}
    for chunk in chunked(deleted):
        for row in columns_where(connection, among(connection, _t.user_key, chunk)):
            deleted[row.user_key].append(row)
    left = [row for kept in deleted.values() for row in kept]
    user_keys = np.unique(rows.user_key).tolist()
    item_keys = {*np.unique(rows.item_key).tolist(), *(row.item_key for row in left)}
    return FeedBatch(
        rows=rows,
        deleted=deleted,
        items=_records(connection, since, changed),
        user_ids=users.ids_of(connection, sorted({*user_keys, *deleted})),
        item_ids=items.ids_of(connection, sorted(item_keys)),
        keys_changed=changed.keys or since == START,
        watermark=watermark,
        expired_us=changed.expired_us,
        erased=frozenset(changed.erased),
        pointer_moved=changed.pointer or since == START,
    )


def _read_part(connection: sa.Connection, since: Watermark, part: NextPart, now: Watermark) -> FeedBatch:
    rows = columns_where(connection, part.condition)
    begins = since == START
    return FeedBatch(
        rows=rows,
        deleted={},
        items=_records(connection, since, _Changes()) if begins else [],
        user_ids=users.ids_of(connection, np.unique(rows.user_key).tolist()),
        item_ids=items.ids_of(connection, np.unique(rows.item_key).tolist()),
        keys_changed=begins,
        watermark=part.watermark,
        erased=frozenset(_read_changes(connection, since, now).erased),
        pointer_moved=begins,
        more=True,
    )


def _read_changes(connection: sa.Connection, since: Watermark, now: Watermark) -> _Changes:
    found = _Changes()
    if since == START:
        # Whoever has read nothing has nothing to correct.
        return found
    if since.part is not None and since.postgres is None:
        since = since.part.target  # all that it has read it has read since then
    t = tables.changes.c
    new = uncovered(tables.changes, since, last_id=since.last_change_id, now=now.postgres)
    for kind, key, last_id in connection.execute(
        sa.select(t.kind, t.key, sa.func.max(t.id)).where(new).group_by(t.kind, t.key)
    ):
        found.last_id = max(found.last_id, last_id)
        if kind == "item":
            found.many_items |= key == MANY
            found.item_keys.add(key)
        elif kind == "interactions_deleted":
            found.user_keys.add(key)
        elif kind == "user_erased":
            found.erased.add(key)
        elif kind == "interactions_expired":
            found.expired_us = max(key, found.expired_us or key)
        elif kind == "keys":
            found.keys = True
        elif kind == "pointer":
            found.pointer = True
    return found


def _records(connection: sa.Connection, since: Watermark, changed: _Changes) -> list[ItemRecord]:
    if since == START or changed.many_items:
        return list(items.put_records(connection))
    return list(items.records(connection, sorted(changed.item_keys)))


def holds_foreign(connection: sa.Connection, now: Watermark) -> bool:
    """Whether there are rows of a restored dump that `adopt_restored` is to mark.

    Args:
        now: the watermark of the same REPEATABLE READ transaction.
    """
    seen = now.postgres
    if seen is None:
        return False
    logs = (tables.interactions, tables.changes)
    newest = [sa.select(sa.func.max(table.c.xact)).scalar_subquery() for table in logs]
    if max(found or 0 for found in connection.execute(sa.select(*newest)).one()) >= seen.xmax:
        return True
    if not seen.running:
        return False
    # What is visible cannot be of a transaction that is open.
    of_running = [sa.select(table.c.xact).where(table.c.xact.in_(seen.running)).exists() for table in logs]
    return any(connection.execute(sa.select(*of_running)).one())


def is_ahead(since: Watermark, now: Watermark) -> bool:
    """Whether `since` has seen what is not there: it comes from before the store was replaced by another copy."""
    if now.postgres is None:
        # Ids are never given twice, so only another copy of the store can have come less far.
        behind = now.last_id < since.last_id or now.last_change_id < since.last_change_id
        return behind or since.postgres is not None
    if since == START:
        return False
    newest = (since if since.part is None else since.part.target).postgres
    return since.copy != now.copy or newest is None or newest.xmax > now.postgres.xmax


def adopt_restored(store: Store) -> bool:
    """Mark the rows of a restored dump as old; True if there were any. `read_feed` does it by itself.

    They carry transaction numbers of the server they come from; those ahead of this server's would look new for ever.
    Zero is before every transaction. Raises: StoreUnavailable.
    """
    if store.dialect == "sqlite":
        return False
    adopted = 0
    # Asked within each statement: what is committed and visible to it but not below its own snapshot's end, or of a
    # transaction that is open, is foreign, while numbers taken beforehand would also catch others that begin or end in
    # between.
    now = sa.func.pg_current_snapshot()
    end = _as_number(sa.func.pg_snapshot_xmax(now))
    running = sa.func.pg_snapshot_xip(now).column_valued("running")
    with store.write_unhurried() as connection:
        for table in (tables.interactions, tables.changes):
            foreign = (table.c.xact >= end) | table.c.xact.in_(sa.select(_as_number(running)))
            adopted += connection.execute(sa.update(table).where(foreign).values(xact=0)).rowcount
    return adopted > 0


def _as_number(xact: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """A transaction number of PostgreSQL's, which it compares with its own kind only."""
    return sa.cast(sa.cast(xact, sa.Text), sa.BigInteger)


def _reset() -> FeedBatch:
    return FeedBatch(
        InteractionColumns.of([]), {}, [], {}, {}, keys_changed=True, watermark=START, pointer_moved=True, reset=True
    )
