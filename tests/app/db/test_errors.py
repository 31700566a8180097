from __future__ import annotations

import sqlite3

import psycopg
import pytest
import sqlalchemy as sa

from app.db.errors import SchemaOutdated, StoreConflict, StoreFull, StoreUnavailable, translated


def of_sqlite(code: int, message: str) -> sa.exc.DBAPIError:
    cause = sqlite3.OperationalError(message)
    cause.sqlite_errorcode = code
    return sa.exc.OperationalError("SELECT 1", {}, cause)


def of_postgres(cause: psycopg.Error, kind: type[sa.exc.DBAPIError] = sa.exc.OperationalError) -> sa.exc.DBAPIError:
    return kind("SELECT 1", {}, cause)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (of_sqlite(sqlite3.SQLITE_BUSY, "database is locked"), StoreUnavailable),
        (of_sqlite(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"), StoreUnavailable),
        (of_sqlite(sqlite3.SQLITE_CORRUPT, "database disk image is malformed"), StoreUnavailable),
        (of_sqlite(sqlite3.SQLITE_FULL, "database or disk is full"), StoreFull),
        (of_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE, "disk I/O error"), StoreFull),
        (of_sqlite(sqlite3.SQLITE_ERROR, "no such table: users"), SchemaOutdated),
        (of_postgres(psycopg.errors.ConnectionFailure("gone")), StoreUnavailable),
        (of_postgres(psycopg.errors.QueryCanceled("statement timeout")), StoreUnavailable),
        (of_postgres(psycopg.errors.DiskFull("no space")), StoreFull),
        (of_postgres(psycopg.errors.DeadlockDetected("deadlock")), StoreConflict),
        (of_postgres(psycopg.errors.SerializationFailure("retry")), StoreConflict),
        (of_postgres(psycopg.errors.UndefinedTable("users"), sa.exc.ProgrammingError), SchemaOutdated),
        (of_postgres(psycopg.errors.ReadOnlySqlTransaction("standby"), sa.exc.InternalError), StoreUnavailable),
        (sa.exc.TimeoutError(), StoreUnavailable),
        (sa.exc.PendingRollbackError(), StoreUnavailable),
    ],
    ids=lambda value: str(getattr(value, "orig", None) or getattr(value, "__name__", value))[:40],
)
def test_the_state_of_the_store_has_words_of_its_own(error: sa.exc.SQLAlchemyError, expected: type[Exception]) -> None:
    assert type(translated(error)) is expected


@pytest.mark.parametrize(
    "error",
    [
        of_sqlite(sqlite3.SQLITE_ERROR, 'near "SELEKT": syntax error'),
        of_postgres(psycopg.errors.UniqueViolation("twice"), sa.exc.IntegrityError),
        of_postgres(psycopg.errors.SyntaxError("SELEKT"), sa.exc.ProgrammingError),
        sa.exc.ArgumentError("not a table"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_says_nothing_of_the_store_stays_as_it_is(error: sa.exc.SQLAlchemyError) -> None:
    assert translated(error) is error
