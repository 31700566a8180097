"""Checked rows out of their spool into the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

import sqlalchemy as sa

from app.db import interactions, items
from app.db.bulk import BulkAppend, much_memory
from app.db.errors import StoreConflict
from app.db.new_interactions import NewInteractions
from app.importing.items import SpooledItem
from app.importing.load import Storing

# Rows that are written together. Others who write to SQLite wait for a transaction, and then have to notice its end.
SQLITE_ROWS = 100_000
SQLITE_ROWS_STAGED = 25_000
SQLITE_PAUSE_SECONDS = 0.15
POSTGRES_ROWS = 50_000
ITEMS_OF_A_TRANSACTION = 5_000
_ATTEMPTS = 5

BatchT = TypeVar("BatchT", bound=Sized)
Put = Callable[[sa.Connection, BatchT], int]


def store_items(storing: Storing[list[SpooledItem]]) -> None:
    """Put the records, the last one of an id winning."""

    def put(connection: sa.Connection, batch: list[SpooledItem]) -> int:
        items.upsert(connection, [one.record() for one in batch], now_us=storing.received_us)
        return len(batch)

    batches = ([item for part in lot for item in part] for lot in _lots(storing.spool, ITEMS_OF_A_TRANSACTION))
    if not storing.whole:
        _put_each(storing, batches, put)
        return
    with storing.store.write() as connection:
        accepted = _put_all(storing, connection, batches, put)
    storing.count(rows=storing.spool.rows, accepted=accepted)


def store_interactions(storing: Storing[NewInteractions]) -> None:
    """Append the rows; a known `event_id` is a duplicate and changes nothing.

    A first load of an embedded store is one transaction, whatever was asked for. Each transaction writes anew the pages
    of the indexes that it changes, and a lot of rows changes nearly all of them.
    """
    new = BulkAppend(storing.store, received_us=storing.received_us)
    sqlite = storing.store.dialect == "sqlite"
    with storing.store.read() as connection:
        first = sqlite and storing.spool.rows >= interactions.last_id(connection)
    whole = storing.whole or first
    rows = POSTGRES_ROWS if not sqlite else SQLITE_ROWS_STAGED if whole else SQLITE_ROWS
    batches = map(NewInteractions.joined, _lots(storing.spool, rows))
    if not whole:

        def put(connection: sa.Connection, batch: NewInteractions) -> int:
            return new.append(connection, batch) + new.finish(connection)

        _put_each(storing, batches, put, again=new.forget, pause=SQLITE_PAUSE_SECONDS if sqlite else 0.0)
        return
    with storing.store.write(own_keys=True) as connection, much_memory(connection):
        try:
            accepted = _put_all(storing, connection, batches, new.append) + new.finish(connection)
        except sa.exc.IntegrityError as error:
            raise StoreConflict("a user of this upload was erased while it was stored") from error
    storing.count(rows=storing.spool.rows, accepted=accepted)


def _lots(parts: Iterable[BatchT], rows: int) -> Iterator[list[BatchT]]:
    """Parts together, as many as make about so many rows."""
    lot: list[BatchT] = []
    size = 0
    for part in parts:
        lot.append(part)
        size += len(part)
        if size >= rows:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def _put_all(storing: Storing[BatchT], connection: sa.Connection, batches: Iterable[BatchT], put: Put[BatchT]) -> int:
    """In the caller's transaction; how many rows were new."""
    accepted = done = 0
    for batch in batches:
        storing.check()
        accepted += put(connection, batch)
        done += len(batch)
        storing.done(done)
    return accepted


def _put_each(
    storing: Storing[BatchT],
    batches: Iterable[BatchT],
    put: Put[BatchT],
    *,
    again: Callable[[], None] = lambda: None,
    pause: float = 0.0,
) -> None:
    """Each batch in a transaction of its own, tried again where another one came across it."""
    done = 0
    for batch in batches:
        storing.check()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with storing.store.write() as connection:
                    accepted = put(connection, batch)
                break
            except (StoreConflict, sa.exc.IntegrityError):
                if attempt == _ATTEMPTS:
                    raise
                again()
                time.sleep(0.01 * attempt)
        storing.count(rows=len(batch), accepted=accepted)
        done += len(batch)
        storing.done(done)
        time.sleep(pause)
