"""The store's engine: opens a database URL, hands out transactions, and says plainly when the database is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import sqlalchemy as sa

from app.db import tables
from app.db.errors import (
    UPGRADE_COMMAND,
    SchemaForeign,
    SchemaNewer,
    SchemaOutdated,
    StoreBusy,
    StoreConflict,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
    StoreUnusable,
    of_file,
    translated,
)
from app.db.sqlite import prepare_file, sqlite_engine, sqlite_module
from app.db.url import parsed

__all__ = [
    "SchemaForeign",
    "SchemaNewer",
    "SchemaOutdated",
    "Store",
    "StoreBusy",
    "StoreConflict",
    "StoreFull",
    "StoreLocked",
    "StoreUnavailable",
    "StoreUnusable",
    "open_store",
]


class Store:
    """One database. `read()` and `write()` are the only ways to it; both are safe to use from many threads.

    Both raise StoreUnavailable (or a kind of it) while the database is away, locked or full, and SchemaOutdated where
    tables are missing; other errors of the database pass as they are.
    """

    def __init__(self, engine: sa.Engine, *, driver: ModuleType | None = None) -> None:
        self.engine = engine
        self._driver = driver
        self._store_id: str | None = None
        self._lock = threading.Lock()

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database this is."""
        return "sqlite" if self.engine.dialect.name == "sqlite" else "postgresql"

    @property
    def url(self) -> str:
        """Where the database is, without user, password and options: fit for a log."""
        url = self.engine.url
        if self.dialect == "sqlite":
            return f"sqlite:///{url.database}"
        return f"postgresql://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @contextmanager
    def read(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        """A transaction that is rolled back at the end.

        `repeatable`: all statements see one state of the store (PostgreSQL REPEATABLE READ; SQLite always does).
        """
        options = {"postgres_begin": "BEGIN ISOLATION LEVEL REPEATABLE READ"} if repeatable else {}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def write(self, *, own_keys: bool = False, lock_seconds: float | None = None) -> Iterator[sa.Connection]:
        """A transaction that is committed, durably, when the block ends well, and rolled back when it raises.

        `own_keys`: all keys that are written were read or made in this transaction. SQLite, which lets nobody else
        write meanwhile, need not check each of them. `lock_seconds`: how long to wait for what others have written on
        PostgreSQL, if less than for the store; then StoreLocked.
        """
        options: dict[str, Any] = {"sqlite_begin": "BEGIN IMMEDIATE", "sqlite_unchecked": own_keys}
        if lock_seconds is not None:
            options["postgres_begin"] = f"BEGIN; SET LOCAL lock_timeout = {round(lock_seconds * 1000)}"
        with self._transaction(options) as connection:
            yield connection
            connection.commit()

    def store_id(self) -> str:
        """The uuid that the first migration gave this store; read once. Raises: SchemaOutdated, StoreUnavailable."""
        if self._store_id is None:
            with self.read() as connection:
                found = connection.scalar(sa.select(tables.store.c.id))
            if found is None:
                raise SchemaOutdated(f"the store has no identity; run: {UPGRADE_COMMAND}")
            self._store_id = str(found)
        return self._store_id

    def forget_identity(self) -> None:
        """Read `store_id` again when it is next asked for: the database may have been put back to another store."""
        self._store_id = None

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def write_unhurried(self) -> Iterator[sa.Connection]:
        """`write()` for a migration and the like: no deadline on PostgreSQL, a minute for SQLite's lock."""
        store = Store(self._patient_engine())
        try:
            with store.write() as connection:
                yield connection
        finally:
            store.dispose()

    def _patient_engine(self) -> sa.Engine:
        if self._driver is None:
            return _postgres_engine(self.engine.url, deadline_seconds=None)
        return sqlite_engine(Path(self.engine.url.database or ""), deadline_seconds=60.0, driver=self._driver)

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        try:
            connection = self._begin(options)
            try:
                yield connection
            finally:
                connection.close()
        except sa.exc.SQLAlchemyError as error:
            if (known := translated(error, place=self.url)) is error:
                raise
            raise known from error

    def _begin(self, options: dict[str, Any]) -> sa.Connection:
        if self.dialect == "sqlite":
            connection = self.engine.connect().execution_options(**options)
            return self._started(connection)
        try:
            return self._started(self.engine.connect().execution_options(**options))
        except sa.exc.DBAPIError as error:
            # A pooled connection may date from before a restart of the server; the pool has now let go of all of
            # those. One that ran into its deadline is no such case: a second wait would double it.
            if not error.connection_invalidated or getattr(error.orig, "ran_out_of_time", False):
                raise
        return self._started(self.engine.connect().execution_options(**options))

    def _started(self, connection: sa.Connection) -> sa.Connection:
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection


def open_store(database_url: str, *, deadline_seconds: float = 10.0, sqlite_driver: ModuleType | None = None) -> Store:
    """A store for `sqlite:///path` (folder and file are created) or `postgresql://user:password@host/name`.

    Connects at first use. `deadline_seconds`: how long a lock, a connection or a statement may take. `sqlite_driver`:
    another DB-API module than the best one installed.

    Raises: ValueError for a URL that names neither (the message repeats no password); StoreUnusable where the file
    cannot be made or opened, StoreFull or StoreUnavailable where it may be later.
    """
    url = parsed(database_url)
    if url.drivername == "sqlite":
        path = Path(url.database or "").absolute()
        try:
            prepare_file(path)
        except OSError as error:
            raise of_file(error, path) from error
        driver = sqlite_driver or sqlite_module()
        return Store(sqlite_engine(path, deadline_seconds=deadline_seconds, driver=driver), driver=driver)
    return Store(_postgres_engine(url, deadline_seconds=deadline_seconds))


def _postgres_engine(url: sa.URL, *, deadline_seconds: float | None) -> sa.Engine:
    # Imported here: the driver takes 9 MiB, which a process with an embedded store need not spend.
    from app.db.postgres import postgres_engine

    return postgres_engine(url, deadline_seconds=deadline_seconds)
