"""The last step of a training: a version that exists on disk gets its row and the pointer, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from app.clock import MICROSECONDS, Clock
from app.db import models, trainings
from app.db.engine import Store, StoreUnavailable
from app.db.leases import ErasedMeanwhile
from app.db.trainings import ClaimedTraining, LeaseLost
from app.db.watermark import Watermark
from app.snapshots import Kind, SnapshotStore
from app.training.lease import LOST

RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class Version(NamedTuple):
    """What the row of a model version says."""

    folder: str
    manifest_sha256: str
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    watermark: Watermark
    users: int
    items: int
    rows: int
    seed: int
    without_users: frozenset[int] = frozenset()


def name(moment_us: int, training_id: int) -> str:
    """A snapshot's name, `000000000012-20260131T095959.123456Z`: it sorts by training, whatever the clock did."""
    moment = datetime.fromtimestamp(moment_us // MICROSECONDS, UTC)
    return f"{training_id:012d}-{moment:%Y%m%dT%H%M%S}.{moment_us % MICROSECONDS:06d}Z"


def discard(snapshots: SnapshotStore, name: str) -> None:
    """Remove the model and the history of a training that publishes neither. What cannot be removed is logged."""
    kinds: tuple[Kind, ...] = ("model", "history")
    for kind in kinds:
        try:
            snapshots.remove(kind, name)
        except OSError as error:
            _log.warning("snapshot_not_removed", kind=kind, snapshot=name, reason=str(error))


def publish(
    store: Store,
    claim: ClaimedTraining,
    snapshots: SnapshotStore,
    version: Version,
    *,
    clock: Clock,
    should_stop: Callable[[], str | None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> int:
    """Add the version, move the pointer and end the training as succeeded. Returns the version's number.

    While the store is away it is tried again. A lost lease is no reason to stop trying: the store refuses then, and it
    alone knows whether an earlier try was committed although its answer got lost.

    Args:
        should_stop: why to stop, or None; asked between tries.
        patience_seconds: how long to try.
    Raises: LeaseLost; ErasedMeanwhile; StoreUnavailable when stopped or out of patience. The saved model and history
        are removed then, unless the version may have been published.
    """
    gives_up_at = time.monotonic() + patience_seconds
    unsure = False
    while True:
        try:
            return _publish(store, claim, version, now_us=clock())
        except StoreUnavailable as error:
            unsure = True
            if should_stop() not in {None, LOST} or time.monotonic() >= gives_up_at:
                raise
            _log.warning("publication_waits_for_the_store", training=claim.id, reason=str(error))
            time.sleep(RETRY_SECONDS)
        except ErasedMeanwhile:
            # The store knows of no version of this training, whatever became of earlier tries.
            discard(snapshots, version.folder)
            raise
        except BaseException:
            if not unsure:
                discard(snapshots, version.folder)
            raise


def prune(store: Store, snapshots: SnapshotStore, *, before: str, models_kept: int) -> None:
    """Remove models older than `before`, but neither the newest versions' nor the active one, and old histories.

    What cannot be done now is logged.

    Args:
        before: the name of the caller's own model. A caller that slept must not remove what came after it.
        models_kept: how many of the newest versions stay.
    """
    try:
        # Listed before the store is asked: what is saved in between is not known to it yet.
        older = {name for name in snapshots.names("model") if name < before}
        with store.read() as connection:
            kept = {row.folder for row in models.page(connection, limit=models_kept)}
            active = models.active(connection)
        if active is not None:
            kept.add(active.folder)
        removed = snapshots.prune(store_id=store.store_id(), models=older - kept)
    except (StoreUnavailable, OSError) as error:
        _log.warning("snapshots_not_pruned", reason=str(error))
        return
    if removed:
        _log.info("snapshots_pruned", names=removed)


def _publish(store: Store, claim: ClaimedTraining, version: Version, *, now_us: int) -> int:
    with store.write() as connection:
        row = trainings.get(connection, claim.id)
        if row is not None and row.status == "succeeded" and row.model_version is not None:
            return row.model_version
        number = trainings.publish(connection, claim, now_us=now_us, **version._asdict())
        if not trainings.finish(
            connection,
            claim,
            "succeeded",
            now_us=now_us,
            metrics=version.metrics,
            rows=version.rows,
            watermark=version.watermark,
        ):
            raise LeaseLost(f"training {claim.id} was ended by somebody else")
        return number
