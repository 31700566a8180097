"""Model versions, and the pointer to the one in use. `app.db.trainings` publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.db import tables
from app.db.statements import among
from app.db.watermark import Watermark

_t = tables.models.c


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A published version. `folder` is its snapshot's name; `users`, `items`, `rows` say what it was fitted on."""

    version: int
    training_id: int
    folder: str
    manifest_sha256: str
    created_us: int
    metrics: dict[str, Any]
    config: dict[str, Any]
    watermark: Watermark
    users: int
    items: int
    rows: int
    seed: int | None


class Pointer(NamedTuple):
    """Which version answers, and whether it was chosen by hand: then trainings do not move it."""

    version: int | None
    pinned: bool


def active(connection: sa.Connection) -> ModelRow | None:
    """The version in use; None before the first one."""
    pointed = sa.select(tables.active_model.c.version).scalar_subquery()
    return _one(connection, _t.version == pointed)


def get(connection: sa.Connection, version: int) -> ModelRow | None:
    """A version by its number; None for one that never was."""
    return _one(connection, _t.version == version)


def published(connection: sa.Connection, folders: Sequence[str]) -> set[str]:
    """Those of `folders` that a version of this store was published under."""
    return set(connection.scalars(sa.select(_t.folder).where(among(connection, _t.folder, folders))))


def versions_of(connection: sa.Connection, folders: Sequence[str]) -> list[int]:
    """The versions that were published under these names, ascending."""
    query = sa.select(_t.version).where(among(connection, _t.folder, folders)).order_by(_t.version)
    return list(connection.scalars(query))


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[ModelRow]:
    """Up to `limit` versions below `before`, the newest first."""
    query = sa.select(tables.models).order_by(_t.version.desc()).limit(limit)
    if before is not None:
        query = query.where(_t.version < before)
    return [_row(row) for row in connection.execute(query).mappings()]


def pointer(connection: sa.Connection) -> Pointer:
    """The one row of `active_model`."""
    found = connection.execute(sa.select(tables.active_model.c.version, tables.active_model.c.pinned)).one()
    return Pointer(found.version, bool(found.pinned))


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> ModelRow | None:
    found = connection.execute(sa.select(tables.models).where(condition)).mappings().one_or_none()
    return None if found is None else _row(found)


def _row(found: sa.RowMapping) -> ModelRow:
    fields = dict(found)
    fields["metrics"] = fields["metrics"] or {}
    fields["config"] = fields["config"] or {}
    fields["watermark"] = Watermark.from_json(fields["watermark"])
    return ModelRow(**fields)
