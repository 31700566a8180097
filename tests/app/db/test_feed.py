from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
import sqlalchemy as sa

from app.db import changes, items, keys, tables
from app.db.append import StoredInteraction
from app.db.columns import InteractionColumns
from app.db.engine import Store
from app.db.feed import FeedBatch, adopt_restored, read_feed
from app.db.interactions import append, delete_by_event_id, delete_expired
from app.db.items import NewItem
from app.db.scan import EventNames, scan
from app.db.watermark import START, Watermark
from tests.app.db.rows import held_open, row, store_rows


def users_of(batch: FeedBatch) -> list[str]:
    return [batch.user_ids[one.user_key] for one in batch.rows]


def test_the_start_brings_everything_and_the_next_read_nothing(store: Store) -> None:
    appended = store_rows(store, [row("a", "x"), row("b", "y"), row("a", "y")])
    first = read_feed(store, START)
    assert list(first.rows) == appended.rows
    assert first.user_ids == appended.user_ids
    assert first.item_ids == appended.item_ids
    assert (first.keys_changed, first.pointer_moved, first.reset) == (True, True, False)
    second = read_feed(store, first.watermark)
    assert (list(second.rows), second.deleted, second.items) == ([], {}, [])
    assert (second.user_ids, second.item_ids) == ({}, {})
    assert (second.keys_changed, second.pointer_moved, second.reset) == (False, False, False)


def test_each_read_brings_what_was_committed_since_the_one_before(store: Store) -> None:
    watermark = START
    for user_id in ("a", "b", "c"):
        store_rows(store, [row(user_id)])
        batch = read_feed(store, watermark)
        assert users_of(batch) == [user_id]
        assert all(batch.watermark.covers(one.id, one.xact) for one in batch.rows)
        assert not any(watermark.covers(one.id, one.xact) for one in batch.rows)
        watermark = batch.watermark


def test_a_watermark_that_was_written_down_goes_on_where_it_was(store: Store) -> None:
    store_rows(store, [row("a")])
    kept = Watermark.from_json(read_feed(store, START).watermark.to_json())
    store_rows(store, [row("b")])
    assert users_of(read_feed(store, kept)) == ["b"]


def test_what_is_too_old_is_deleted_oldest_first_and_the_feed_says_up_to_when(store: Store) -> None:
    store_rows(store, [row("a", "x", at=at) for at in (30, 10, 20, 40)])
    watermark = read_feed(store, START).watermark
    deleted = []
    for before_us in (35, 35, 5):
        with store.write() as connection:
            deleted.append(delete_expired(connection, before_us=before_us, limit=2, now_us=1))
    assert deleted == [2, 1, 0]
    batch = read_feed(store, watermark)
    assert (batch.expired_us, batch.deleted, list(batch.rows)) == (35, {}, [])
    assert [one.occurred_us for one in read_feed(store, START).rows] == [40]
    assert read_feed(store, batch.watermark).expired_us is None


def test_of_several_deletions_for_age_the_feed_says_the_latest_moment(store: Store) -> None:
    store_rows(store, [row("a", "x", at=at) for at in (10, 20, 30)])
    watermark = read_feed(store, START).watermark
    for before_us in (15, 25, 5):
        with store.write() as connection:
            delete_expired(connection, before_us=before_us, limit=9, now_us=1)
    assert read_feed(store, watermark).expired_us == 25


def test_columns_are_the_rows_by_id_however_many_there_are_and_in_whatever_order() -> None:
    rows = [StoredInteraction(n, n % 3, n % 7, n % 5, f"type {n % 4}", n / 2, n * 10) for n in range(20_500)]
    told = [(r.id, r.xact, r.user_key, r.item_key, r.event_type, r.value, r.occurred_us) for r in rows]
    columns = InteractionColumns.of(told[15_000:] + told[:15_000])
    assert list(columns) == rows
    assert len({id(name) for name in columns.event_type}) == 4
    assert list(columns.take(np.array([3, 20_000]))) == [rows[3], rows[20_000]]
    assert list(columns.take(np.array([], dtype=np.int64))) == []


def test_a_deletion_brings_all_that_the_user_has_left(store: Store) -> None:
    store_rows(store, [row("a", "x", event_id="e1"), row("a", "y", event_id="e2"), row("b", "x")])
    watermark = read_feed(store, START).watermark
    store_rows(store, [row("a", "z"), row("b", "z")])
    with store.write() as connection:
        delete_by_event_id(connection, "e1")
    batch = read_feed(store, watermark)
    assert users_of(batch) == ["b"]
    ((user_key, left),) = batch.deleted.items()
    assert batch.user_ids[user_key] == "a"
    assert [batch.item_ids[one.item_key] for one in left] == ["y", "z"]


def test_a_user_with_nothing_left_is_brought_as_empty(store: Store) -> None:
    (stored,) = store_rows(store, [row("a", event_id="e")]).rows
    watermark = read_feed(store, START).watermark
    with store.write() as connection:
        delete_by_event_id(connection, "e")
    batch = read_feed(store, watermark)
    assert batch.deleted == {stored.user_key: []}
    assert batch.user_ids == {stored.user_key: "a"}


def test_the_start_brings_records_that_were_put_and_no_bare_names(store: Store) -> None:
    store_rows(store, [row("a", "named")])
    with store.write() as connection:
        items.upsert(connection, [NewItem("put", title="Put", hidden=True)], now_us=7)
    (record,) = read_feed(store, START).items
    assert (record.item_id, record.title, record.hidden, record.updated_us) == ("put", "Put", True, 7)


def test_changed_records_are_brought_once_as_they_are_now(store: Store) -> None:
    watermark = read_feed(store, START).watermark
    for title in ("one", "two"):
        with store.write() as connection:
            items.upsert(connection, [NewItem("x", title=title)], now_us=1)
    batch = read_feed(store, watermark)
    assert [(one.item_id, one.title) for one in batch.items] == [("x", "two")]
    assert read_feed(store, batch.watermark).items == []


def test_a_bulk_of_records_is_one_change_and_brings_all(store: Store) -> None:
    watermark = read_feed(store, START).watermark
    with store.write() as connection:
        items.upsert(connection, [NewItem(f"x{n}", title=str(n)) for n in range(1_500)], now_us=1)
        assert connection.scalars(sa.select(tables.changes.c.key)).all() == [0]
    assert len(read_feed(store, watermark).items) == 1_500


def test_keys_and_pointer_are_told(store: Store) -> None:
    store_rows(store, [row()])
    watermark = read_feed(store, START).watermark
    with store.write() as connection:
        keys.create(connection, "one", "read", 1)
    batch = read_feed(store, watermark)
    assert (batch.keys_changed, batch.pointer_moved) == (True, False)
    with store.write() as connection:
        changes.record(connection, "pointer", [1])
    batch = read_feed(store, batch.watermark)
    assert (batch.keys_changed, batch.pointer_moved) == (False, True)


def test_a_store_put_back_to_an_older_copy_starts_over(store: Store) -> None:
    store_rows(store, [row("a")])
    watermark = read_feed(store, START).watermark
    ahead = Watermark(watermark.last_id + 50, 0, None if store.dialect == "sqlite" else "900000000:900000000:")
    batch = read_feed(store, ahead)
    assert batch.reset
    assert (list(batch.rows), batch.watermark) == ([], START)


def test_a_watermark_of_the_other_database_starts_over(store: Store) -> None:
    foreign = Watermark(0, 0, "5:5:") if store.dialect == "sqlite" else Watermark(1, 0, None)
    assert read_feed(store, foreign).reset


# -- PostgreSQL: ids commit out of order ------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_lower_id_that_commits_later_is_not_missed(postgres_store: Store) -> None:
    with held_open(postgres_store, row("early", "x")):
        store_rows(postgres_store, [row("late", "y")])
        first = read_feed(postgres_store, START)
        assert users_of(first) == ["late"]
    second = read_feed(postgres_store, first.watermark)
    assert users_of(second) == ["early"]
    assert second.rows.id.max() < first.rows.id.min()
    assert list(read_feed(postgres_store, second.watermark).rows) == []


@pytest.mark.postgres
def test_a_transaction_held_open_neither_holds_others_back_nor_makes_them_come_twice(postgres_store: Store) -> None:
    watermark = read_feed(postgres_store, START).watermark
    with held_open(postgres_store, row("slow", "x")):
        for user_id in ("a", "b", "c"):
            store_rows(postgres_store, [row(user_id, "y")])
            batch = read_feed(postgres_store, watermark)
            assert users_of(batch) == [user_id]
            watermark = batch.watermark
    assert users_of(read_feed(postgres_store, watermark)) == ["slow"]


@pytest.mark.postgres
def test_changes_of_a_slow_transaction_are_not_missed_either(postgres_store: Store) -> None:
    with postgres_store.write() as slow:
        items.upsert(slow, [NewItem("slow")], now_us=1)
        with postgres_store.write() as connection:
            items.upsert(connection, [NewItem("quick")], now_us=1)
        first = read_feed(postgres_store, START)
        assert [one.item_id for one in first.items] == ["quick"]
    assert [one.item_id for one in read_feed(postgres_store, first.watermark).items] == ["slow"]


@pytest.mark.postgres
@pytest.mark.parametrize("most_rows", [None, 9])
def test_readers_beside_many_writers_get_every_row_exactly_once(postgres_store: Store, most_rows: int | None) -> None:
    writers, turns = 6, 25
    done = threading.Event()
    barrier = threading.Barrier(writers)

    def write(number: int) -> None:
        barrier.wait(10)
        for turn in range(turns):
            with postgres_store.write() as connection:
                append(connection, [row(f"w{number}", at=turn), row(f"w{number}", at=turn)], received_us=1)
                if turn % 5 == number % 5:
                    # Stays open while others overtake it.
                    done.wait(0.02)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    seen: Counter[int] = Counter()
    watermark = START
    while any(thread.is_alive() for thread in threads):
        batch = read_feed(postgres_store, watermark, most_rows=most_rows)
        seen.update(one.id for one in batch.rows)
        watermark = batch.watermark
        if batch.more:
            # What waits is read before those who write go on: else there would be few parts.
            assert len(batch.rows) <= (most_rows or 0)
            continue
        covered = [row_id for part in scan(postgres_store, watermark, EventNames()) for row_id in part.ids.tolist()]
        # A training up to this watermark reads the rows that the feed has brought so far: no more, no fewer.
        assert set(covered) == set(seen)
    while batch.more:
        batch = read_feed(postgres_store, watermark, most_rows=most_rows)
        seen.update(one.id for one in batch.rows)
        watermark = batch.watermark
    seen.update(one.id for one in read_feed(postgres_store, watermark).rows)
    assert len(seen) == writers * turns * 2
    assert set(seen.values()) == {1}


@pytest.mark.postgres
def test_rows_of_a_restored_dump_are_read_once_and_do_not_come_again(postgres_store: Store) -> None:
    store_rows(postgres_store, [row("old"), row("older")])
    watermark = read_feed(postgres_store, START).watermark
    with postgres_store.write() as connection:
        # What a dump of a server with more transactions behind it looks like here.
        connection.execute(sa.update(tables.interactions).values(xact=5_000_000_000))
        connection.execute(sa.insert(tables.changes).values(xact=5_000_000_001, kind="keys", key=0, at_us=1))
    assert read_feed(postgres_store, watermark).reset
    first = read_feed(postgres_store, START)
    assert users_of(first) == ["old", "older"]
    assert not first.reset
    store_rows(postgres_store, [row("new")])
    second = read_feed(postgres_store, first.watermark)
    assert users_of(second) == ["new"]
    assert not second.keys_changed


@pytest.mark.postgres
def test_rows_of_a_dump_with_the_number_of_an_open_transaction_are_read_once_too(postgres_store: Store) -> None:
    with held_open(postgres_store, row("open", "x")):
        store_rows(postgres_store, [row("old"), row("older")])
        with postgres_store.write() as connection:
            running = connection.scalars(
                sa.text("SELECT pg_snapshot_xip(pg_current_snapshot())::text::bigint ORDER BY 1")
            ).all()[0]
            connection.execute(sa.update(tables.interactions).values(xact=running))
        first = read_feed(postgres_store, START)
        assert users_of(first) == ["old", "older"]
        assert users_of(read_feed(postgres_store, first.watermark)) == []
    assert users_of(read_feed(postgres_store, first.watermark)) == ["open"]


@pytest.mark.postgres
def test_adopting_a_dump_leaves_the_rows_of_this_server_alone(postgres_store: Store) -> None:
    (stored,) = store_rows(postgres_store, [row("mine")]).rows
    assert adopt_restored(postgres_store) is False
    with held_open(postgres_store, row("open")):
        with postgres_store.write() as connection:
            foreign = tables.interactions.c.id == stored.id
            connection.execute(sa.update(tables.interactions).where(foreign).values(xact=5_000_000_000))
        first = read_feed(postgres_store, START)
        assert users_of(first) == ["mine"]
    assert users_of(read_feed(postgres_store, first.watermark)) == ["open"]
