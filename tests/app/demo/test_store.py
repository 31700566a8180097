from __future__ import annotations

import pytest

from app.db import interactions, items
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.demo.dataset import DemoDataset, DemoItem, DemoRating, Landmark
from app.demo.store import holding, import_dataset

NOW_US = 1_700_000_000_000_000


def dataset(rows: int = 30) -> DemoDataset:
    return DemoDataset(
        name="tiny",
        label="a tiny set",
        ratings=[DemoRating(f"u{n % 7}", f"i{n}", 4.0, 1_600_000_000 + n) for n in range(rows)],
        items=[DemoItem(f"i{n}", f"Title {n}", ("Drama",)) for n in range(rows)],
        shown_user_id="u0",
    )


def put(store: Store, demo: DemoDataset) -> None:
    import_dataset(store, demo, clock=lambda: NOW_US, on_progress=lambda _: None)


def held(store: Store, landmark: Landmark) -> str:
    with store.read() as connection:
        return holding(connection, landmark)


def add(store: Store, user_id: str, item_id: str) -> None:
    with store.write() as connection:
        interactions.append(connection, [NewInteraction(user_id, item_id, "click", 1.0, NOW_US)], received_us=NOW_US)


def test_an_empty_store_holds_nothing(store: Store) -> None:
    assert held(store, dataset().landmark) == "nothing"


def test_what_was_imported_is_recognised_also_with_later_rows(store: Store) -> None:
    put(store, dataset())
    assert held(store, dataset().landmark) == "all"
    add(store, "u0", "i0")
    assert held(store, dataset().landmark) == "all"


def test_other_data_is_other_even_for_the_same_user_and_item(store: Store) -> None:
    add(store, "u0", "i0")
    assert held(store, dataset().landmark) == "other"


def test_an_interrupted_import_goes_on_where_it_stopped(store: Store) -> None:
    put(store, dataset(rows=12))
    whole = dataset()
    assert held(store, whole.landmark) == "part"
    put(store, whole)
    assert held(store, whole.landmark) == "all"
    with store.read() as connection:
        assert interactions.count(connection) == 30


def test_ratings_keep_their_time_and_value_and_items_their_titles(sqlite_store: Store) -> None:
    put(sqlite_store, dataset())
    with sqlite_store.read() as connection:
        newest = interactions.page(connection, limit=1)[0]
        titles = {record.item_id: (record.title, record.categories) for record in items.records(connection)}
    assert (newest["item_id"], newest["value"], newest["event_type"]) == ("i29", 4.0, "rating")
    assert (newest["occurred_us"], newest["event_id"]) == (1_600_000_029_000_000, "tiny:30")
    assert titles["i29"] == ("Title 29", ("Drama",))


def test_progress_counts_the_ratings_that_are_stored(sqlite_store: Store) -> None:
    told: list[int] = []
    import_dataset(sqlite_store, dataset(), clock=lambda: NOW_US, on_progress=told.append)
    assert told == [30]


@pytest.mark.parametrize("rows", [1, 30])
def test_the_landmark_is_the_first_rating(rows: int) -> None:
    assert dataset(rows).landmark == Landmark("tiny:1", "u0", "i0", rows, "u0")
