from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.db import migrate, tables
from app.db.engine import SchemaForeign, SchemaNewer, SchemaOutdated, Store, StoreUnusable, open_store
from tests.app.db.rows import row, store_rows
from tests.postgres import PASSWORD


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    return f"sqlite:///{tmp_path}/empty.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def empty(empty_url: str) -> Iterator[Store]:
    store = open_store(empty_url)
    yield store
    store.dispose()


def test_the_migrations_make_exactly_the_tables_of_the_program(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        metadata = tables.metadata
        if store.dialect == "sqlite":
            # An index that is left out by `ddl_if` still counts as missing to the comparison.
            metadata = sa.MetaData()
            for table in tables.metadata.tables.values():
                copy = table.to_metadata(metadata)
                copy.indexes = {index for index in copy.indexes if not str(index.name).endswith("_xact")}
        assert compare_metadata(context, metadata) == []


def test_every_transaction_has_its_number_on_postgresql_and_zero_on_sqlite(store: Store) -> None:
    with store.write() as connection:
        connection.execute(sa.insert(tables.changes).values(kind="keys", key=0, at_us=1))
        found = connection.scalar(sa.select(tables.changes.c.xact))
        if store.dialect == "sqlite":
            assert found == 0
        else:
            assert found == int(connection.scalar(sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.Text))) or 0)


def test_an_empty_database_has_no_revision_and_an_upgraded_one_the_newest(empty: Store) -> None:
    assert migrate.current(empty) is None
    migrate.upgrade(empty)
    assert migrate.current(empty) == migrate.head()


def test_a_second_upgrade_changes_nothing(empty: Store) -> None:
    migrate.upgrade(empty)
    before = empty.store_id()
    store_rows(empty, [row()])
    migrate.upgrade(empty)
    with empty.read() as connection:
        assert connection.scalar(sa.select(tables.store.c.id)) == before
        assert len(connection.execute(sa.select(tables.interactions)).all()) == 1
        assert connection.execute(sa.select(tables.active_model.c.id, tables.active_model.c.version)).all() == [
            (1, None)
        ]


def test_replicas_may_upgrade_at_the_same_time(empty_url: str) -> None:
    barrier = Barrier(4)

    def start() -> str:
        store = open_store(empty_url)
        try:
            barrier.wait(10)
            migrate.upgrade(store)
            return store.store_id()
        finally:
            store.dispose()

    with ThreadPoolExecutor(4) as pool:
        identities = [future.result(30) for future in [pool.submit(start) for _ in range(4)]]
    assert len(set(identities)) == 1


def test_an_embedded_store_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/new.db")
    try:
        migrate.ensure_schema(store)
        assert migrate.current(store) == migrate.head()
    finally:
        store.dispose()


@pytest.mark.postgres
def test_postgresql_is_only_looked_at(postgres_url: str) -> None:
    store = open_store(postgres_url)
    try:
        with pytest.raises(SchemaOutdated, match="likewise db upgrade"):
            migrate.ensure_schema(store)
        assert migrate.current(store) is None
        migrate.upgrade(store)
        migrate.ensure_schema(store)
    finally:
        store.dispose()


@pytest.mark.postgres
def test_a_user_who_may_only_read_is_told_what_to_grant(postgres_url: str) -> None:
    owner = open_store(postgres_url)
    migrate.upgrade(owner)
    role = f"Reader_{uuid.uuid4().hex}"  # a name that needs quotes

    def as_owner(statement: str) -> None:
        with owner.write() as connection:
            connection.exec_driver_sql(statement)

    as_owner(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'")
    reader = open_store(postgres_url.replace("likewise:", f"{role}:"))
    try:
        as_owner(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"')
        migrate.ensure_schema(reader, written=False)
        with pytest.raises(
            StoreUnusable, match=r"^postgresql://\S+ cannot be used: .* the table active_model; "
        ) as told:
            migrate.ensure_schema(reader)
        assert PASSWORD not in str(told.value)

        as_owner(f'GRANT INSERT ON {", ".join(set(tables.metadata.tables) - {"models"})} TO "{role}"')
        with pytest.raises(StoreUnusable, match="may not write the table models; let its user own") as told:
            migrate.ensure_schema(reader)
        as_owner(str(told.value).partition("run there: ")[2])
        migrate.ensure_schema(reader)
    finally:
        reader.dispose()
        as_owner(f'DROP OWNED BY "{role}"')
        as_owner(f'DROP ROLE "{role}"')
        owner.dispose()


def test_a_schema_newer_than_the_program_is_refused_and_left_alone(store: Store) -> None:
    with store.write() as connection:
        version = sa.table("alembic_version", sa.column("version_num"))
        connection.execute(sa.update(version).values(version_num="9999"))
    for step in (migrate.ensure_schema, migrate.upgrade):
        with pytest.raises(SchemaNewer, match="9999"):
            step(store)
    assert migrate.current(store) == "9999"


FOREIGN = {
    "tables": ["CREATE TABLE users (id integer)"],
    "another history": [
        "CREATE TABLE alembic_version (version_num varchar(32))",
        "INSERT INTO alembic_version VALUES ('ab')",
    ],
    "a history that looks like ours": [
        "CREATE TABLE alembic_version (version_num varchar(32))",
        "INSERT INTO alembic_version VALUES ('0001')",
        "CREATE TABLE users (id integer)",
    ],
    "a history with two heads": [
        "CREATE TABLE alembic_version (version_num varchar(32))",
        "INSERT INTO alembic_version VALUES ('ab'), ('cd')",
    ],
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN.keys())
def test_the_tables_of_another_program_are_refused_and_left_alone(empty: Store, statements: list[str]) -> None:
    with empty.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        before = sa.inspect(connection).get_table_names()
    for step in (migrate.ensure_schema, migrate.upgrade, migrate.examined):
        with pytest.raises(
            SchemaForeign, match=r"^the database holds other data, its table '\w+' for one; name [^\n]+$"
        ):
            step(empty)
    with empty.read() as connection:
        assert sa.inspect(connection).get_table_names() == before


@pytest.mark.postgres
def test_tables_of_other_schemas_and_of_extensions_are_no_other_data(postgres_url: str) -> None:
    store = open_store(postgres_url)
    try:
        with store.write() as connection:
            connection.exec_driver_sql("CREATE SCHEMA shop")
            connection.exec_driver_sql("CREATE TABLE shop.users (id integer)")
            connection.exec_driver_sql("CREATE TABLE of_an_extension (id integer)")
            # An extension of the server's own stands for one that comes with a table, such as PostGIS.
            connection.exec_driver_sql("ALTER EXTENSION plpgsql ADD TABLE of_an_extension")
        migrate.upgrade(store)
        assert migrate.examined(store) == migrate.head()
    finally:
        store.dispose()


KEYED = {
    "users": {"user_id": "u", "created_us": 1},
    "items": {"item_id": "i"},
    "interactions": {
        **{"user_key": 1, "item_key": 1, "event_type": "x", "value": 1.0, "occurred_us": 1, "received_us": 1},
    },
    "changes": {"kind": "keys", "key": 0, "at_us": 1},
    "trainings": {"status": "queued", "trigger": "api", "created_us": 1},
    "models": {
        **{"training_id": 1, "folder": "f", "manifest_sha256": "0", "created_us": 1, "users": 1, "items": 1, "rows": 1},
    },
}


@pytest.mark.parametrize("name", KEYED)
def test_a_key_is_never_given_twice(store: Store, name: str) -> None:
    table = tables.metadata.tables[name]
    with store.write() as connection:
        for needed in ("users", "items", "trainings"):
            connection.execute(sa.insert(tables.metadata.tables[needed]).values(KEYED[needed]))
    keys = []
    for _ in range(3):
        with store.write() as connection:
            values = {k: f"{v}{len(keys)}" if k in ("user_id", "item_id") else v for k, v in KEYED[name].items()}
            keys += connection.execute(sa.insert(table).values(values)).inserted_primary_key
        with store.write() as connection:
            connection.execute(sa.delete(table).where(next(iter(table.primary_key)) == keys[-1]))
    assert keys == sorted(set(keys))
    assert len(keys) == 3


def test_a_key_given_beforehand_is_not_given_again(store: Store) -> None:
    first = store_rows(store, [row(), row()]).rows
    with store.write() as connection:
        connection.execute(sa.delete(tables.interactions))
    second = store_rows(store, [row()]).rows
    assert second[0].id > first[-1].id


def test_ids_are_compared_byte_for_byte(store: Store) -> None:
    ids = ["a", "A", "b", "B", "é", "e\u0301", "z", "ÿ", "\U0001f600"]
    store_rows(store, [row(user_id=one) for one in ids])
    with store.read() as connection:
        found = connection.scalars(sa.select(tables.users.c.user_id).order_by(tables.users.c.user_id)).all()
    assert found == sorted(ids, key=str.encode)
