"""Stores for tests: `sqlite_store`, `postgres_store`, and `store` for a test that runs on both."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from app.db import migrate, tables
from app.db.engine import Store, open_store
from tests.postgres import PASSWORD, PostgresServer, binaries_or_skip


@dataclass(frozen=True)
class SharedServer:
    """The server that all workers of this test run share."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://likewise:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, template: str = "template0") -> None:
        """An empty database, or a copy of one that nobody is connected to."""
        names = (sql.Identifier(database), sql.Identifier(template))
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def drop(self, database: str) -> None:
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _run(self, statement: sql.Composed) -> None:
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    """A running PostgreSQL: the first worker that needs it starts it, the last one that is done stops it."""
    binaries = binaries_or_skip()
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "postgres.json"
    with _locked(shared) as state:
        if not state:
            server = PostgresServer(binaries)
            server.create()
            state.update(users=0, port=server.port, folder=str(server.folder))
        state["users"] += 1
        port = int(state["port"])
    yield SharedServer(port)
    with _locked(shared) as state:
        state["users"] -= 1
        if not state["users"]:
            PostgresServer(binaries, folder=Path(state["folder"])).remove()
            state.clear()


@contextmanager
def _locked(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON object in `path`, for one process at a time; what the block makes of it is written back."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.seek(0)
        file.truncate()
        file.write(json.dumps(state))
        file.flush()


class ReusedDatabase:
    """A migrated database that is emptied between tests: three times faster than a new one for each."""

    def __init__(self, server: SharedServer) -> None:
        self._server = server
        self._connection: psycopg.Connection[Any] | None = None
        self._name = ""

    def emptied(self) -> str:
        """Its URL, after everything that a test left was taken away; a new database where that is impossible."""
        try:
            self._empty()
        except (psycopg.Error, LookupError):
            self.close()
            self._create()
            self._empty()
        return self._server.url(self._name)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._server.drop(self._name)

    def _create(self) -> None:
        self._name = f"reused_{uuid.uuid4().hex}"
        self._server.create(self._name)
        store = open_store(self._server.url(self._name))
        migrate.upgrade(store)
        store.dispose()
        self._connection = psycopg.connect(self._server.url(self._name), autocommit=True)

    def _empty(self) -> None:
        if self._connection is None:
            raise LookupError("not made yet")
        run = self._connection.execute
        run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if run("SELECT version_num FROM alembic_version").fetchall() != [(migrate.head(),)]:
            raise LookupError("a test has changed the schema")
        names = sql.SQL(", ").join(map(sql.Identifier, tables.metadata.tables))
        run(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))
        run("INSERT INTO active_model (id) VALUES (1)")
        run("INSERT INTO store (id, created_us) VALUES (%s, 1)", [str(uuid.uuid4())])


@pytest.fixture(scope="session")
def postgres_database(postgres_server: SharedServer) -> Iterator[ReusedDatabase]:
    """The database of this worker that `postgres_store` is made from."""
    database = ReusedDatabase(postgres_server)
    yield database
    database.close()


@pytest.fixture
def postgres_url(postgres_server: SharedServer) -> Iterator[str]:
    """The URL of an empty database of its own, without tables."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create(name)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def postgres_store(postgres_database: ReusedDatabase) -> Iterator[Store]:
    """A migrated, empty store on PostgreSQL, with an identity of its own."""
    store = open_store(postgres_database.emptied(), deadline_seconds=5.0)
    yield store
    store.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that others are copied from."""
    path = tmp_path_factory.mktemp("template") / "likewise.db"
    store = open_store(f"sqlite:///{path}")
    migrate.upgrade(store)
    store.dispose()
    return path


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """A migrated, empty embedded store with an identity of its own. It does not wait for the disk."""
    path = tmp_path / "store" / "likewise.db"
    path.parent.mkdir()
    shutil.copy(sqlite_template, path)
    store = open_store(f"sqlite:///{path}", deadline_seconds=5.0)
    sa.event.listen(store.engine, "connect", _trust_the_disk)
    with store.write() as connection:
        # Copies of one template would else be the same store to whatever compares identities.
        connection.execute(sa.update(tables.store).values(id=str(uuid.uuid4())))
    yield store
    store.dispose()


def _trust_the_disk(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Store:
    """A migrated, empty store; the test runs once on each database."""
    found = request.getfixturevalue(f"{request.param}_store")
    assert isinstance(found, Store)
    return found
