from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.db import tables, users
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


@pytest.mark.postgres
def test_whoever_is_erased_meanwhile_is_merged_into_anew(postgres_store: Store) -> None:
    store_rows(postgres_store, [row("visitor"), row("ada")])
    t = tables.users.c

    def merge() -> int:
        with postgres_store.write() as connection:
            return users.merge(connection, "visitor", into="ada", now_us=1)

    with ThreadPoolExecutor(1) as pool:
        with postgres_store.write() as connection:
            # As an erasure does, slowly.
            query = sa.select(t.user_key).where(t.user_id == "ada").with_for_update()
            before = connection.scalars(query).one()
            log = tables.interactions
            connection.execute(sa.delete(log).where(log.c.user_key == before))
            merged = pool.submit(merge)
            with pytest.raises(TimeoutError):
                merged.result(0.5)
            connection.execute(sa.delete(tables.users).where(t.user_key == before))
        assert merged.result(10) == 1
    with postgres_store.read() as connection:
        found = users.profile(connection, "ada")
    assert found is not None
    assert (found["interactions"], found["user_key"] == before) == (1, False)
