"""The history that a training writes: every event, everybody's name, and every item as the store has it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import interactions, items, tables
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.db.items import NewItem
from app.training.dataset import Events, read_events
from app.training.history import KEYS_AT_ONCE, build_histories
from model.histories import Histories
from model.item_table import FOREVER_US, Restriction
from tests.app.training.conftest import START_US

ROWS = [
    NewInteraction("ann", "tea", "click", 1.0, START_US + 5),
    NewInteraction("bob", "cup", "purchase", 2.5, START_US + 3),
    NewInteraction("ann", "cup", "dislike", 1.0, START_US + 4),
    NewInteraction("ann", "tea", "click", 0.5, START_US),
]


def filled(store: Store, *records: NewItem) -> Events:
    with store.write() as connection:
        interactions.append(connection, ROWS, received_us=START_US)
        items.upsert(connection, records, now_us=START_US)
    return read_events(store)


def item_key(histories: Histories, item_id: str) -> int:
    key = histories.items.key(item_id)
    assert key is not None
    return key


def rows_of(histories: Histories, user_id: str) -> list[tuple[str | None, str, int, float]]:
    key = histories.user_key(user_id)
    assert key is not None
    columns = (column.tolist() for column in histories.of_user(key))
    return [
        (histories.items.id(item), histories.event_types[code], time_us, value)
        for item, code, time_us, value in zip(*columns, strict=True)
    ]


def test_all_events_are_there_with_the_names_of_whom_and_what_they_are_about(store: Store) -> None:
    histories = build_histories(store, filled(store))

    assert rows_of(histories, "ann") == [
        ("tea", "click", START_US + 5, 1.0),
        ("cup", "dislike", START_US + 4, 1.0),
        ("tea", "click", START_US, 0.5),
    ]
    assert rows_of(histories, "bob") == [("cup", "purchase", START_US + 3, 2.5)]
    assert len(histories) == len(ROWS)


def test_items_are_there_as_they_were_put_also_those_that_nobody_chose(store: Store) -> None:
    put = [
        NewItem("tea", title="Green tea", categories=["drinks", "leaves"]),
        NewItem("pot", title="Pot", hidden=True),
        NewItem("spoon", available_from_us=START_US, available_until_us=START_US + 9),
        NewItem("jug", categories=["drinks"]),
        NewItem("old"),
    ]
    events = filled(store, *put)
    with store.write() as connection:
        assert items.delete(connection, "old", now_us=START_US)

    table = build_histories(store, events).items

    found = {item_id: table.key(item_id) for item_id in ("tea", "cup", "pot", "spoon", "jug", "old")}
    assert None not in found.values()
    keys = {item_id: key for item_id, key in found.items() if key is not None}
    assert {name: table.title(key) for name, key in keys.items() if table.title(key)} == {
        "tea": "Green tea",
        "pot": "Pot",
    }
    assert table.in_category("drinks").tolist() == sorted([keys["tea"], keys["jug"]])
    assert {name: table.restriction(key) for name, key in keys.items() if table.restriction(key)} == {
        "pot": Restriction(off=True),
        "spoon": Restriction(False, START_US, START_US + 9),
        "old": Restriction(off=True, deleted=True),
    }
    assert table.restriction(keys["pot"]) == Restriction(True, 0, FOREVER_US, False)


def test_events_of_a_user_who_has_gone_since_they_were_read_are_left_out(store: Store) -> None:
    events = filled(store)
    with store.write() as connection:
        connection.execute(sa.delete(tables.interactions))
        connection.execute(sa.delete(tables.users).where(tables.users.c.user_id == "ann"))

    histories = build_histories(store, events)

    assert histories.user_key("ann") is None
    assert rows_of(histories, "bob") == [("cup", "purchase", START_US + 3, 2.5)]
    assert len(histories) == 1


def test_events_of_an_item_that_has_gone_since_they_were_read_are_left_out(store: Store) -> None:
    events = filled(store)
    with store.write() as connection:
        connection.execute(sa.delete(tables.interactions))
        connection.execute(sa.delete(tables.items).where(tables.items.c.item_id == "tea"))

    histories = build_histories(store, events)

    assert histories.items.key("tea") is None
    assert rows_of(histories, "ann") == [("cup", "dislike", START_US + 4, 1.0)]


def test_an_empty_store_has_an_empty_history(sqlite_store: Store) -> None:
    histories = build_histories(sqlite_store, read_events(sqlite_store))
    assert (len(histories), len(histories.users), len(histories.items)) == (0, 0, 0)


def test_more_items_than_are_read_at_once_are_all_there(sqlite_store: Store) -> None:
    count = KEYS_AT_ONCE + 3
    with sqlite_store.write() as connection:
        items.upsert_titles(connection, {f"i{number}": str(number) for number in range(count)}, now_us=START_US)

    table = build_histories(sqlite_store, read_events(sqlite_store)).items

    assert len(table) == count
    assert {table.title(item_key) for item_key in table.keys.tolist()} == {str(number) for number in range(count)}


class Checks:
    """Counts how often it is asked, and gives up when it has been asked so often."""

    def __init__(self, *, stop_at: int = -1) -> None:
        self.asked = 0
        self._stop_at = stop_at

    def __call__(self) -> None:
        self.asked += 1
        if self.asked == self._stop_at:
            raise InterruptedError


def test_it_can_be_given_up_before_any_read(sqlite_store: Store) -> None:
    events = filled(sqlite_store, NewItem("pot"))
    checks = Checks()
    build_histories(sqlite_store, events, check=checks)
    assert checks.asked == 2
    for stop_at in (1, 2):
        with pytest.raises(InterruptedError):
            build_histories(sqlite_store, events, check=Checks(stop_at=stop_at))
