"""Users: the ids behind keys, and what the store knows of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from app.db import changes, tables
from app.db.errors import StoreConflict
from app.db.statements import among, chunked, insert

_ATTEMPTS = 5


def profile(connection: sa.Connection, user_id: str) -> dict[str, Any] | None:
    """`user_key`, `interactions`, `items` (different ones), `first_us`, `last_us`; None for a user never named.

    A user whose interactions were all taken back has zero of them and no times.
    """
    log, users = tables.interactions.c, tables.users.c
    user_key = connection.scalar(sa.select(users.user_key).where(users.user_id == user_id))
    if user_key is None:
        return None
    query = sa.select(
        sa.func.count().label("interactions"),
        sa.func.count(log.item_key.distinct()).label("items"),
        sa.func.min(log.occurred_us).label("first_us"),
        sa.func.max(log.occurred_us).label("last_us"),
    ).where(log.user_key == user_key)
    return {"user_key": user_key, **connection.execute(query).mappings().one()}


def ids_of(connection: sa.Connection, keys: Iterable[int]) -> dict[int, str]:
    """key -> id of the users that exist."""
    users = tables.users.c
    found: dict[int, str] = {}
    for chunk in chunked(keys):
        query = sa.select(users.user_key, users.user_id).where(among(connection, users.user_key, chunk))
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found


def count(connection: sa.Connection) -> int:
    """How many users were ever named and not erased."""
    return connection.scalar(sa.select(sa.func.count()).select_from(tables.users)) or 0


def merge(connection: sa.Connection, user_id: str, *, into: str, now_us: int) -> int:
    """Give one user's interactions to another, who need not be known yet; returns how many.

    The feed has every replica read both users anew.
    """
    users, log = tables.users.c, tables.interactions
    user_key = connection.scalar(sa.select(users.user_key).where(users.user_id == user_id))
    if user_key is None:
        return 0
    into_key = _key_that_stays(connection, into, now_us=now_us)
    moved = connection.execute(sa.update(log).where(log.c.user_key == user_key).values(user_key=into_key)).rowcount
    if moved:
        changes.record(connection, "interactions_deleted", [user_key, into_key], at_us=now_us)
    return moved


def _key_that_stays(connection: sa.Connection, user_id: str, *, now_us: int) -> int:
    """The key of a user, made if need be, whom nobody can erase before this transaction ends."""
    users = tables.users.c
    named = insert(connection, tables.users).values(user_id=user_id, created_us=now_us)
    held = sa.select(users.user_key).where(users.user_id == user_id).with_for_update(read=True, key_share=True)
    for _ in range(_ATTEMPTS):
        connection.execute(named.on_conflict_do_nothing(index_elements=[users.user_id]))
        # One who is being erased is waited for here, and gone then.
        found: int | None = connection.scalar(held)
        if found is not None:
            return found
    raise StoreConflict("the user was erased again and again")
