"""API keys. The store holds only their SHA-256: who reads the database cannot call the service."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from app.db import changes, tables

SCOPES = ("read", "write", "admin")

_t = tables.api_keys.c


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that may be used, as requests are checked against it; the digest (hexadecimal) is of the whole key."""

    key_id: str
    scope: str
    secret_sha256: str


NO_KEY_LEFT = KeyRow("_", "open", "0" * 64)
"""Stands for the keys of a store whose keys are all revoked, so that it does not look like one that never had any.

It matches nothing: no id that a caller sends holds a `_`, nothing is known whose digest is all zeros, and `open` opens
nothing that needs a key.
"""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it is listed to people: nothing in it opens anything."""

    key_id: str
    name: str
    scope: str
    created_us: int
    revoked_us: int | None


def create(connection: sa.Connection, name: str, scope: str, now_us: int) -> tuple[str, str]:
    """Make a key: its public id and the key itself, `lw_<id>_<secret>`, which nothing can show again.

    Raises: ValueError for a scope that is none of `SCOPES`.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} is none of {', '.join(SCOPES)}")
    key_id = secrets.token_hex(6)
    key = f"lw_{key_id}_{secrets.token_hex(32)}"
    connection.execute(
        sa.insert(tables.api_keys).values(
            key_id=key_id, name=name, scope=scope, secret_sha256=digest(key), created_us=now_us
        )
    )
    changes.record(connection, "keys", at_us=now_us)
    return key_id, key


def digest(key: str) -> str:
    """SHA-256 of a whole key, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def active(connection: sa.Connection) -> list[KeyRow]:
    """The keys that may be used; `[NO_KEY_LEFT]` where all are revoked, and empty only where none was ever made."""
    query = sa.select(_t.key_id, _t.scope, _t.secret_sha256).where(_t.revoked_us.is_(None)).order_by(_t.key_id)
    usable = [KeyRow(*row) for row in connection.execute(query)]
    if usable or connection.scalar(sa.select(_t.key_id).limit(1)) is None:
        return usable
    return [NO_KEY_LEFT]


def list_all(connection: sa.Connection) -> list[KeyInfo]:
    """Every key ever made, the oldest first."""
    query = sa.select(_t.key_id, _t.name, _t.scope, _t.created_us, _t.revoked_us).order_by(_t.created_us, _t.key_id)
    return [KeyInfo(*row) for row in connection.execute(query)]


def revoke(connection: sa.Connection, key_id: str, now_us: int) -> bool:
    """End a key; False if there is none of this id that may still be used. Every replica learns of it from the feed."""
    ended = sa.update(tables.api_keys).where(_t.key_id == key_id, _t.revoked_us.is_(None)).values(revoked_us=now_us)
    if connection.execute(ended).rowcount == 0:
        return False
    changes.record(connection, "keys", at_us=now_us)
    return True
