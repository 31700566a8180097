"""Trainings: asked for, one at a time, and looked at. `app.db.leases` is about carrying one out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from app.db import tables
from app.db.leases import (
    LEASE_EXPIRED,
    ClaimedTraining,
    Heartbeat,
    LeaseLost,
    Outcome,
    claim,
    expire,
    finish,
    heartbeat,
    publish,
)
from app.db.statements import insert
from app.db.watermark import Watermark

__all__ = [
    "LEASE_EXPIRED",
    "ClaimedTraining",
    "Heartbeat",
    "LeaseLost",
    "Outcome",
    "Status",
    "TrainingActive",
    "TrainingRow",
    "active",
    "claim",
    "expire",
    "finish",
    "get",
    "heartbeat",
    "last_begun",
    "last_finished",
    "page",
    "publish",
    "queue",
    "request_cancel",
]

Status = Literal["queued", "running", "succeeded", "rejected", "skipped", "failed", "cancelled"]

_ATTEMPTS = 5
_t = tables.trainings.c


class TrainingActive(Exception):
    """Another training is queued or running."""

    def __init__(self, training_id: int) -> None:
        super().__init__(f"training {training_id} is queued or running")
        self.training_id = training_id


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A training as the store holds it; times in microseconds since the epoch."""

    id: int
    status: Status
    trigger: str
    config: dict[str, Any]
    note: str | None
    force: bool
    dry_run: bool
    tune: bool
    cancel_requested: bool
    lease_owner: str | None
    lease_expires_us: int | None
    heartbeat_us: int | None
    fencing_token: int | None
    phase: str | None
    epoch: int | None
    epochs: int | None
    loss: float | None
    eta_seconds: float | None
    metrics: dict[str, Any] | None
    gate: dict[str, Any] | None
    model_version: int | None
    reason: str | None
    error: str | None
    rows: int | None
    watermark: Watermark | None
    created_us: int
    started_us: int | None
    finished_us: int | None


def queue(
    connection: sa.Connection,
    trigger: str,
    config: Mapping[str, Any] | None = None,
    *,
    now_us: int,
    note: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    tune: bool = False,
) -> int:
    """Ask for a training; returns its id. Raises: TrainingActive if one is queued, or runs under a lease that holds."""
    expire(connection, now_us=now_us)
    statement = insert(connection, tables.trainings).values(
        active=1,
        status="queued",
        trigger=trigger,
        config=dict(config or {}),
        note=note,
        force=force,
        dry_run=dry_run,
        tune=tune,
        created_us=now_us,
    )
    for _ in range(_ATTEMPTS):
        # Looked for first: an INSERT that meets a conflict would still use up an id.
        current = connection.scalar(sa.select(_t.id).where(_t.active == 1))
        if current is not None:
            raise TrainingActive(current)
        queued = statement.on_conflict_do_nothing(index_elements=[_t.active]).returning(_t.id)
        training_id = connection.scalar(queued)
        if training_id is not None:
            return int(training_id)
    raise RuntimeError("other trainings kept starting and ending while this one was queued")


def get(connection: sa.Connection, training_id: int) -> TrainingRow | None:
    """A training by its id; None for one that never was."""
    return _one(connection, sa.select(tables.trainings).where(_t.id == training_id))


def page(connection: sa.Connection, *, limit: int, before_id: int | None = None) -> list[TrainingRow]:
    """Up to `limit` trainings with an id below `before_id`, the newest first."""
    query = sa.select(tables.trainings).order_by(_t.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(_t.id < before_id)
    return [_row(row) for row in connection.execute(query).mappings()]


def last_finished(connection: sa.Connection) -> TrainingRow | None:
    """The training that ended last, however it ended."""
    query = sa.select(tables.trainings).where(_t.active.is_(None)).order_by(_t.id.desc()).limit(1)
    return _one(connection, query)


def last_begun(connection: sa.Connection) -> TrainingRow | None:
    """The newest training that began and was to publish: no dry run, and none cancelled while it was queued."""
    began = sa.and_(_t.started_us.is_not(None), _t.dry_run.is_(False))
    return _one(connection, sa.select(tables.trainings).where(began).order_by(_t.id.desc()).limit(1))


def active(connection: sa.Connection) -> TrainingRow | None:
    """The training that is queued or running."""
    return _one(connection, sa.select(tables.trainings).where(_t.active == 1))


def request_cancel(connection: sa.Connection, training_id: int, *, now_us: int) -> bool | None:
    """Ask a training to stop. True: it will (a queued one has); False: it had ended; None: it never was."""
    ended = {"status": "cancelled", "active": None, "reason": "cancelled before it began", "finished_us": now_us}
    queued = sa.update(tables.trainings).where(_t.id == training_id, _t.status == "queued").values(ended)
    running = sa.update(tables.trainings).where(_t.id == training_id, _t.status == "running")
    if connection.execute(queued).rowcount or connection.execute(running.values(cancel_requested=True)).rowcount:
        return True
    return None if get(connection, training_id) is None else False


def _one(connection: sa.Connection, query: sa.Select[Any]) -> TrainingRow | None:
    found = connection.execute(query).mappings().one_or_none()
    return None if found is None else _row(found)


def _row(found: sa.RowMapping) -> TrainingRow:
    fields = {name: found[name] for name in TrainingRow.__dataclass_fields__}
    fields["config"] = fields["config"] or {}
    if fields["watermark"] is not None:
        fields["watermark"] = Watermark.from_json(fields["watermark"])
    return TrainingRow(**fields)
