from __future__ import annotations

import hashlib
import re

import pytest
import sqlalchemy as sa

from app.db import keys, tables
from app.db.engine import Store


def test_a_key_is_shown_once_and_only_its_digest_is_stored(store: Store) -> None:
    with store.write() as connection:
        key_id, key = keys.create(connection, "dashboard", "read", 5)
    assert re.fullmatch(rf"lw_{key_id}_[0-9a-f]{{64}}", key)
    with store.read() as connection:
        (active,) = keys.active(connection)
        stored = str(connection.execute(sa.select(tables.api_keys)).one())
    assert (active.key_id, active.scope) == (key_id, "read")
    assert active.secret_sha256 == hashlib.sha256(key.encode()).hexdigest() == keys.digest(key)
    assert key.rsplit("_", 1)[1] not in stored


def test_a_revoked_key_is_listed_but_no_longer_active(store: Store) -> None:
    with store.write() as connection:
        first, _ = keys.create(connection, "first", "read", 1)
        second, _ = keys.create(connection, "second", "admin", 2)
        assert keys.revoke(connection, first, 9) is True
        assert keys.revoke(connection, first, 10) is False
        assert keys.revoke(connection, "unknown", 10) is False
    with store.read() as connection:
        assert [one.key_id for one in keys.active(connection)] == [second]
        assert [(one.name, one.revoked_us) for one in keys.list_all(connection)] == [("first", 9), ("second", None)]


def test_a_store_whose_keys_are_all_revoked_does_not_look_like_one_without_keys(store: Store) -> None:
    with store.write() as connection:
        assert keys.active(connection) == []
        key_id, _ = keys.create(connection, "only", "admin", 1)
        keys.revoke(connection, key_id, 2)
        assert keys.active(connection) == [keys.NO_KEY_LEFT]
        another, _ = keys.create(connection, "another", "read", 3)
        assert [one.key_id for one in keys.active(connection)] == [another]


def test_two_keys_have_nothing_in_common(store: Store) -> None:
    with store.write() as connection:
        made = [keys.create(connection, "same", "write", 1) for _ in range(20)]
    assert len({key_id for key_id, _ in made}) == len({key for _, key in made}) == 20


def test_an_unknown_scope_is_refused(store: Store) -> None:
    with store.write() as connection, pytest.raises(ValueError, match="read, write, admin"):
        keys.create(connection, "x", "root", 1)
