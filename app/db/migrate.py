"""Brings a store's schema to what this program needs, and says where it stands."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import alembic.command
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from app.db.engine import SchemaNewer, SchemaOutdated, Store
from app.db.errors import UPGRADE_COMMAND

# The name of the lock in PostgreSQL's table of advisory locks; any constant that nothing else in the database uses.
_LOCK = 0x4C494B45


@cache
def head() -> str:
    """The revision this program needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("the migrations are not installed with the program")
    return revision


def current(store: Store) -> str | None:
    """The revision the store is at; None for an empty database. Raises: StoreUnavailable."""
    with store.read() as connection:
        return _revision(connection)


def upgrade(store: Store) -> None:
    """Bring the schema to `head()`, all in one transaction; a store that is there already is left alone.

    Safe to start from several processes at once: one migrates, the others wait and find nothing left to do.

    Raises: StoreUnavailable; SchemaNewer if a newer program has been here.
    """
    with store.write_unhurried() as connection:
        if store.dialect == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = _revision(connection)
        _refuse_newer(found)
        if found != head():
            config = _config()
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")


def ensure_schema(store: Store) -> None:
    """Make sure that the schema is `head()`: migrates an embedded store, and only looks at PostgreSQL.

    Raises: SchemaOutdated, naming the command that helps; SchemaNewer; StoreUnavailable.
    """
    found = current(store)
    _refuse_newer(found)
    if found == head():
        return
    if store.dialect == "sqlite":
        upgrade(store)
    else:
        state = "empty" if found is None else f"at schema {found}"
        raise SchemaOutdated(f"the store is {state}, this program needs schema {head()}; run: {UPGRADE_COMMAND}")


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in _known_revisions():
        raise SchemaNewer(f"the store is at schema {found}, which this program does not know; run a newer program")


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    # Alembic reads its options through configparser, to which a percent sign is special.
    config.set_main_option("script_location", str(Path(migrations.__file__ or "").parent).replace("%", "%%"))
    return config
