from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import Store
from app.db.interactions import Appended, NewInteraction, StoredInteraction, append, append_many, page
from app.db.known_keys import KnownKeys
from tests.app.db.rows import row, store_rows


def names(store: Store) -> tuple[list[str], list[str]]:
    with store.read() as connection:
        users = connection.scalars(sa.select(tables.users.c.user_id).order_by(tables.users.c.user_key)).all()
        items = connection.scalars(sa.select(tables.items.c.item_id).order_by(tables.items.c.item_key)).all()
    return list(users), list(items)


def test_rows_come_back_with_their_keys_and_the_ids_behind_them(store: Store) -> None:
    new = NewInteraction("u", "i", "purchase", 2.5, 77, "e", "list-1", '{"page": "home"}')
    appended = store_rows(store, [new])
    (stored,) = appended.rows
    assert (appended.accepted, appended.duplicates) == (1, 0)
    assert (appended.user_ids, appended.item_ids) == ({stored.user_key: "u"}, {stored.item_key: "i"})
    assert (stored.event_type, stored.value, stored.occurred_us) == ("purchase", 2.5, 77)
    with store.read() as connection:
        (read,) = page(connection, limit=10)
    assert read == {
        **{"id": stored.id, "user_id": "u", "item_id": "i", "event_type": "purchase", "value": 2.5, "occurred_us": 77},
        **{"received_us": 5_000, "event_id": "e", "recommendation_id": "list-1", "context": '{"page": "home"}'},
    }


def test_ids_ascend_in_the_order_given_whatever_the_event_ids(store: Store) -> None:
    given = [row(item_id=str(n), event_id=f"{(n * 7) % 20:02}" if n % 3 else None) for n in range(20)]
    appended = store_rows(store, given)
    ids = [stored.id for stored in appended.rows]
    assert ids == sorted(set(ids))
    assert [appended.item_ids[stored.item_key] for stored in appended.rows] == [str(n) for n in range(20)]


def test_users_and_items_get_their_key_once(store: Store) -> None:
    first = store_rows(store, [row("a", "x"), row("b", "x"), row("a", "y")])
    second = store_rows(store, [row("b", "y"), row("c", "x")])
    assert names(store) == (["a", "b", "c"], ["x", "y"])
    keys = {user_id: key for key, user_id in first.user_ids.items()}
    assert second.rows[0].user_key == keys["b"]


def test_a_known_event_is_a_duplicate_and_changes_nothing(store: Store) -> None:
    store_rows(store, [row("a", "x", event_id="e")])
    appended = store_rows(store, [row("stranger", "new", event_id="e"), row("a", "x")])
    assert (appended.accepted, appended.duplicates) == (1, 1)
    assert names(store) == (["a"], ["x"])


def test_an_event_twice_in_one_upload_is_stored_once(store: Store) -> None:
    appended = store_rows(store, [row(at=1, event_id="e"), row(at=2, event_id="e"), row(at=3), row(at=3)])
    assert (appended.accepted, appended.duplicates) == (3, 1)
    assert [stored.occurred_us for stored in appended.rows] == [1, 3, 3]


def test_known_events_of_users_and_items_whose_keys_are_kept_are_duplicates(store: Store) -> None:
    store_rows(store, [row("a", "x", event_id="1"), row("b", "y", event_id="2")])
    users, items = KnownKeys(tables.users), KnownKeys(tables.items)
    with store.write() as connection:
        for keys in (users, items):
            keys.ask_of(connection)
        users.keep(users.of(connection, {"a": 1, "b": 1}))
        items.keep(items.of(connection, {"x": None, "y": None}))
    given = [row("b", "y", at=4), row("a", "x", at=3, event_id="2"), row("b", "x", at=2, event_id="3"), row("a", "y")]
    with store.write() as connection:
        (appended,) = append_many(connection, [(given, 5_000)], users=users, items=items)
    assert (appended.accepted, appended.duplicates) == (3, 1)
    ids = [stored.id for stored in appended.rows]
    assert ids == sorted(set(ids))
    with store.read() as connection:
        read = {one["id"]: (one["user_id"], one["item_id"], one["event_id"]) for one in page(connection, limit=10)}
    assert [read[one] for one in ids] == [("b", "y", None), ("b", "x", "3"), ("a", "y", None)]
    assert [(appended.user_ids[one.user_key], appended.item_ids[one.item_key]) for one in appended.rows] == [
        ("b", "y"),
        ("b", "x"),
        ("a", "y"),
    ]


def test_nothing_is_stored_of_nothing(store: Store) -> None:
    assert store_rows(store, []) == Appended(0, 0, [], {}, {})


def test_several_uploads_at_once_each_have_their_own_outcome(store: Store) -> None:
    with store.write() as connection:
        first, second, third = append_many(
            connection,
            [([row("a", "x", event_id="e")], 10), ([], 20), ([row("a", "x", event_id="e"), row("b", "x")], 30)],
        )
    assert (first.accepted, first.duplicates, second.accepted) == (1, 0, 0)
    assert (third.accepted, third.duplicates, set(third.user_ids.values())) == (1, 1, {"b"})
    with store.read() as connection:
        created = connection.execute(sa.select(tables.users.c.user_id, tables.users.c.created_us))
        assert {one[0]: one[1] for one in created} == {"a": 10, "b": 30}
        assert {one["received_us"] for one in page(connection, limit=10)} == {10, 30}


ODD = ["a/b", "..", "%00", "é", "e\u0301", "\U0001f600", "x" * 256, "\u00ff" * 256, "'; DROP TABLE u; --", "\\", "{}"]


def test_any_id_comes_back_as_it_was(store: Store) -> None:
    appended = store_rows(store, [row(odd, odd, event_id=odd) for odd in ODD])
    assert appended.accepted == len(ODD)
    with store.read() as connection:
        found = page(connection, limit=100)
    assert {(one["user_id"], one["item_id"], one["event_id"]) for one in found} == {(odd, odd, odd) for odd in ODD}
    assert store_rows(store, [row(odd, odd, event_id=odd) for odd in ODD]).duplicates == len(ODD)


def test_ten_thousand_rows_are_one_quick_transaction(store: Store) -> None:
    rows = [row(f"u{n % 3000}", f"i{n % 700}", event_id=f"e{n}") for n in range(10_000)]
    started = time.monotonic()
    assert store_rows(store, rows).accepted == 10_000
    assert time.monotonic() - started < 5
    assert store_rows(store, rows).duplicates == 10_000


def test_uploads_that_meet_store_each_event_once_and_give_each_name_one_key(store: Store) -> None:
    writers = 8
    barrier = threading.Barrier(writers)

    def upload(number: int) -> list[Appended]:
        done = []
        barrier.wait(10)
        for turn in range(6):
            # Every writer brings the same events of the same new users, each in an order of its own.
            order = list(range(turn * 20, turn * 20 + 20))
            order = order[number:] + order[:number] if number % 2 else order[::-1]
            done.append(store_rows(store, [row(f"u{n}", f"i{n // 2}", event_id=f"e{n}") for n in order]))
        return done

    with ThreadPoolExecutor(writers) as pool:
        outcomes = [one for done in pool.map(upload, range(writers), timeout=60) for one in done]
    assert sum(one.accepted for one in outcomes) == 120
    assert sum(one.duplicates for one in outcomes) == 120 * (writers - 1)
    with store.read() as connection:
        events = connection.scalars(sa.select(tables.interactions.c.event_id)).all()
    assert Counter(events) == Counter(f"e{n}" for n in range(120))
    users, items = names(store)
    assert (Counter(users), Counter(items)) == (
        Counter(f"u{n}" for n in range(120)),
        Counter(f"i{n}" for n in range(60)),
    )


@pytest.mark.postgres
def test_an_event_that_another_transaction_is_storing_is_waited_for_and_then_a_duplicate(postgres_store: Store) -> None:
    outcomes: list[Appended] = []
    second = threading.Thread(
        target=lambda: outcomes.append(store_rows(postgres_store, [row("u", "i", event_id="e"), row("v", "i")]))
    )
    with postgres_store.write() as connection:
        append(connection, [row("u", "i", event_id="e")], received_us=1)
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(10)
    assert [(one.accepted, one.duplicates) for one in outcomes] == [(1, 1)]


@pytest.mark.postgres
def test_an_event_whose_first_upload_is_undone_is_stored_by_the_second(postgres_store: Store) -> None:
    outcomes: list[Appended] = []
    second = threading.Thread(target=lambda: outcomes.append(store_rows(postgres_store, [row(event_id="e")])))
    with postgres_store.read() as connection:
        append(connection, [row(event_id="e")], received_us=1)
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(10)
    assert [(one.accepted, one.duplicates) for one in outcomes] == [(1, 0)]


@pytest.mark.postgres
def test_rows_carry_the_transaction_that_wrote_them(postgres_store: Store) -> None:
    with postgres_store.write() as connection:
        appended = append(connection, [row(), row()], received_us=1)
        current = connection.scalar(sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.Text)))
    assert {stored.xact for stored in appended.rows} == {int(current or 0)}


def test_rows_are_numbered_from_one_without_a_transaction_on_sqlite(sqlite_store: Store) -> None:
    rows = store_rows(sqlite_store, [row(), row()]).rows
    assert rows == [StoredInteraction(n, 0, 1, 1, "click", 1.0, 1_000) for n in (1, 2)]
