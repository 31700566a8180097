"""The first schema.

Written out in full and apart from `app.db.tables`, so that it stays what it was when later steps build on it.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_KEY = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_ID = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Create every table, give the store its uuid and the pointer its one row."""
    _people_and_things()
    _log()
    _trainings_and_models()
    _keys()
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_interactions_xact", "interactions", ["xact"])
        op.create_index("ix_changes_xact", "changes", ["xact"])


def _people_and_things() -> None:
    store = op.create_table(
        "store",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(store, [{"id": str(uuid.uuid4()), "created_us": time.time_ns() // 1000}])
    op.create_table(
        "users",
        _key("user_key"),
        sa.Column("user_id", _ID, nullable=False, unique=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "items",
        _key("item_key"),
        sa.Column("item_id", _ID, nullable=False, unique=True),
        sa.Column("title", sa.Text),
        sa.Column("categories", sa.JSON),
        sa.Column("metadata", sa.JSON),
        _flag("hidden"),
        _flag("deleted"),
        sa.Column("available_from_us", sa.BigInteger),
        sa.Column("available_until_us", sa.BigInteger),
        sa.Column("updated_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )


def _log() -> None:
    op.create_table(
        "interactions",
        _key("id"),
        sa.Column("user_key", sa.BigInteger, sa.ForeignKey("users.user_key"), nullable=False),
        sa.Column("item_key", sa.BigInteger, sa.ForeignKey("items.item_key"), nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("event_id", _ID),
        sa.Column("recommendation_id", sa.Text),
        sa.Column("context", sa.Text),
        _xact(),
        sqlite_autoincrement=True,
    )
    for column in ("user_key", "item_key", "occurred_us"):
        op.create_index(f"ix_interactions_{column}", "interactions", [column])
    named = sa.text("event_id IS NOT NULL")
    op.create_index(
        "ix_interactions_event_id",
        "interactions",
        ["event_id"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
    op.create_table(
        "changes",
        _key("id"),
        _xact(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _trainings_and_models() -> None:
    op.create_table(
        "trainings",
        _key("id"),
        sa.Column("active", sa.SmallInteger, sa.CheckConstraint("active = 1", name="ck_trainings_active"), unique=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("config", sa.JSON),
        sa.Column("note", sa.Text),
        _flag("force"),
        _flag("dry_run"),
        _flag("tune"),
        _flag("cancel_requested"),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_expires_us", sa.BigInteger),
        sa.Column("heartbeat_us", sa.BigInteger),
        sa.Column("fencing_token", sa.BigInteger),
        sa.Column("phase", sa.Text),
        sa.Column("epoch", sa.Integer),
        sa.Column("epochs", sa.Integer),
        sa.Column("loss", sa.Double),
        sa.Column("eta_seconds", sa.Double),
        sa.Column("metrics", sa.JSON),
        sa.Column("gate", sa.JSON),
        sa.Column("model_version", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("rows", sa.BigInteger),
        sa.Column("watermark", sa.JSON),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("started_us", sa.BigInteger),
        sa.Column("finished_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "models",
        _key("version"),
        sa.Column("training_id", sa.BigInteger, sa.ForeignKey("trainings.id"), nullable=False),
        sa.Column("folder", sa.Text, nullable=False, unique=True),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("metrics", sa.JSON),
        sa.Column("config", sa.JSON),
        sa.Column("watermark", sa.JSON),
        sa.Column("users", sa.BigInteger, nullable=False),
        sa.Column("items", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    only_one = sa.CheckConstraint("id = 1", name="ck_active_model_id")
    active_model = op.create_table(
        "active_model",
        sa.Column("id", sa.SmallInteger, only_one, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, sa.ForeignKey("models.version")),
        _flag("pinned"),
        sa.Column("fencing_token", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("activated_us", sa.BigInteger),
    )
    op.bulk_insert(active_model, [{"id": 1}])


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", _ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("secret_sha256", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
    )


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, _KEY, sa.Identity(always=False), primary_key=True)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _xact() -> sa.Column[Any]:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    default = "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)" if on_postgresql else "0"
    return sa.Column("xact", sa.BigInteger, nullable=False, server_default=sa.text(default))
