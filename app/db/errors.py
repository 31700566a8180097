"""What can be wrong with the store, in the service's words."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

UPGRADE_COMMAND = "likewise db upgrade"


class StoreUnavailable(Exception):
    """The store is away, locked or too slow; later it may do. A write that was under way may or may not stand."""


class StoreUnusable(StoreUnavailable):
    """The store stays away until somebody changes it or the setting that names it: no database, a wrong password.

    A process that starts ends with this; one that runs goes on as with any store that is away, since what somebody
    broke while it ran somebody may mend.
    """


class StoreBusy(StoreUnavailable):
    """More rows wait to be written than the limit allows; nothing of this submission was stored."""


class StoreConflict(StoreUnavailable):
    """The database undid the transaction in favour of another one; the same again is likely to succeed."""


class StoreLocked(StoreUnavailable):
    """Another transaction holds what is written here, for longer than this one was to wait; nothing was stored."""


class StoreFull(StoreUnavailable):
    """No space is left where the store lies."""


class SchemaOutdated(Exception):
    """The store's tables are not there yet, or are older than this program."""


class SchemaNewer(SchemaOutdated):
    """The store was migrated by a newer program; this one must not touch it."""


class SchemaForeign(SchemaOutdated):
    """The database holds tables of another program; this one must not touch it."""


# Primary result codes of SQLite (the low byte): PERM, BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL.
_SQLITE_AWAY = {3, 5, 6, 7, 9, 10, 14, 15}
# READONLY, CORRUPT, NOTADB.
_SQLITE_UNUSABLE = {
    8: "cannot be written; make it and its folder writable",
    11: "is damaged; put a backup in its place",
    26: "is not a database; name another file in LIKEWISE_DATABASE_URL",
}
_SQLITE_FULL = 13
# The shared-memory file beside a WAL could not grow: on a full disk this comes before SQLITE_FULL does.
_SQLITE_IOERR_SHMSIZE = 4874
_SQLITE_NO_SCHEMA = ("no such table", "no such column", "has no column named")

_FILES_FULL = {errno.ENOSPC, errno.EDQUOT}
_FILES_AWAY = {errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT}
_FILES_AWAY |= {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_POSTGRES_NO_SCHEMA = {"42P01", "42703", "3F000"}
_POSTGRES_STATES: Mapping[str | None, tuple[type[StoreUnavailable], str]] = {
    "53100": (StoreFull, "no space is left for the store"),
    "40001": (StoreConflict, "another transaction went first"),
    "40P01": (StoreConflict, "another transaction went first"),
    "55P03": (StoreLocked, "another transaction has not ended"),
}
# A standby took the address over, or the server was set read-only: not an OperationalError in the driver.
_POSTGRES_READ_ONLY = "25006"

_CORRECT_LOGIN = "correct the user and the password in LIKEWISE_DATABASE_URL, or what the server's pg_hba.conf allows"
_CORRECT_NAME = "create the database, or name another one in LIKEWISE_DATABASE_URL"
_CORRECT_RIGHTS = "let its user own the database, or grant what is missing"
_CORRECT_OPTION = "correct the options in LIKEWISE_DATABASE_URL"
_POSTGRES_UNUSABLE = {"28": _CORRECT_LOGIN, "3D": _CORRECT_NAME, "42501": _CORRECT_RIGHTS}
# libpq hands no SQLSTATE out for a connection that fails, only the server's words. Servers that speak another language
# than English are waited for, as if they were starting; the last line then carries their reason.
_REFUSALS = (
    (re.compile(r'FATAL: +database "[^\n]*" does not exist'), _CORRECT_NAME),
    (re.compile(r"FATAL: [^\n]*(authentication failed|is not permitted to log in|pg_hba\.conf)"), _CORRECT_LOGIN),
    (re.compile(r'FATAL: +role "[^\n]*" does not exist|no password supplied'), _CORRECT_LOGIN),
    (re.compile(r"FATAL: +permission denied for database"), _CORRECT_RIGHTS),
    (re.compile(r"SSL was required|certificate verify failed|root certificate file"), _CORRECT_OPTION),
    (re.compile(r"invalid [a-z_]+ value:|invalid connection option|bad value for [a-z_]+:"), _CORRECT_OPTION),
)
_CONNECTING = re.compile(
    r"^connection (failed|is bad): (connection to server .*? failed: +)?(FATAL: +|fe_sendauth: +)?"
)


def translated(error: sa.exc.SQLAlchemyError, *, place: str = "the store") -> Exception:
    """The service's own error for `error`, or `error` itself where it says nothing of the store's state.

    Args:
        place: what to call the store where its own name helps; holds no password.
    """
    if isinstance(error, sa.exc.TimeoutError):
        return StoreUnavailable("every connection to the store was in use for too long")
    if isinstance(error, sa.exc.PendingRollbackError):
        return StoreUnavailable("the connection to the store was lost in the middle of a transaction")
    if not isinstance(error, sa.exc.DBAPIError) or error.orig is None:
        return error
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return _from_sqlite(error, sqlite_code, _first_line(error.orig), place)
    return _from_postgres(error, getattr(error.orig, "sqlstate", None), _first_line(error.orig), place)


def of_file(error: OSError, path: Path, *, what: Literal["store", "spool"] = "store") -> StoreUnavailable:
    """The service's own error for an embedded store's file, or a spool's folder, that cannot be made or written."""
    reason = error.strerror or type(error).__name__
    if what == "spool":
        kind = StoreFull if error.errno in _FILES_FULL else StoreUnavailable
        return kind(f"an upload cannot be kept in {path}: {reason}")
    if error.errno in _FILES_FULL:
        return StoreFull(f"no space is left for the store: {path}: {reason}")
    if error.errno in _FILES_AWAY:
        return StoreUnavailable(f"the store's file {path} cannot be opened now: {reason}")
    return StoreUnusable(
        f"the store's file {path} cannot be opened: {reason}; name a file in LIKEWISE_DATABASE_URL that can be made "
        "and written, in a folder that can be written"
    )


def _from_sqlite(error: sa.exc.DBAPIError, code: int, reason: str, place: str) -> Exception:
    primary = code & 0xFF
    if primary == _SQLITE_FULL or code == _SQLITE_IOERR_SHMSIZE:
        return StoreFull(f"no space is left for the store: {reason}")
    if primary in _SQLITE_UNUSABLE:
        return StoreUnusable(f"{place} {_SQLITE_UNUSABLE[primary]}")
    if primary in _SQLITE_AWAY:
        return StoreUnavailable(f"the store cannot be used now: {reason}")
    if any(words in reason for words in _SQLITE_NO_SCHEMA):
        return _outdated(reason)
    return error


def _from_postgres(error: sa.exc.DBAPIError, state: str | None, reason: str, place: str) -> Exception:
    if state in _POSTGRES_STATES:
        known, what = _POSTGRES_STATES[state]
        return known(f"{what}: {reason}")
    if state in _POSTGRES_NO_SCHEMA:
        return _outdated(reason)
    if advice := _advice(state, str(error.orig)):
        return StoreUnusable(f"{place} cannot be used: {_CONNECTING.sub('', reason)}; {advice}")
    away: tuple[type[Any], ...] = (sa.exc.OperationalError, sa.exc.InterfaceError)
    if isinstance(error, away) or error.connection_invalidated or state == _POSTGRES_READ_ONLY:
        return StoreUnavailable(f"the store cannot be used now: {reason}")
    return error


def _advice(state: str | None, said: str) -> str | None:
    """What to do about a refusal that no waiting mends; None for anything else."""
    if state is not None:
        return _POSTGRES_UNUSABLE.get(state) or _POSTGRES_UNUSABLE.get(state[:2])
    return next((advice for words, advice in _REFUSALS if words.search(said)), None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _outdated(reason: str) -> SchemaOutdated:
    return SchemaOutdated(f"the store's schema is not the one this program needs ({reason}); run: {UPGRADE_COMMAND}")
