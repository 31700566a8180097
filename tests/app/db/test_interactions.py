from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import Store
from app.db.interactions import (
    NewInteraction,
    append,
    count,
    current_watermark,
    delete_by_event_id,
    page,
    scan,
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


def test_a_scan_in_ranges_gives_what_the_watermark_covers_as_columns(store: Store) -> None:
    stored = store_rows(store, [NewInteraction(f"u{n % 4}", f"i{n}", f"t{n % 2}", n + 0.5, n * 10) for n in range(25)])
    with store.read() as connection:
        watermark = current_watermark(connection)
    store_rows(store, [row("later", "later")])
    parts = []
    after = 0
    while True:
        with store.read() as connection:
            part = scan(connection, upto=watermark, after_id=after, limit=10)
        parts.append(part)
        if len(part) < 10:
            break
        after = int(part.id[-1])
    assert [len(part) for part in parts] == [10, 10, 5]
    assert np.concatenate([part.id for part in parts]).tolist() == [one.id for one in stored.rows]
    assert np.concatenate([part.user_key for part in parts]).tolist() == [one.user_key for one in stored.rows]
    assert np.concatenate([part.item_key for part in parts]).tolist() == [one.item_key for one in stored.rows]
    assert [name for part in parts for name in part.event_type] == [f"t{n % 2}" for n in range(25)]
    assert np.concatenate([part.value for part in parts]).tolist() == [n + 0.5 for n in range(25)]
    assert np.concatenate([part.occurred_us for part in parts]).tolist() == [n * 10 for n in range(25)]


def test_a_scan_of_nothing_has_typed_columns(store: Store) -> None:
    with store.read() as connection:
        columns = scan(connection, upto=current_watermark(connection), after_id=0, limit=10)
    assert (len(columns), columns.id.dtype, columns.value.dtype) == (0, np.int64, np.float64)


@pytest.mark.postgres
def test_a_scan_leaves_out_what_was_not_committed_then_though_its_id_is_lower(postgres_store: Store) -> None:
    with postgres_store.write() as slow:
        early = append(slow, [row("slow", "x")], received_us=1).rows[0].id
        late = store_rows(postgres_store, [row("quick", "y")]).rows[0].id
        with postgres_store.read() as connection:
            watermark = current_watermark(connection)
    assert early < late
    with postgres_store.read() as connection:
        assert scan(connection, upto=watermark, after_id=0, limit=10).id.tolist() == [late]
        assert count(connection, beyond=watermark) == 1
        everything = scan(connection, upto=current_watermark(connection), after_id=0, limit=10)
    assert everything.id.tolist() == [early, late]


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
