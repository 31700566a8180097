"""Taking a person out of the store, for good."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from app.db import changes, tables
from app.db.statements import uncovered
from app.db.watermark import Watermark

_users = tables.users.c


class Erased(NamedTuple):
    """Who was erased, and how many interactions with them."""

    user_key: int
    interactions: int


def erase(connection: sa.Connection, user_id: str, *, now_us: int) -> Erased | None:
    """Delete a user with all interactions; None for one that is not known. The key is never given to anybody again.

    Until the commit nothing is published, and nobody stores another interaction of the user: who waits to do so finds
    the key gone and takes a new one.
    """
    # In this order, as a publication: see `app.db.leases.publish`.
    connection.execute(sa.select(tables.active_model.c.fencing_token).with_for_update())
    user_key = connection.scalar(sa.select(_users.user_key).where(_users.user_id == user_id).with_for_update())
    if user_key is None:
        return None
    log = tables.interactions
    deleted = connection.execute(sa.delete(log).where(log.c.user_key == user_key)).rowcount
    connection.execute(sa.delete(tables.users).where(_users.user_key == user_key))
    changes.record(connection, "user_erased", [user_key], at_us=now_us)
    return Erased(int(user_key), deleted)


def erased_since(connection: sa.Connection, since: Watermark) -> frozenset[int]:
    """Keys of the users that were erased after a watermark."""
    t = tables.changes
    query = sa.select(t.c.key).where(t.c.kind == "user_erased", uncovered(t, since, last_id=since.last_change_id))
    return frozenset(connection.scalars(query))
