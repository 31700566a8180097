from __future__ import annotations

from app.db import users
from app.db.engine import Store
from app.db.interactions import delete_by_event_id
from tests.app.db.rows import row, store_rows


def test_a_profile_counts_interactions_and_different_items(store: Store) -> None:
    stored = store_rows(
        store, [row("a", "x", at=5), row("b", "x", at=1), row("a", "x", at=9), row("a", "y", at=7)]
    ).rows
    with store.read() as connection:
        assert users.profile(connection, "a") == {
            **{"user_key": stored[0].user_key, "interactions": 3, "items": 2, "first_us": 5, "last_us": 9},
        }


def test_a_user_never_named_has_no_profile(store: Store) -> None:
    with store.read() as connection:
        assert users.profile(connection, "a") is None


def test_a_user_with_nothing_left_has_an_empty_profile(store: Store) -> None:
    store_rows(store, [row("a", event_id="e")])
    with store.write() as connection:
        delete_by_event_id(connection, "e")
        found = users.profile(connection, "a")
    assert found is not None
    assert (found["interactions"], found["items"], found["first_us"], found["last_us"]) == (0, 0, None, None)


def test_ids_are_found_by_key_however_many(store: Store) -> None:
    appended = store_rows(store, [row(f"u{n}") for n in range(10_050)])
    with store.read() as connection:
        assert users.ids_of(connection, [*appended.user_ids, 999_999]) == appended.user_ids
        assert users.ids_of(connection, []) == {}
        assert users.count(connection) == 10_050
