"""A training's lease: claimed once, kept by heartbeats, and fenced, so that who slept through it publishes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from app.db import changes, tables
from app.db.erasure import erased_since
from app.db.watermark import Watermark

Outcome = Literal["succeeded", "rejected", "skipped", "failed", "cancelled"]

LEASE_EXPIRED = "the lease expired: the trainer stopped without saying why"

# A lease is at most one length ahead; the second allows for clocks of hosts that differ.
FARTHEST_LEASES = 2

_t = tables.trainings.c


class LeaseLost(Exception):
    """The training was given up on, or a later one has published: what this one made must not be used."""


@dataclass(frozen=True, slots=True)
class ClaimedTraining:
    """The right to carry out one training, and what it shall be. `fencing_token` grows with every claim."""

    id: int
    owner: str
    fencing_token: int
    trigger: str
    config: dict[str, Any]
    note: str | None
    force: bool
    dry_run: bool
    tune: bool
    created_us: int


class Heartbeat(NamedTuple):
    """What a heartbeat learns: whether the training is still the caller's, and whether somebody wants it to stop."""

    ours: bool
    cancel_requested: bool


def is_over(expires_us: int, *, now_us: int, lease_us: int) -> bool:
    """Whether a lease has ended, or lies so far ahead that the clock must have been put back since it was given."""
    return expires_us < now_us or expires_us > now_us + FARTHEST_LEASES * lease_us


def expire(connection: sa.Connection, *, now_us: int, lease_us: int | None = None) -> int | None:
    """End the running training whose lease is over; returns its id. One that had already published has succeeded.

    Args:
        lease_us: how long a lease is; with it, a lease further ahead than twice that is over too (see `is_over`).
    """
    over = _t.lease_expires_us < now_us
    if lease_us is not None:
        over |= _t.lease_expires_us > now_us + FARTHEST_LEASES * lease_us
    published = _t.model_version.is_not(None)
    statement = (
        sa.update(tables.trainings)
        .where(_t.active == 1, _t.status == "running", over)
        .values(
            active=None,
            status=sa.case((published, "succeeded"), else_="failed"),
            reason=LEASE_EXPIRED,
            error=sa.case((published, _t.error), else_=LEASE_EXPIRED),
            finished_us=now_us,
        )
        .returning(_t.id)
    )
    expired: int | None = connection.scalar(statement)
    return expired


def claim(connection: sa.Connection, owner: str, *, now_us: int, lease_us: int) -> ClaimedTraining | None:
    """Take the queued training, if there is one; of several claimers one gets it. Ends a running one that has expired.

    A training is claimed at most once, so its id is also its fencing token: a later claim always has a higher one.
    """
    expire(connection, now_us=now_us, lease_us=lease_us)
    statement = (
        sa.update(tables.trainings)
        .where(_t.active == 1, _t.status == "queued")
        .values(
            status="running",
            lease_owner=owner,
            lease_expires_us=now_us + lease_us,
            heartbeat_us=now_us,
            started_us=now_us,
            fencing_token=_t.id,
        )
        .returning(*(_t[name] for name in _CLAIMED))
    )
    taken = connection.execute(statement).mappings().one_or_none()
    if taken is None:
        return None
    fields = {**taken, "config": taken["config"] or {}}
    return ClaimedTraining(owner=owner, **fields)


_CLAIMED = [name for name in ClaimedTraining.__dataclass_fields__ if name != "owner"]


def heartbeat(
    connection: sa.Connection,
    claimed: ClaimedTraining,
    *,
    now_us: int,
    lease_us: int,
    phase: str | None = None,
    epoch: int | None = None,
    epochs: int | None = None,
    loss: float | None = None,
    eta_seconds: float | None = None,
) -> Heartbeat:
    """Prolong the lease and note the progress; what is None stays as it was."""
    told = {"phase": phase, "epoch": epoch, "epochs": epochs, "loss": loss, "eta_seconds": eta_seconds}
    statement = (
        sa.update(tables.trainings)
        .where(_held(claimed))
        .values(
            lease_expires_us=now_us + lease_us,
            heartbeat_us=now_us,
            **{name: value for name, value in told.items() if value is not None},
        )
        .returning(_t.cancel_requested)
    )
    cancel = connection.scalar(statement)
    return Heartbeat(ours=cancel is not None, cancel_requested=bool(cancel))


def finish(
    connection: sa.Connection,
    claimed: ClaimedTraining,
    status: Outcome,
    *,
    now_us: int,
    metrics: Mapping[str, Any] | None = None,
    gate: Mapping[str, Any] | None = None,
    reason: str | None = None,
    error: str | None = None,
    rows: int | None = None,
    watermark: Watermark | None = None,
) -> bool:
    """End the training; False, and nothing is changed, if it is no longer the caller's.

    What its progress says then is how far it came: the phase `done`, or the one that it ended in.
    """
    progress = {"phase": "done", "epoch": _t.epochs} if status == "succeeded" else {}
    statement = (
        sa.update(tables.trainings)
        .where(_held(claimed))
        .values(
            active=None,
            status=status,
            metrics=None if metrics is None else dict(metrics),
            gate=None if gate is None else dict(gate),
            reason=reason,
            error=error,
            rows=rows,
            watermark=None if watermark is None else watermark.to_json(),
            finished_us=now_us,
            eta_seconds=None,
            **progress,
        )
    )
    return connection.execute(statement).rowcount == 1


def publish(
    connection: sa.Connection,
    claimed: ClaimedTraining,
    *,
    now_us: int,
    folder: str,
    manifest_sha256: str,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    watermark: Watermark,
    users: int,
    items: int,
    rows: int,
    seed: int | None,
    without_users: frozenset[int] = frozenset(),
) -> int:
    """Add a model version and, unless a version was activated by hand, answer with it; returns its number.

    Call `finish` in the same transaction.

    Args:
        without_users: users that were erased after the watermark and are not in the version.
    Raises: LeaseLost, before anything is changed, if the training is no longer the caller's or the pointer was moved
        under a higher fencing token; ErasedMeanwhile where users were erased that may be in the version.
    """
    # Both rows are locked until the commit: nobody can give this training up, or move the pointer, in between.
    held = connection.scalar(sa.select(_t.id).where(_held(claimed)).with_for_update())
    pointer = tables.active_model.c
    fence = connection.scalar(sa.select(pointer.fencing_token).with_for_update())
    if held is None or fence is None or fence > claimed.fencing_token:
        raise LeaseLost(f"training {claimed.id} of {claimed.owner} is no longer the one that may publish")
    # Under the lock that an erasure takes too: whichever is first, the other one sees it.
    if erased := erased_since(connection, watermark) - without_users:
        raise ErasedMeanwhile(erased)
    added = sa.insert(tables.models).values(
        training_id=claimed.id,
        folder=folder,
        manifest_sha256=manifest_sha256,
        created_us=now_us,
        metrics=dict(metrics),
        config=dict(config),
        watermark=watermark.to_json(),
        users=users,
        items=items,
        rows=rows,
        seed=seed,
    )
    version = int(connection.scalars(added.returning(tables.models.c.version)).one())
    connection.execute(sa.update(tables.trainings).where(_t.id == claimed.id).values(model_version=version))
    moved = (
        sa.update(tables.active_model)
        .where(
            pointer.pinned.is_(False),
            pointer.fencing_token <= claimed.fencing_token,
            sa.exists().where(_held(claimed)),
        )
        .values(version=version, fencing_token=claimed.fencing_token, activated_us=now_us)
    )
    if connection.execute(moved).rowcount:
        changes.record(connection, "pointer", [version], at_us=now_us)
    return version


class ErasedMeanwhile(Exception):
    """Users were erased since the rows were read: `user_keys`."""

    def __init__(self, user_keys: frozenset[int]) -> None:
        super().__init__(f"{len(user_keys)} users were erased while the training ran")
        self.user_keys = user_keys


def _held(claimed: ClaimedTraining) -> sa.ColumnElement[bool]:
    return sa.and_(
        _t.id == claimed.id,
        _t.status == "running",
        _t.lease_owner == claimed.owner,
        _t.fencing_token == claimed.fencing_token,
    )
