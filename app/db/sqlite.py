"""Connections to an embedded store: one file, one writer at a time, every commit on the disk before it is said."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

# Before this version a WAL can be damaged when several connections checkpoint it at once.
_SAFE_WAL_VERSION = (3, 51, 3)


def sqlite_module() -> ModuleType:
    """The driver to use: `pysqlite3` where it is installed and new enough, else the standard library's."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3.dbapi2
    return dbapi2 if dbapi2.sqlite_version_info >= _SAFE_WAL_VERSION else sqlite3.dbapi2


def prepare_file(path: Path) -> None:
    """Create the folder and an empty file that only the owner may read; a file that exists keeps its permissions.

    Raises: OSError where the file cannot be read and written, or no journal can be made beside it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # O_NONBLOCK: a pipe of that name must not hold the process up.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
    finally:
        os.close(handle)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "its folder cannot be written")


def sqlite_engine(path: Path, *, deadline_seconds: float, driver: ModuleType) -> sa.Engine:
    """An engine whose transactions begin as the execution option `sqlite_begin` says (default: plain BEGIN).

    With `sqlite_unchecked` foreign keys are not checked in that transaction.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        module=driver,
        connect_args={"timeout": deadline_seconds},
        hide_parameters=True,
        pool_size=8,
        max_overflow=8,
        pool_timeout=deadline_seconds,
    )
    wal = driver.sqlite_version_info >= _SAFE_WAL_VERSION

    @sa.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: the event below does, in the mode that was asked for.
        connection.isolation_level = None
        _set_journal(connection, "wal" if wal else "delete", driver, give_up_at=time.monotonic() + deadline_seconds)
        # EXTRA also syncs the folder after the journal is removed: without it a commit can come undone by a power loss.
        connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # What was erased is overwritten in the file, whatever the driver was built with.
        connection.execute("PRAGMA secure_delete = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        # It can only be said before a transaction begins.
        unchecked = options.get("sqlite_unchecked", False)
        if unchecked != connection.info.get("unchecked", False):
            connection.exec_driver_sql(f"PRAGMA foreign_keys = {'OFF' if unchecked else 'ON'}")
            connection.info["unchecked"] = unchecked
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN"))

    return engine


def _set_journal(connection: sqlite3.Connection, mode: str, driver: ModuleType, *, give_up_at: float) -> None:
    while True:
        try:
            (found,) = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        except driver.OperationalError as error:
            # Changing the mode does not wait as other statements do: SQLite calls no busy handler for it.
            if time.monotonic() >= give_up_at or "locked" not in str(error):
                raise
        else:
            if found == mode:
                return
            if time.monotonic() >= give_up_at:
                raise driver.OperationalError(f"database is locked: its journal mode stays {found}, needed is {mode}")
        time.sleep(0.02)
