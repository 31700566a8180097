"""Brings a store's schema to what this program needs, and says where it stands."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

import migrations
from app.db import tables
from app.db.engine import SchemaForeign, SchemaNewer, SchemaOutdated, Store, StoreUnusable
from app.db.errors import UPGRADE_COMMAND

# The name of the lock in PostgreSQL's table of advisory locks; any constant that nothing else in the database uses.
_LOCK = 0x4C494B45
_VERSION_TABLE = "alembic_version"
# By these tables a store is known, whichever version of the program made it.
_LANDMARKS = {"store", "interactions", "active_model"}
# Without what belongs to an extension: PostGIS, for one, comes with a table in the same schema.
_POSTGRES_TABLES = sa.text(
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'f')"
    " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid"
    " AND deptype = 'e')"
)
# Of the named tables the first that the user may not add rows to.
_REFUSED_TABLES = sa.text(
    "SELECT name, quote_ident(current_schema()), quote_ident(current_user)"
    " FROM unnest(CAST(:names AS text[])) AS name WHERE NOT has_table_privilege(name, 'INSERT') ORDER BY name LIMIT 1"
)


def head() -> str:
    """The revision this program needs."""
    return migrations.REVISIONS[-1]


def current(store: Store) -> str | None:
    """The revision the store is at; None for an empty database. Raises: StoreUnavailable."""
    with store.read() as connection:
        return _revision(connection, _tables(connection))


def examined(store: Store) -> str | None:
    """`current()`, after a look at whose tables these are.

    Raises: SchemaForeign where another program's are; SchemaNewer; StoreUnavailable.
    """
    # One state throughout: a migration that commits between two looks would seem to be somebody else's.
    with store.read(repeatable=True) as connection:
        return _examined(connection)


def upgrade(store: Store) -> None:
    """Bring the schema to `head()`, all in one transaction; a store that is there already is left alone.

    Safe to start from several processes at once: one migrates, the others wait and find nothing left to do.

    Raises: StoreUnavailable; SchemaNewer if a newer program has been here; SchemaForeign if another one has.
    """
    with store.write_unhurried() as connection:
        if store.dialect == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if _examined(connection) != head():
            _migrate(connection)


def ensure_schema(store: Store, *, written: bool = True) -> None:
    """Make sure that the schema is `head()`: migrates an embedded store, and only looks at PostgreSQL.

    Args:
        written: whether rows will be written; else it is enough that PostgreSQL lets them be read.
    Raises: SchemaOutdated, naming the command that helps; SchemaNewer; SchemaForeign; StoreUnusable where PostgreSQL
        does not let its user write; StoreUnavailable.
    """
    found = examined(store)
    if found == head():
        if written and store.dialect == "postgresql":
            _check_rights(store)
    elif store.dialect == "sqlite":
        upgrade(store)
    else:
        state = "empty" if found is None else f"at schema {found}"
        raise SchemaOutdated(f"the store is {state}, this program needs schema {head()}; run: {UPGRADE_COMMAND}")


def _check_rights(store: Store) -> None:
    """See to it that every table may be written. Raises: StoreUnusable; StoreUnavailable."""
    with store.read() as connection:
        refused = connection.execute(_REFUSED_TABLES, {"names": list(tables.metadata.tables)}).first()
    if refused is not None:
        table, schema, user = refused
        raise StoreUnusable(
            f"{store.url} cannot be used: its user may not write the table {table}; let its user own the database, or "
            f"run there: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
        )


def _examined(connection: sa.Connection) -> str | None:
    there = _tables(connection)
    found = _revision(connection, there)
    others = sorted(there - {_VERSION_TABLE})
    if (others and found is None) or (found is not None and not there >= _LANDMARKS):
        example = others[0] if others else _VERSION_TABLE
        raise SchemaForeign(
            f"the database holds other data, its table {example!r} for one; name a store of its own for Likewise in "
            "LIKEWISE_DATABASE_URL"
        )
    if found is not None and found not in migrations.REVISIONS:
        raise SchemaNewer(f"the store is at schema {found}, which this program does not know; run a newer program")
    return found


def _tables(connection: sa.Connection) -> set[str]:
    if connection.dialect.name == "postgresql":
        return set(connection.scalars(_POSTGRES_TABLES))
    return set(sa.inspect(connection).get_table_names())


def _revision(connection: sa.Connection, there: set[str]) -> str | None:
    if _VERSION_TABLE not in there:
        return None
    # All of them: another program's history may have several heads, ours has one.
    versions = sa.select(sa.column("version_num", sa.Text))
    found = connection.scalars(versions.select_from(sa.table(_VERSION_TABLE)))
    return ", ".join(sorted(found)) or None


def _migrate(connection: sa.Connection) -> None:
    # Loaded here: only a schema that has to change needs it.
    import alembic.command
    from alembic.config import Config

    config = Config()
    # Alembic reads its options through configparser, to which a percent sign is special.
    config.set_main_option("script_location", str(Path(migrations.__file__ or "").parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
