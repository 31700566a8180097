"""Very many new rows on PostgreSQL, read some at a time, while others write."""

from __future__ import annotations

import pytest

from app.db.engine import Store
from app.db.erasure import erase
from app.db.feed import FeedBatch, read_feed
from app.db.interactions import delete_by_event_id
from app.db.watermark import START
from tests.app.db.rows import held_open, row, store_rows


def users_of(batch: FeedBatch) -> list[str]:
    return [batch.user_ids[one.user_key] for one in batch.rows]


@pytest.mark.postgres
def test_what_commits_between_the_parts_comes_after_them_whatever_its_ids(postgres_store: Store) -> None:
    known = read_feed(postgres_store, START).watermark
    with held_open(postgres_store, *[row(f"slow {n}", "x") for n in range(3)]):
        store_rows(postgres_store, [row(f"many {n}") for n in range(25)])
        first = read_feed(postgres_store, known, most_rows=10)
        assert users_of(first) == [f"many {n}" for n in range(10)]
        assert first.more
    store_rows(postgres_store, [row("late")])
    assert not first.watermark.covers(first.rows.id[0] - 1, first.rows.xact[0] - 1)  # of the slow one
    second, third = [], []
    batch = read_feed(postgres_store, first.watermark, most_rows=10)
    second = users_of(batch)
    batch = read_feed(postgres_store, batch.watermark, most_rows=10)
    third = users_of(batch)
    assert (second, third) == ([f"many {n}" for n in range(10, 20)], [f"many {n}" for n in range(20, 25)])
    assert batch.watermark.covers(int(batch.rows.id[-1]), int(batch.rows.xact[-1]))
    last = read_feed(postgres_store, batch.watermark, most_rows=10)
    assert users_of(last) == ["slow 0", "slow 1", "slow 2", "late"]
    assert not last.more
    assert list(read_feed(postgres_store, last.watermark).rows) == []


@pytest.mark.postgres
def test_what_is_erased_or_taken_back_between_the_parts_of_everything_is_told(postgres_store: Store) -> None:
    store_rows(postgres_store, [row(f"u{n % 3}", at=n, event_id=str(n)) for n in range(30)])
    batch = read_feed(postgres_store, START, most_rows=10)
    keys = {user_id: key for key, user_id in batch.user_ids.items()}
    with postgres_store.write() as connection:
        erase(connection, "u0", now_us=1)
        delete_by_event_id(connection, "1")
    batch = read_feed(postgres_store, batch.watermark, most_rows=10)
    assert (batch.erased, batch.more, batch.deleted) == ({keys["u0"]}, True, {})
    while batch.more:
        batch = read_feed(postgres_store, batch.watermark, most_rows=10)
    assert batch.erased == {keys["u0"]}
    assert {user: len(rows) for user, rows in batch.deleted.items()} == {keys["u1"]: 9}


@pytest.mark.postgres
def test_very_many_that_commit_between_the_parts_come_in_parts_too(postgres_store: Store) -> None:
    store_rows(postgres_store, [row(f"first {n}") for n in range(25)])
    batch = read_feed(postgres_store, START, most_rows=10)
    found = users_of(batch)
    with held_open(postgres_store, row("slow")):
        store_rows(postgres_store, [row(f"second {n}") for n in range(35)])
        sizes = []
        while batch.more:
            batch = read_feed(postgres_store, batch.watermark, most_rows=10)
            found += users_of(batch)
            sizes.append(len(batch.rows))
            assert all(batch.watermark.covers(one.id, one.xact) for one in batch.rows)
    assert max(sizes) <= 10
    batch = read_feed(postgres_store, batch.watermark, most_rows=10)
    assert users_of(batch) == ["slow"]
    assert sorted(found) == sorted([*(f"first {n}" for n in range(25)), *(f"second {n}" for n in range(35))])


@pytest.mark.postgres
def test_a_restored_dump_is_read_in_parts_too(postgres_store: Store) -> None:
    store_rows(postgres_store, [row(f"u{n}") for n in range(25)])
    with postgres_store.write() as connection:
        connection.exec_driver_sql("UPDATE interactions SET xact = xact + 1000000")
    batch = read_feed(postgres_store, START, most_rows=10)
    assert (len(batch.rows), batch.more) == (10, True)
