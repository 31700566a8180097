"""The tables, as the newest migration leaves them. Times are microseconds since the epoch, UTC.

Keys come from AUTOINCREMENT (SQLite) or an identity (PostgreSQL) and are never handed out twice, also not after their
row is gone: whatever still carries an erased key can then never be taken for somebody else's.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

metadata = sa.MetaData()


class current_xact(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The running transaction's number on PostgreSQL, by which the feed tells what it has not seen; 0 on SQLite."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(current_xact, "postgresql")
def _on_postgresql(_element: current_xact, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


@compiles(current_xact, "sqlite")
def _on_sqlite(_element: current_xact, _compiler: SQLCompiler, **_options: object) -> str:
    return "0"


def _key(name: str) -> sa.Column[int]:
    # SQLite knows AUTOINCREMENT only for the type spelled INTEGER. BY DEFAULT: an upload asks for its ids beforehand.
    kind = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
    return sa.Column(name, kind, sa.Identity(always=False), primary_key=True)


def _id(name: str, *, primary_key: bool = False, unique: bool = False, nullable: bool = False) -> sa.Column[str]:
    # Compared byte for byte on both databases, whatever the locale of the server.
    kind = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=primary_key, unique=unique, nullable=nullable)


def _us(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=True))


def _xact() -> sa.Column[int]:
    return sa.Column("xact", sa.BigInteger, nullable=False, server_default=current_xact())


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


store = sa.Table("store", metadata, _id("id", primary_key=True), _us("created_us"))

users = sa.Table(
    "users",
    metadata,
    _key("user_key"),
    _id("user_id", unique=True),
    _us("created_us"),
    sqlite_autoincrement=True,
)

# `updated_us` is null for an item that only interactions have named: it has no record yet.
items = sa.Table(
    "items",
    metadata,
    _key("item_key"),
    _id("item_id", unique=True),
    sa.Column("title", sa.Text),
    _json("categories"),
    _json("metadata"),
    _flag("hidden"),
    _flag("deleted"),
    _us("available_from_us", nullable=True),
    _us("available_until_us", nullable=True),
    _us("updated_us", nullable=True),
    sqlite_autoincrement=True,
)

interactions = sa.Table(
    "interactions",
    metadata,
    _key("id"),
    sa.Column("user_key", sa.BigInteger, sa.ForeignKey("users.user_key"), nullable=False, index=True),
    sa.Column("item_key", sa.BigInteger, sa.ForeignKey("items.item_key"), nullable=False, index=True),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("occurred_us", sa.BigInteger, nullable=False, index=True),
    _us("received_us"),
    _id("event_id", nullable=True),
    sa.Column("recommendation_id", sa.Text),
    sa.Column("context", sa.Text),
    _xact(),
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_interactions_event_id",
    interactions.c.event_id,
    unique=True,
    sqlite_where=interactions.c.event_id.is_not(None),
    postgresql_where=interactions.c.event_id.is_not(None),
)
sa.Index("ix_interactions_xact", interactions.c.xact).ddl_if(dialect="postgresql")

# What happened beside new interactions, for the feed: 'item' (key = item_key, 0 = many), 'interactions_deleted'
# (key = user_key; also where they went to another user), 'interactions_expired' (key = the time in microseconds before
# which they occurred), 'user_erased' (key = user_key, which nobody has any more), 'keys' (0) and 'pointer' (key =
# version).
changes = sa.Table(
    "changes",
    metadata,
    _key("id"),
    _xact(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.BigInteger, nullable=False),
    _us("at_us"),
    sqlite_autoincrement=True,
)
sa.Index("ix_changes_xact", changes.c.xact).ddl_if(dialect="postgresql")

# `active` is 1 while a training is queued or runs and null after: the unique constraint lets only one be.
trainings = sa.Table(
    "trainings",
    metadata,
    _key("id"),
    sa.Column("active", sa.SmallInteger, sa.CheckConstraint("active = 1", name="ck_trainings_active"), unique=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    _json("config"),
    sa.Column("note", sa.Text),
    _flag("force"),
    _flag("dry_run"),
    _flag("tune"),
    _flag("cancel_requested"),
    sa.Column("lease_owner", sa.Text),
    _us("lease_expires_us", nullable=True),
    _us("heartbeat_us", nullable=True),
    sa.Column("fencing_token", sa.BigInteger),
    sa.Column("phase", sa.Text),
    sa.Column("epoch", sa.Integer),
    sa.Column("epochs", sa.Integer),
    sa.Column("loss", sa.Double),
    sa.Column("eta_seconds", sa.Double),
    _json("metrics"),
    _json("gate"),
    sa.Column("model_version", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("rows", sa.BigInteger),
    _json("watermark"),
    _us("created_us"),
    _us("started_us", nullable=True),
    _us("finished_us", nullable=True),
    sqlite_autoincrement=True,
)

models = sa.Table(
    "models",
    metadata,
    _key("version"),
    sa.Column("training_id", sa.BigInteger, sa.ForeignKey("trainings.id"), nullable=False),
    sa.Column("folder", sa.Text, nullable=False, unique=True),
    sa.Column("manifest_sha256", sa.Text, nullable=False),
    _us("created_us"),
    _json("metrics"),
    _json("config"),
    _json("watermark"),
    sa.Column("users", sa.BigInteger, nullable=False),
    sa.Column("items", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.BigInteger),
    sqlite_autoincrement=True,
)

active_model = sa.Table(
    "active_model",
    metadata,
    sa.Column(
        "id",
        sa.SmallInteger,
        sa.CheckConstraint("id = 1", name="ck_active_model_id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("version", sa.BigInteger, sa.ForeignKey("models.version")),
    _flag("pinned"),
    sa.Column("fencing_token", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _us("activated_us", nullable=True),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    _id("key_id", primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("secret_sha256", sa.Text, nullable=False),
    _us("created_us"),
    _us("revoked_us", nullable=True),
)
