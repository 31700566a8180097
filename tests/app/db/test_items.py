from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.db import interactions, items, tables
from app.db.engine import Store
from app.db.feed import read_feed
from app.db.interactions import append
from app.db.items import ItemRecord, NewItem
from app.db.watermark import START
from model.item_table import Restriction
from tests.app.db.rows import row, store_rows


def put(store: Store, *new: NewItem, now_us: int = 1) -> int:
    with store.write() as connection:
        return items.upsert(connection, new, now_us=now_us)


def delete(store: Store, item_id: str, *, now_us: int = 1) -> bool:
    with store.write() as connection:
        return items.delete(connection, item_id, now_us=now_us)


def records(store: Store, keys: list[int] | None = None) -> dict[str, ItemRecord]:
    with store.read() as connection:
        return {one.item_id: one for one in items.records(connection, keys)}


def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    put(
        store,
        NewItem("x", "Title", ["a", "b"], {"year": 1999, "deep": {"er": [1, None]}}, True, 10, 20),
        now_us=7,
    )
    found = records(store)["x"]
    assert (found.title, found.categories, found.metadata) == (
        "Title",
        ("a", "b"),
        {"year": 1999, "deep": {"er": [1, None]}},
    )
    assert (found.hidden, found.deleted, found.updated_us) == (True, False, 7)
    assert (found.available_from_us, found.available_until_us) == (10, 20)


def test_a_put_replaces_the_whole_record_and_keeps_the_key(store: Store) -> None:
    put(store, NewItem("x", "Old", ["a"], {"k": 1}, True, 10, 20))
    before = records(store)["x"]
    put(store, NewItem("x", "New"), now_us=2)
    after = records(store)["x"]
    assert after == ItemRecord(before.item_key, "x", "New", (), False, False, None, None, 2, {})


def test_the_last_record_of_an_id_wins(store: Store) -> None:
    assert put(store, NewItem("x", "one"), NewItem("y"), NewItem("x", "two")) == 2
    assert records(store)["x"].title == "two"


def test_titles_leave_the_rest_of_a_record_alone(store: Store) -> None:
    put(store, NewItem("x", "Old", ["a"], hidden=True))
    with store.write() as connection:
        assert items.upsert_titles(connection, {"x": "New", "y": "Why"}, now_us=9) == 2
    found = records(store)
    assert (found["x"].title, found["x"].categories, found["x"].hidden) == ("New", ("a",), True)
    assert (found["y"].title, found["y"].updated_us) == ("Why", 9)


def test_an_item_named_by_an_interaction_is_the_one_that_is_put(store: Store) -> None:
    (stored,) = store_rows(store, [row("u", "x")]).rows
    assert records(store)["x"].updated_us is None
    put(store, NewItem("x", "Title"))
    assert records(store, [stored.item_key])["x"].title == "Title"
    with store.read() as connection:
        assert items.ids_of(connection, [stored.item_key, 999]) == {stored.item_key: "x"}
        assert items.count(connection) == 1


def test_putting_known_items_uses_up_no_keys(store: Store) -> None:
    for now_us in range(5):
        put(store, NewItem("x"), NewItem("y"), now_us=now_us)
    put(store, NewItem("z"))
    keys = [one.item_key for one in records(store).values()]
    assert max(keys) - min(keys) == 2


def test_a_deleted_item_is_back_when_it_is_put_again(store: Store) -> None:
    put(store, NewItem("x"))
    with store.write() as connection:
        connection.execute(sa.update(tables.items).values(deleted=True))
        assert items.count(connection) == 0
    assert records(store)["x"].deleted is True
    put(store, NewItem("x"))
    assert records(store)["x"].deleted is False


def test_the_item_of_an_id_is_found_whoever_named_it(store: Store) -> None:
    store_rows(store, [row("u", "named")])
    put(store, NewItem("put", "Title", ["a"], {"nul": "a\0b", "big": 10**300}, True, 10, 20))
    all_records = records(store)
    with store.read() as connection:
        assert items.get(connection, "named") == all_records["named"]
        assert items.get(connection, "put") == all_records["put"]
        assert items.get(connection, "PUT") is None
    assert all_records["put"].metadata == {"nul": "a\0b", "big": 10**300}


def test_a_deleted_item_is_not_found_and_keeps_what_was_put(store: Store) -> None:
    put(store, NewItem("x", "Title", ["a"], {"k": 1}, True, 10, 20))
    before = records(store)["x"]
    assert delete(store, "x", now_us=9) is True
    with store.read() as connection:
        assert items.get(connection, "x") is None
        assert items.page(connection, limit=10) == []
    assert records(store)["x"] == replace(before, deleted=True, updated_us=9)


def test_only_an_item_that_is_there_can_be_deleted(store: Store) -> None:
    assert delete(store, "x") is False
    put(store, NewItem("x"))
    assert [delete(store, "x"), delete(store, "x")] == [True, False]
    put(store, NewItem("x"))
    assert delete(store, "x") is True


def test_a_deletion_is_a_change_of_that_item_and_a_vain_one_is_none(store: Store) -> None:
    put(store, NewItem("w"), NewItem("x"))
    delete(store, "x", now_us=9)
    delete(store, "x", now_us=10)
    with store.read() as connection:
        query = sa.select(tables.changes.c.kind, tables.changes.c.key).where(tables.changes.c.at_us > 1)
        assert connection.execute(query).all() == [("item", records(store)["x"].item_key)]


def test_a_replica_that_starts_learns_of_a_deleted_item_that_only_interactions_have_named(store: Store) -> None:
    store_rows(store, [row("u", "x")])
    delete(store, "x", now_us=9)
    (found,) = read_feed(store, START).items
    assert (found.item_id, found.deleted) == ("x", True)


def test_interactions_with_a_deleted_item_do_not_bring_it_back(store: Store) -> None:
    put(store, NewItem("x"))
    delete(store, "x")
    assert store_rows(store, [row("u", "x")]).accepted == 1
    assert records(store)["x"].deleted is True


def test_items_are_paged_by_key_without_those_that_were_deleted(store: Store) -> None:
    store_rows(store, [row("u", "a")])
    put(store, *(NewItem(name) for name in "bcde"))
    delete(store, "c")
    with store.read() as connection:
        first = items.page(connection, limit=2)
        assert [one.item_id for one in first] == ["a", "b"]
        assert first == list(items.records(connection, [one.item_key for one in first]))
        rest = items.page(connection, limit=3, after_key=first[-1].item_key)
        assert [one.item_id for one in rest] == ["d", "e"]
        assert items.page(connection, limit=2, after_key=rest[-1].item_key) == []


@pytest.mark.parametrize("interaction_first", [True, False])
def test_a_record_and_an_interaction_that_name_an_item_at_once_both_succeed(
    store: Store, interaction_first: bool
) -> None:
    def put_it() -> None:
        put(store, NewItem("x", "Title"))

    def buy_it() -> None:
        store_rows(store, [row("u", "x")])

    with ThreadPoolExecutor(1) as pool:
        with store.write() as connection:
            if interaction_first:
                append(connection, [row("u", "x")], received_us=5_000)
            else:
                items.upsert(connection, [NewItem("x", "Title")], now_us=1)
            second = pool.submit(put_it if interaction_first else buy_it)
            wait([second], timeout=0.3)
            assert not second.done()  # it has met what is not committed, and waits for it
        second.result(10)
    with store.read() as connection:
        found = items.get(connection, "x")
        assert found is not None
        assert (found.title, items.count(connection), interactions.count(connection)) == ("Title", 1, 1)


def test_only_items_with_a_record_are_read_as_put(store: Store) -> None:
    store_rows(store, [row("u", "named")])
    put(store, NewItem("put"))
    with store.read() as connection:
        (found,) = items.put_records(connection)
        assert (found.item_id, items.put_keys(connection)) == ("put", [found.item_key])


def test_a_record_says_what_keeps_its_item_out_of_lists(store: Store) -> None:
    put(store, NewItem("plain"), NewItem("hidden", hidden=True), NewItem("gone"))
    put(store, NewItem("from", available_from_us=1), NewItem("until", available_until_us=1))
    delete(store, "gone")
    found = {item_id: one.restriction for item_id, one in records(store).items()}
    assert found == {
        "plain": None,
        "hidden": Restriction(off=True),
        "gone": Restriction(off=True, deleted=True),
        "from": Restriction(from_us=1),
        "until": Restriction(until_us=1),
    }


def test_nothing_put_is_no_change(store: Store) -> None:
    assert put(store) == 0
    with store.read() as connection:
        assert connection.execute(sa.select(tables.changes)).all() == []


def test_puts_that_meet_all_succeed(store: Store) -> None:
    barrier = threading.Barrier(4)
    done: list[int] = []

    def upload(number: int) -> None:
        names = [f"x{n}" for n in range(30)]
        barrier.wait(10)
        done.append(put(store, *(NewItem(name, str(number)) for name in (names if number % 2 else names[::-1]))))

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [30] * 4
    assert len(records(store)) == 30
    assert len({one.title for one in records(store).values()}) == 1
