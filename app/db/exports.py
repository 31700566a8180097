"""The whole log, and all records of items, page by page in short reads: as files hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.db import items, tables
from app.db.engine import Store
from app.db.interactions import current_watermark
from app.db.items import ItemRecord
from app.db.statements import covered
from app.db.watermark import Watermark

PAGE_ROWS = 5_000
_t = tables.interactions.c


class ExportedRow(NamedTuple):
    """A row of the log with the ids behind its keys; `occurred_us` in microseconds, `context` a JSON text."""

    id: int
    user_id: str
    item_id: str
    event_type: str
    value: float
    occurred_us: int
    event_id: str | None
    recommendation_id: str | None
    context: str | None


def all_interactions(store: Store, *, rows: int = PAGE_ROWS) -> Iterator[list[ExportedRow]]:
    """Pages of everything that is committed now, ascending by id; what is deleted meanwhile is left out.

    Each page is a short read, made when it is asked for. Raises: StoreUnavailable.
    """
    with store.read(repeatable=True) as connection:
        upto = current_watermark(connection)
    yield from _pages(store, lambda connection, after: _page(connection, upto, after, rows), lambda row: row.id, rows)


def all_items(store: Store, *, rows: int = PAGE_ROWS) -> Iterator[list[ItemRecord]]:
    """Pages of the items that somebody has put a record for, ascending by key; deleted ones are left out."""
    yield from _pages(
        store,
        lambda connection, after: items.page(connection, limit=rows, after_key=after, put=True),
        lambda record: record.item_key,
        rows,
    )


def _pages(
    store: Store,
    read: Callable[[sa.Connection, int], list[Any]],
    key: Callable[[Any], int],
    rows: int,
) -> Iterator[list[Any]]:
    after = 0
    while True:
        with store.read() as connection:
            page = read(connection, after)
        if page:
            yield page
        if len(page) < rows:
            return
        after = key(page[-1])


def _page(connection: sa.Connection, upto: Watermark, after_id: int, limit: int) -> list[ExportedRow]:
    columns = (
        *(_t.id, tables.users.c.user_id, tables.items.c.item_id, _t.event_type, _t.value, _t.occurred_us),
        *(_t.event_id, _t.recommendation_id, _t.context),
    )
    query = (
        sa.select(*columns)
        .select_from(tables.interactions.join(tables.users).join(tables.items))
        .where(_t.id > after_id, covered(tables.interactions, upto, last_id=upto.last_id))
        .order_by(_t.id)
        .limit(limit)
    )
    return [ExportedRow(*row) for row in connection.execute(query)]
