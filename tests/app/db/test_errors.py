from __future__ import annotations

import errno
import re
import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app.db.errors import (
    SchemaOutdated,
    StoreConflict,
    StoreFull,
    StoreUnavailable,
    StoreUnusable,
    of_file,
    translated,
)


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
        (of_sqlite(sqlite3.SQLITE_CORRUPT, "database disk image is malformed"), StoreUnusable),
        (of_sqlite(sqlite3.SQLITE_NOTADB, "file is not a database"), StoreUnusable),
        (of_sqlite(sqlite3.SQLITE_READONLY_DIRECTORY, "attempt to write a readonly database"), StoreUnusable),
        (of_sqlite(sqlite3.SQLITE_FULL, "database or disk is full"), StoreFull),
        (of_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE, "disk I/O error"), StoreFull),
        (of_sqlite(sqlite3.SQLITE_ERROR, "no such table: users"), SchemaOutdated),
        (of_postgres(psycopg.errors.ConnectionFailure("gone")), StoreUnavailable),
        (of_postgres(psycopg.errors.QueryCanceled("statement timeout")), StoreUnavailable),
        (of_postgres(psycopg.errors.CannotConnectNow("the database system is starting up")), StoreUnavailable),
        (of_postgres(psycopg.errors.InvalidPassword("wrong")), StoreUnusable),
        (of_postgres(psycopg.errors.InvalidCatalogName("no such database")), StoreUnusable),
        (of_postgres(psycopg.errors.InsufficientPrivilege("no right"), sa.exc.ProgrammingError), StoreUnusable),
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


LOCAL = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
UNUSABLE = [
    'FATAL:  database "shop" does not exist',
    'FATAL:  role "ann" does not exist',
    'FATAL:  role "ann" is not permitted to log in',
    'FATAL:  password authentication failed for user "ann"',
    'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "ann", database "shop", no encryption',
    'FATAL:  permission denied for database "shop"',
    "fe_sendauth: no password supplied",
    "server does not support SSL, but SSL was required",
]


@pytest.mark.parametrize("words", UNUSABLE)
def test_a_connection_refused_for_good_is_told_apart_by_the_servers_words(words: str) -> None:
    # A connection that fails has no SQLSTATE.
    found = translated(of_postgres(psycopg.OperationalError(LOCAL + words)), place="postgresql://127.0.0.1/shop")
    assert type(found) is StoreUnusable
    assert re.fullmatch(r"postgresql://127\.0\.0\.1/shop cannot be used: [^\n]+; [^\n]+", str(found))
    assert LOCAL not in str(found)


@pytest.mark.parametrize(
    "said",
    [
        LOCAL + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        LOCAL + "FATAL:  the database system is starting up",
        LOCAL + "FATAL:  sorry, too many clients already",
        "failed to resolve host 'database': [Errno -2] Name or service not known",
        'connection is bad: connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
    ],
)
def test_a_server_that_is_not_up_yet_is_only_away(said: str) -> None:
    assert type(translated(of_postgres(psycopg.OperationalError(said)))) is StoreUnavailable


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, StoreUnusable),
        (errno.EROFS, StoreUnusable),
        (errno.EISDIR, StoreUnusable),
        (errno.ENOTDIR, StoreUnusable),
        (errno.ENOSPC, StoreFull),
        (errno.EMFILE, StoreUnavailable),
        (errno.ESTALE, StoreUnavailable),
    ],
)
def test_a_file_that_cannot_be_opened_may_be_so_for_good_or_for_now(number: int, expected: type[Exception]) -> None:
    assert type(of_file(OSError(number, "it cannot"), Path("likewise.db"))) is expected


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
