from __future__ import annotations

import os
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from app.db import migrate, tables
from app.db.engine import SchemaOutdated, Store, StoreFull, StoreUnavailable, open_store
from tests.app.db.rows import row, store_rows


@contextmanager
def opened(url: str, *, deadline_seconds: float = 1.0, driver: ModuleType | None = None) -> Iterator[Store]:
    store = open_store(url, deadline_seconds=deadline_seconds, sqlite_driver=driver)
    try:
        yield store
    finally:
        store.dispose()


def pragma(store: Store, name: str) -> object:
    with store.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def old_driver() -> ModuleType:
    """The standard library's driver, saying that it is of a version whose WAL is not safe."""
    driver = ModuleType("old_sqlite3")
    driver.__dict__.update(vars(sqlite3.dbapi2))
    driver.__dict__["sqlite_version_info"] = (3, 40, 1)
    return driver


def new_driver() -> ModuleType:
    driver = old_driver()
    driver.__dict__["sqlite_version_info"] = (3, 51, 3)
    return driver


# -- an embedded store ------------------------------------------------------------------------------------------------


def test_only_the_owner_may_read_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "new" / "likewise.db"
    with opened(f"sqlite:///{path}") as store:
        migrate.upgrade(store)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_safe_sqlite_gets_a_wal_that_is_synced_at_every_commit(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/s.db", driver=new_driver()) as store:
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)


def test_an_older_sqlite_gets_a_rollback_journal_and_works(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/s.db", driver=old_driver()) as store:
        migrate.upgrade(store)
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("delete", 3)
        assert store_rows(store, [row()]).accepted == 1


def test_an_older_sqlite_takes_a_wal_away_before_it_is_used(sqlite_store: Store) -> None:
    store_rows(sqlite_store, [row()])
    sqlite_store.dispose()
    with opened(sqlite_store.url, driver=old_driver()) as store:
        assert pragma(store, "journal_mode") == "delete"
        assert store_rows(store, [row()]).accepted == 1


def test_an_older_sqlite_refuses_a_wal_that_somebody_uses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with opened(url, driver=new_driver()) as newer, opened(url, deadline_seconds=0.2, driver=old_driver()) as older:
        migrate.upgrade(newer)
        with newer.read() as reader:
            reader.execute(sa.select(tables.store)).all()
            with pytest.raises(StoreUnavailable, match="locked"):
                older.store_id()


def test_rows_must_name_users_that_exist(store: Store) -> None:
    lonely = {"user_key": 7, "item_key": 7, "event_type": "x", "value": 1.0, "occurred_us": 1, "received_us": 1}
    with pytest.raises(sa.exc.IntegrityError), store.write() as connection:
        connection.execute(sa.insert(tables.interactions).values(lonely))


def test_a_locked_store_is_unavailable_after_the_deadline_and_works_again_after(sqlite_store: Store) -> None:
    with opened(sqlite_store.url, deadline_seconds=0.2) as store:
        with sqlite_store.write():
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="locked"), store.write():
                pass
            assert 0.15 < time.monotonic() - started < 2
        assert store_rows(store, [row()]).accepted == 1


def test_readers_do_not_wait_for_a_writer_and_see_what_was_committed(sqlite_store: Store) -> None:
    with sqlite_store.write() as writer, sqlite_store.read() as reader:
        writer.execute(sa.delete(tables.store))
        assert reader.scalar(sa.select(sa.func.count()).select_from(tables.store)) == 1


def fill(connection: sa.Connection) -> None:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    connection.execute(sa.insert(tables.users), [{"user_id": f"{n:0200}", "created_us": 1} for n in range(1000)])


def test_a_full_disk_is_told_apart(sqlite_store: Store) -> None:
    with pytest.raises(StoreFull, match="full"), sqlite_store.write() as connection:
        fill(connection)
    sqlite_store.dispose()
    assert store_rows(sqlite_store, [row()]).accepted == 1


# -- both -------------------------------------------------------------------------------------------------------------


def insert_and_raise(connection: sa.Connection) -> None:
    connection.execute(sa.insert(tables.users).values(user_id="u", created_us=1))
    raise KeyError("after the insert")


def test_a_write_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyError), store.write() as connection:
        insert_and_raise(connection)
    with store.read() as connection:
        assert connection.execute(sa.select(tables.users)).all() == []


def test_a_read_keeps_nothing(store: Store) -> None:
    with store.read() as connection:
        connection.execute(sa.insert(tables.users).values(user_id="u", created_us=1))
    with store.read() as connection:
        assert connection.execute(sa.select(tables.users)).all() == []


def test_a_repeatable_read_sees_one_state_throughout(store: Store) -> None:
    with store.read(repeatable=True) as reader:
        before = reader.execute(sa.select(tables.users)).all()
        store_rows(store, [row()])
        assert reader.execute(sa.select(tables.users)).all() == before == []


def test_missing_tables_name_the_command_that_makes_them(store: Store) -> None:
    with store.write() as connection:
        tables.api_keys.drop(connection)
    with pytest.raises(SchemaOutdated, match="likewise db upgrade"), store.read() as connection:
        connection.execute(sa.select(tables.api_keys))


def test_a_statement_that_is_wrong_passes_as_it_is(store: Store) -> None:
    with pytest.raises(sa.exc.DBAPIError), store.read() as connection:
        connection.exec_driver_sql("SELEKT 1")


def test_the_identity_is_a_uuid_that_stays(store: Store) -> None:
    found = store.store_id()
    assert len(found) == 36
    assert store.store_id() == found


@pytest.mark.parametrize("url", ["sqlite://", "mysql://me:sesame@host/db", "postgresql://me:sesame@h/d?nonsense=1"])
def test_a_url_that_no_database_has_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"in-memory|SQLite or PostgreSQL|nonsense") as caught:
        open_store(url)
    assert "sesame" not in str(caught.value)


def test_no_password_is_shown_anywhere() -> None:
    for url in ("postgresql://me:sesame@127.0.0.1:1/db", "postgresql://me@127.0.0.1:1/db?password=sesame"):
        with opened(url) as store:
            with pytest.raises(StoreUnavailable) as caught:
                store.store_id()
            shown = f"{store!r} {store.url} {store.engine!r} {caught.value!r} {caught.value.__cause__}"
            assert "127.0.0.1" in shown
            assert "sesame" not in shown


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def url_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def backend(store: Store) -> int:
    with store.read() as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@pytest.mark.postgres
def test_a_connection_that_the_server_dropped_is_replaced_unseen(postgres_store: Store) -> None:
    pid = backend(postgres_store)
    with opened(url_of(postgres_store)) as other, other.write() as killer:
        killer.execute(sa.select(sa.func.pg_terminate_backend(pid, 2_000)))
    assert backend(postgres_store) != pid


def insert_around_a_loss(connection: sa.Connection, store: Store) -> None:
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.execute(sa.insert(tables.users).values(user_id="u", created_us=1))
    with store.write() as killer:
        killer.execute(sa.select(sa.func.pg_terminate_backend(pid, 2_000)))
    connection.execute(sa.insert(tables.users).values(user_id="v", created_us=1))


@pytest.mark.postgres
def test_a_connection_lost_inside_a_transaction_makes_it_unavailable(postgres_store: Store) -> None:
    with pytest.raises(StoreUnavailable), postgres_store.write() as connection:
        insert_around_a_loss(connection, postgres_store)
    with postgres_store.read() as connection:
        assert connection.execute(sa.select(tables.users)).all() == []


@pytest.mark.postgres
def test_a_server_that_hangs_is_given_up_on_and_used_again_after(postgres_store: Store) -> None:
    with opened(url_of(postgres_store), deadline_seconds=0.5) as store:
        pid = backend(store)
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"no answer within 0\.5 seconds"):
                backend(store)
            assert time.monotonic() - started < 2
        finally:
            os.kill(pid, signal.SIGCONT)
        assert backend(store) != pid


@pytest.mark.postgres
def test_a_slow_statement_is_ended_by_the_server_and_costs_no_connection(postgres_store: Store) -> None:
    with opened(url_of(postgres_store), deadline_seconds=0.5) as store:
        pid = backend(store)
        with pytest.raises(StoreUnavailable, match="statement timeout"), store.read() as connection:
            connection.execute(sa.select(sa.func.pg_sleep(5)))
        assert backend(store) == pid


@pytest.mark.postgres
def test_an_exhausted_pool_is_unavailable_after_the_deadline(postgres_store: Store) -> None:
    with opened(url_of(postgres_store), deadline_seconds=0.3) as store:
        held = [store.engine.connect() for _ in range(10)]
        try:
            with pytest.raises(StoreUnavailable, match="every connection"), store.read():
                pass
        finally:
            for connection in held:
                connection.close()


@pytest.mark.postgres
def test_nobody_listening_is_known_at_once(postgres_url: str) -> None:
    address, name = postgres_url.rsplit("/", 1)
    url = f"{address.rsplit(':', 1)[0]}:1/{name}"
    started = time.monotonic()
    with opened(url, deadline_seconds=10) as store, pytest.raises(StoreUnavailable, match="refused"), store.write():
        pass
    assert time.monotonic() - started < 2


@pytest.mark.postgres
def test_connections_say_whose_they_are(postgres_store: Store) -> None:
    with closing(postgres_store.engine.connect()) as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar_one() == "likewise"
