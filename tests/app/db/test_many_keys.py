from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from app.db import many_keys, tables
from app.db.engine import Store
from app.db.many_keys import ManyKeys


def asked(store: Store, keys: ManyKeys, ids: list[str]) -> list[int]:
    with store.write() as connection:
        return keys.list_of(connection, ids, created_us=1)


def stored(store: Store) -> dict[str, int]:
    with store.read() as connection:
        query = sa.select(tables.users.c.user_id, tables.users.c.user_key)
        return {row[0]: row[1] for row in connection.execute(query)}


@pytest.mark.parametrize("most_in_all", [1_000, 40])
def test_every_id_has_the_key_that_the_store_gave_it(sqlite_store: Store, most_in_all: int) -> None:
    keys = ManyKeys(tables.users, most_by_name=10, most_in_all=most_in_all)
    generator = random.Random(1)
    for _ in range(30):
        ids = [f"u{generator.randrange(200)}" for _ in range(25)]
        found = asked(sqlite_store, keys, ids)
        known = stored(sqlite_store)
        assert found == [known[one] for one in ids]


def test_keys_that_are_kept_are_not_asked_for(sqlite_store: Store) -> None:
    keys = ManyKeys(tables.users, most_by_name=10)
    ids = [f"u{n}" for n in range(35)]
    found = [key for start in range(0, 35, 7) for key in asked(sqlite_store, keys, ids[start : start + 7])]
    with sqlite_store.write() as connection:
        connection.execute(sa.delete(tables.users))
    assert asked(sqlite_store, keys, ids) == found
    keys.forget()
    assert min(asked(sqlite_store, keys, ids)) > max(found)


@pytest.mark.parametrize("blind", ["hash", "other hash"])
def test_ids_of_which_one_hash_is_the_same_are_told_apart(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, blind: str
) -> None:
    hashed = many_keys._hashed

    def alike(texts: Iterable[str]) -> NDArray[np.int64]:
        given = list(texts)
        other = given[:1] != [] and given[0].startswith("\x00")
        return np.zeros(len(given), dtype=np.int64) if other == (blind == "other hash") else hashed(given)

    monkeypatch.setattr(many_keys, "_hashed", alike)
    keys = ManyKeys(tables.users, most_by_name=3)
    ids = [f"u{n}" for n in range(40)]
    for start in (0, 5, 20, 0):
        found = asked(sqlite_store, keys, ids[start : start + 20])
        known = stored(sqlite_store)
        assert found == [known[one] for one in ids[start : start + 20]]
