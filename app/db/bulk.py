"""Many interactions at once: columns into the log, with whatever each database does fastest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from operator import lt
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.db import tables
from app.db.engine import Store
from app.db.many_keys import ManyKeys
from app.db.new_interactions import NewInteractions
from app.db.statements import copy_now, is_postgres

# What SQLite keeps of the file in memory while much is written.
_CACHE_KIB = 32 * 1024
_USUAL_CACHE_KIB = 2_000
_STAGED_ROWS = 250_000
_ROWS_AT_ONCE = 10_000
_WORTH_SORTING = 20_000
_ROWS_OF_A_STATEMENT = 100
# Where so many event ids are beyond the one before, they were made in the order of time.
_IN_ORDER = 0.9

_NEEDED = ("user_key", "item_key", "event_type", "value", "occurred_us", "received_us")
_OPTIONAL = {"event_id": "event_ids", "recommendation_id": "recommendation_ids", "context": "contexts"}
_OR_NULL = "NULLIF(?, '')"
_KNOWN_EVENTS_STAY = " ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING"


class BulkAppend:
    """Appends columns to the log, in transactions of the caller's.

    On PostgreSQL users and items get their keys in short transactions of their own: who names the same new one
    meanwhile would otherwise wait for the whole of a long one. They stay known where the rest fails.

    Args:
        received_us: when the rows came.
    """

    def __init__(self, store: Store, *, received_us: int) -> None:
        self._store = store
        self._received_us = received_us
        self._users, self._items = ManyKeys(tables.users), ManyKeys(tables.items)
        self._staged = _Staged()
        self._copy: str | None = None

    def forget(self) -> None:
        """Look keys up anew, since some that are kept may be gone, and do not store what `finish` was to."""
        self._users.forget()
        self._items.forget()
        self._staged = _Staged()

    def append(self, connection: sa.Connection, new: NewInteractions) -> int:
        """Store the rows, at the latest when `finish` is called; how many were new among those stored by now.

        One whose `event_id` is known changes nothing.

        Raises: sa.exc.IntegrityError where a user was erased since the key was looked up; what the database raises.
        """
        new = new.without_repeats()
        if is_postgres(connection):
            from app.db.postgres_copy import copy_rows

            with self._store.write() as own:
                self._forget_others(own)
                user_keys, item_keys = self._keys(own, new)
            return copy_rows(connection, new, user_keys, item_keys, received_us=self._received_us)
        self._staged.add(new, *self._keys(connection, new))
        return self.finish(connection) if len(self._staged) >= _STAGED_ROWS else 0

    def finish(self, connection: sa.Connection) -> int:
        """Store what is not yet; how many of it were new."""
        staged, self._staged = self._staged, _Staged()
        return staged.insert(connection, received_us=self._received_us) if len(staged) else 0

    def _forget_others(self, connection: sa.Connection) -> None:
        """In a store that was restored since the last lot, keys that are kept may be others'."""
        copy = connection.scalar(sa.select(copy_now(connection)))
        if copy != self._copy:
            self.forget()
            self._copy = copy

    def _keys(self, connection: sa.Connection, new: NewInteractions) -> tuple[list[int], list[int]]:
        return (
            self._users.list_of(connection, new.user_ids, created_us=self._received_us),
            self._items.list_of(connection, new.item_ids, created_us=self._received_us),
        )


class _Staged:
    """Rows on their way into SQLite, some forty bytes each.

    Many are inserted in the order of their event ids, or of their users where there are none or they come in order.
    That is of the indexes the largest one whose entries lie all over the file, and each of its pages then changes once
    for many rows.
    """

    def __init__(self) -> None:
        self._numbers: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._types: list[str] = []
        self._texts: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._types)

    def add(self, new: NewInteractions, user_keys: list[int], item_keys: list[int]) -> None:
        """Take some more."""
        self._numbers.append(np.array([user_keys, item_keys, new.occurred_us], dtype=np.int64))
        self._values.append(np.array(new.values, dtype=np.float64))
        for name, field in _OPTIONAL.items():
            column = getattr(new, field)
            if column is not None:
                texts = self._texts.setdefault(name, [""] * len(self))
                texts += [one or "" for one in column]
            elif name in self._texts:
                self._texts[name] += [""] * len(new)
        self._types += new.event_types

    def _order(self, users_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """In which order the rows are inserted."""
        event_ids = self._texts.get("event_id")
        if len(users_N) < _WORTH_SORTING:
            return np.arange(len(users_N))
        if event_ids is None or sum(map(lt, event_ids, event_ids[1:])) > _IN_ORDER * len(event_ids):
            return np.argsort(users_N, kind="stable")
        return np.array(sorted(range(len(event_ids)), key=event_ids.__getitem__))

    def insert(self, connection: sa.Connection, *, received_us: int) -> int:
        """All of them; how many were new."""
        users_N, items_N, times_N = np.concatenate(self._numbers, axis=1)
        values_N = np.concatenate(self._values)
        order = self._order(users_N)
        # A column of which no row has anything is left out, and no None is handed over: the driver takes five times as
        # long for one as for a text.
        names = [*_NEEDED, *self._texts]
        row = f"({', '.join(['?'] * len(_NEEDED) + [_OR_NULL] * len(self._texts))})"
        accepted = 0
        for start in range(0, len(order), _ROWS_AT_ONCE):
            chosen = order[start : start + _ROWS_AT_ONCE]
            rows = chosen.tolist()
            numbers = (column[chosen].tolist() for column in (users_N, items_N, values_N, times_N))
            users, items, values, times = numbers
            columns = [users, items, list(map(self._types.__getitem__, rows)), values, times, [received_us] * len(rows)]
            columns += [list(map(texts.__getitem__, rows)) for texts in self._texts.values()]
            accepted += _insert(connection, names, row, list(chain.from_iterable(zip(*columns, strict=True))))
        return accepted


def _insert(connection: sa.Connection, names: list[str], row: str, values: list[Any]) -> int:
    """Several rows a statement, as far as they go: each statement costs as much as the row in it.

    A row that is refused undoes the transaction, which its caller gives up then anyway: SQLite need not copy each page
    first that a statement changes, to undo that one alone.
    """
    width = _ROWS_OF_A_STATEMENT * len(names)
    whole = len(values) - len(values) % width
    accepted = 0
    for step, start, stop in ((width, 0, whole), (len(names), whole, len(values))):
        statement = (
            f"INSERT OR ROLLBACK INTO interactions ({', '.join(names)})"  # noqa: S608 - names of ours
            f" VALUES {', '.join([row] * (step // len(names)))}"
            f"{_KNOWN_EVENTS_STAY if 'event_id' in names else ''}"
        )
        if lots := [tuple(values[place : place + step]) for place in range(start, stop, step)]:
            accepted += connection.exec_driver_sql(statement, lots).rowcount
    return accepted


@contextmanager
def much_memory(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite keep more of its file in memory meanwhile; PostgreSQL has its own."""
    if is_postgres(connection):
        yield
        return
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_USUAL_CACHE_KIB}")
        connection.exec_driver_sql("PRAGMA shrink_memory")
