"""The log of what happened beside new interactions, for the feed to bring to every replica."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa

from app.db import tables

Kind = Literal["item", "interactions_deleted", "interactions_expired", "user_erased", "keys", "pointer"]


def record(connection: sa.Connection, kind: Kind, keys: Iterable[int] = (0,), *, at_us: int | None = None) -> None:
    """Note a change of each of `keys`, as part of the transaction that makes it. `at_us` None: now."""
    at = time.time_ns() // 1000 if at_us is None else at_us
    rows = [{"kind": kind, "key": key, "at_us": at} for key in keys]
    if rows:
        connection.execute(sa.insert(tables.changes), rows)
