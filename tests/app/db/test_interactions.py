from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from app.db import tables
from app.db.engine import Store
from app.db.interactions import (
    count,
    current_watermark,
    delete_by_event_id,
    page,
)
from app.db.watermark import START, Watermark
from tests.app.db.rows import row, store_rows


def pages(store: Store, limit: int, **filters: Any) -> Iterator[dict[str, Any]]:
    before = None
    while True:
        with store.read() as connection:
            found = page(connection, limit=limit, before=before, **filters)
        yield from found
        if len(found) < limit:
            return
        before = (found[-1]["occurred_us"], found[-1]["id"])


def test_pages_give_every_row_once_the_newest_first(store: Store) -> None:
    stored = store_rows(store, [row(f"u{n % 3}", f"i{n % 5}", at=n // 4) for n in range(30)]).rows
    expected = sorted(((one.occurred_us, one.id) for one in stored), reverse=True)
    assert [(one["occurred_us"], one["id"]) for one in pages(store, 7)] == expected


def test_pages_keep_to_a_user_an_item_or_both(store: Store) -> None:
    store_rows(store, [row(f"u{n % 3}", f"i{n % 5}", at=n) for n in range(30)])
    assert {one["user_id"] for one in pages(store, 4, user_id="u1")} == {"u1"}
    assert [one["occurred_us"] for one in pages(store, 4, item_id="i2")] == [27, 22, 17, 12, 7, 2]
    assert [one["occurred_us"] for one in pages(store, 4, user_id="u1", item_id="i2")] == [22, 7]
    assert list(pages(store, 4, user_id="nobody")) == []


def test_an_interaction_is_taken_back_by_its_event_id(store: Store) -> None:
    stored = store_rows(store, [row(event_id="e"), row(event_id="f")]).rows
    with store.write() as connection:
        assert delete_by_event_id(connection, "e", now_us=9) is True
        assert delete_by_event_id(connection, "e", now_us=9) is False
    assert [one["event_id"] for one in pages(store, 10)] == ["f"]
    with store.read() as connection:
        noted = connection.execute(sa.select(tables.changes.c["kind", "key", "at_us"])).all()
    assert noted == [("interactions_deleted", stored[0].user_key, 9)]
    assert store_rows(store, [row(event_id="e")]).accepted == 1


def test_rows_are_counted_in_all_and_since_a_watermark(store: Store) -> None:
    store_rows(store, [row(), row()])
    with store.read() as connection:
        watermark = current_watermark(connection)
        assert (count(connection), count(connection, beyond=START), count(connection, beyond=watermark)) == (2, 2, 0)
    store_rows(store, [row(), row(), row()])
    with store.read() as connection:
        assert (count(connection), count(connection, beyond=watermark)) == (5, 3)


def test_the_watermark_of_an_empty_store_covers_nothing_that_comes(store: Store) -> None:
    with store.read() as connection:
        watermark = current_watermark(connection)
    (stored,) = store_rows(store, [row()]).rows
    assert not watermark.covers(stored.id, stored.xact)
    with store.read() as connection:
        assert current_watermark(connection).covers(stored.id, stored.xact)


def test_the_watermark_does_not_fall_back_when_the_newest_row_is_taken_back_on_sqlite(sqlite_store: Store) -> None:
    store_rows(sqlite_store, [row(), row(event_id="e")])
    with sqlite_store.write() as connection:
        delete_by_event_id(connection, "e")
        assert current_watermark(connection) == Watermark(2, 1, None)
