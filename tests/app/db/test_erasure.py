"""Erasing a user from the store, with others writing at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import Store
from app.db.erasure import erase, erased_since
from app.db.feed import read_feed
from app.db.interactions import append, count, current_watermark
from app.db.watermark import START
from app.db.writer import InteractionWriter
from tests.app.db.rows import row, store_rows


def key_of(store: Store, user_id: str) -> int | None:
    with store.read() as connection:
        return connection.scalar(sa.select(tables.users.c.user_key).where(tables.users.c.user_id == user_id))


def erased(store: Store, user_id: str) -> int | None:
    with store.write() as connection:
        found = erase(connection, user_id, now_us=1)
    return None if found is None else found.interactions


def test_rows_id_and_key_are_gone_and_the_key_is_never_given_again(store: Store) -> None:
    store_rows(store, [row("ann"), row("bob"), row("ann", "x"), row("cid")])
    keys = {key_of(store, name) for name in ("ann", "bob", "cid")}
    assert erased(store, "cid") == 1
    assert erased(store, "ann") == 2
    assert erased(store, "ann") is None
    with store.read() as connection:
        assert count(connection) == 1
    store_rows(store, [row("ann"), row("cid")])
    assert not {key_of(store, "ann"), key_of(store, "cid")} & keys


def test_nothing_of_a_person_is_left_in_the_file(sqlite_store: Store) -> None:
    rows = [row("a-person-erased", f"i{n}", event_id=f"their-event-{n}") for n in range(50)]
    store_rows(sqlite_store, [*rows, row("b")])
    with sqlite_store.write() as connection:
        erase(connection, "a-person-erased", now_us=9)
    file = Path(sqlite_store.engine.url.database or "")
    sqlite_store.dispose()  # the last connection's end writes the journal back
    found = file.read_bytes()
    assert (b"a-person-erased" in found, b"their-event-" in found, b"b" in found) == (False, False, True)


def test_the_feed_tells_of_it_once(store: Store) -> None:
    store_rows(store, [row("ann"), row("bob")])
    ann = key_of(store, "ann")
    before = read_feed(store, START).watermark
    erased(store, "ann")
    batch = read_feed(store, before)
    assert (batch.erased, len(batch.rows), batch.deleted) == (frozenset({ann}), 0, {})
    assert read_feed(store, batch.watermark).erased == frozenset()


def test_who_was_erased_since_a_watermark(store: Store) -> None:
    store_rows(store, [row("ann"), row("bob")])
    ann, bob = key_of(store, "ann"), key_of(store, "bob")
    erased(store, "ann")
    with store.read(repeatable=True) as connection:
        between = current_watermark(connection)
    erased(store, "bob")
    with store.read() as connection:
        assert erased_since(connection, between) == {bob}
        assert erased_since(connection, START) == {ann, bob}


@pytest.mark.postgres
def test_an_upload_under_way_is_waited_for_and_erased_too(postgres_store: Store) -> None:
    store_rows(postgres_store, [row("ann")])
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(erased(postgres_store, "ann")))
    with postgres_store.write() as slow:
        append(slow, [row("ann", "x"), row("ann", "y")], received_us=1)
        thread.start()
        thread.join(0.3)
        assert found == []
    thread.join(10)
    assert found == [3]
    with postgres_store.read() as connection:
        assert count(connection) == 0


def test_a_writer_that_kept_the_key_takes_a_new_one(store: Store) -> None:
    writer = InteractionWriter(store, on_commit=lambda _: None)
    writer.start()
    try:
        writer.submit([row("ann")], received_us=1).result(10)
        old = key_of(store, "ann")
        erased(store, "ann")
        appended = writer.submit([row("ann"), row("bob")], received_us=1).result(10)
    finally:
        writer.stop(10)
    assert appended.accepted == 2
    new = key_of(store, "ann")
    assert new is not None
    assert new != old
    assert appended.user_ids[new] == "ann"
