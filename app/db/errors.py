"""What can be wrong with the store, in the service's words."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

UPGRADE_COMMAND = "likewise db upgrade"


class StoreUnavailable(Exception):
    """The store is away, locked or too slow; later it may do. A write that was under way may or may not stand."""


class StoreBusy(StoreUnavailable):
    """More rows wait to be written than the limit allows; nothing of this submission was stored."""


class StoreConflict(StoreUnavailable):
    """The database undid the transaction in favour of another one; the same again is likely to succeed."""


class StoreFull(StoreUnavailable):
    """No space is left where the store lies."""


class SchemaOutdated(Exception):
    """The store's tables are not there yet, or are older than this program."""


class SchemaNewer(SchemaOutdated):
    """The store was migrated by a newer program; this one must not touch it."""


# Primary result codes of SQLite (the low byte): PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT,
# CANTOPEN, PROTOCOL, NOTADB.
_SQLITE_AWAY = {3, 5, 6, 7, 8, 9, 10, 11, 14, 15, 26}
_SQLITE_FULL = 13
# The shared-memory file beside a WAL could not grow: on a full disk this comes before SQLITE_FULL does.
_SQLITE_IOERR_SHMSIZE = 4874
_SQLITE_NO_SCHEMA = ("no such table", "no such column", "has no column named")

_POSTGRES_FULL = "53100"
_POSTGRES_NO_SCHEMA = {"42P01", "42703", "3F000"}
_POSTGRES_CONFLICT = {"40001", "40P01"}
# A standby took the address over, or the server was set read-only: not an OperationalError in the driver.
_POSTGRES_READ_ONLY = "25006"


def translated(error: sa.exc.SQLAlchemyError) -> Exception:
    """The service's own error for `error`, or `error` itself where it says nothing of the store's state."""
    if isinstance(error, sa.exc.TimeoutError):
        return StoreUnavailable("every connection to the store was in use for too long")
    if isinstance(error, sa.exc.PendingRollbackError):
        return StoreUnavailable("the connection to the store was lost in the middle of a transaction")
    if not isinstance(error, sa.exc.DBAPIError) or error.orig is None:
        return error
    reason = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return _from_sqlite(error, sqlite_code, reason)
    return _from_postgres(error, getattr(error.orig, "sqlstate", None), reason)


def _from_sqlite(error: sa.exc.DBAPIError, code: int, reason: str) -> Exception:
    if code & 0xFF == _SQLITE_FULL or code == _SQLITE_IOERR_SHMSIZE:
        return StoreFull(f"no space is left for the store: {reason}")
    if code & 0xFF in _SQLITE_AWAY:
        return StoreUnavailable(f"the store cannot be used now: {reason}")
    if any(words in reason for words in _SQLITE_NO_SCHEMA):
        return _outdated(reason)
    return error


def _from_postgres(error: sa.exc.DBAPIError, state: str | None, reason: str) -> Exception:
    if state == _POSTGRES_FULL:
        return StoreFull(f"no space is left for the store: {reason}")
    if state in _POSTGRES_CONFLICT:
        return StoreConflict(f"another transaction went first: {reason}")
    if state in _POSTGRES_NO_SCHEMA:
        return _outdated(reason)
    away: tuple[type[Any], ...] = (sa.exc.OperationalError, sa.exc.InterfaceError)
    if isinstance(error, away) or error.connection_invalidated or state == _POSTGRES_READ_ONLY:
        return StoreUnavailable(f"the store cannot be used now: {reason}")
    return error


def _outdated(reason: str) -> SchemaOutdated:
    return SchemaOutdated(f"the store's schema is not the one this program needs ({reason}); run: {UPGRADE_COMMAND}")
