"""The trainer: waits until a training is asked for or due, carries it out, and outlives whatever goes wrong."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import structlog

from app.clock import MICROSECONDS, Clock, now_us
from app.db import interactions, models, trainings
from app.db.engine import SchemaOutdated, Store, StoreUnavailable, open_store
from app.db.erasure import erased_since
from app.db.feed import is_ahead
from app.db.leases import is_over
from app.db.models import ModelRow
from app.db.trainings import ClaimedTraining, TrainingActive, TrainingRow
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training import recipe
from app.training.lease import Lease
from app.training.progress import OnProgress, no_progress
from app.training.recipe import Fit
from app.training.retention import Retention
from app.training.run import TrainingOutcome, run_training
from app.training.schedule import due

POLL_SECONDS = 1.0
RETRY_SECONDS = 1.0
FINISH_ATTEMPTS = 10

_log = structlog.get_logger(__name__)


class TrainingLoop:
    """Carries out trainings until `stop` is set. Of several loops on one store, one gets each training.

    Args:
        stop: ends the loop; a training that runs is cancelled within a second or two.
        fit: how a factorization is fitted.
        poll_seconds: how often to look; a queued training waits no longer.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        snapshots: SnapshotStore,
        *,
        clock: Clock = now_us,
        stop: threading.Event,
        fit: Fit = recipe.fit,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._settings = settings
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._stop = stop
        self._fit = fit
        self._poll_seconds = poll_seconds
        self._retention = Retention(store, days=settings.retention_days, clock=clock)
        self._owner = owner_name()
        self._away = False

    def run(self) -> None:
        """Wait for (a queued training | enough new rows | the interval | stop), over and over; delete what expired."""
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                self._retention.turn()
                self.step()
                wait = self._poll_seconds
                self._away = False
            except (StoreUnavailable, SchemaOutdated) as error:
                wait = RETRY_SECONDS
                if not self._away:
                    _log.warning("trainer_waits_for_the_store", reason=str(error))
                self._away = True
            except Exception:  # a trainer that dies stops improving the service, unseen
                wait = RETRY_SECONDS
                _log.exception("trainer_step_failed")

    def step(self) -> TrainingOutcome | None:
        """Carry out the training that is queued or due, if there is one. Raises: StoreUnavailable, SchemaOutdated."""
        claim = self._claim()
        if claim is None:
            return None
        return carry_out(
            self._settings,
            self._store,
            claim,
            snapshots=self._snapshots,
            clock=self._clock,
            stop=self._stop,
            fit=self._fit,
        )

    def _claim(self) -> ClaimedTraining | None:
        now = self._clock()
        with self._store.read() as connection:
            current = trainings.active(connection)
            if current is not None:
                expires_us = current.lease_expires_us
                expired = expires_us is not None and is_over(expires_us, now_us=now, lease_us=_lease_us(self._settings))
                trigger = None
            else:
                last = _last_of_this_copy(connection)
                trigger = due(
                    self._settings,
                    last,
                    new_rows=lambda: _new_rows(connection, last),
                    now_us=now,
                    model_lost=self._is_lost(models.active(connection)),
                )
        waits = trigger is not None if current is None else current.status == "queued" or expired
        if not waits:
            return None
        try:
            return claim_training(self._settings, self._store, owner=self._owner, clock=self._clock, trigger=trigger)
        except TrainingActive:
            return None  # another trainer, or a caller, was quicker

    def _is_lost(self, active: ModelRow | None) -> bool:
        """Whether nobody can answer with the model in use: it is gone, as after a restore without the model folder, or
        it is of a form that this release does not read.
        """
        return active is not None and not self._snapshots.is_readable("model", active.folder)


def _new_rows(connection: sa.Connection, last: TrainingRow | None) -> int:
    """How many rows came since; a user who was erased counts as one, since the model has learnt from them."""
    if last is None or last.watermark is None:
        return interactions.count(connection)
    return interactions.count(connection, beyond=last.watermark) + len(erased_since(connection, last.watermark))


def _last_of_this_copy(connection: sa.Connection) -> TrainingRow | None:
    """The last training, unless the store was put back to another copy since: of that nothing has been read yet."""
    last = trainings.last_begun(connection)
    if (
        last is None
        or last.watermark is None
        or not is_ahead(last.watermark, interactions.current_watermark(connection, since=last.watermark))
    ):
        return last
    return None


def _lease_us(settings: Settings) -> int:
    return round(settings.training_lease_seconds * MICROSECONDS)


def claim_training(
    settings: Settings,
    store: Store,
    *,
    owner: str,
    clock: Clock,
    trigger: str | None,
    config: Mapping[str, Any] | None = None,
) -> ClaimedTraining | None:
    """Claim the training that is queued or, with a trigger, queue one and claim it in the same transaction.

    Raises: TrainingActive with a trigger while one is queued or running; StoreUnavailable.
    """
    now = clock()
    with store.write() as connection:
        if trigger is not None:
            trainings.queue(connection, trigger, config, now_us=now)
        return trainings.claim(connection, owner, now_us=now, lease_us=_lease_us(settings))


def carry_out(
    settings: Settings,
    store: Store,
    claim: ClaimedTraining,
    *,
    snapshots: SnapshotStore,
    clock: Clock = now_us,
    stop: threading.Event | None = None,
    on_progress: OnProgress = no_progress,
    fit: Fit = recipe.fit,
) -> TrainingOutcome:
    """Run a claimed training under its lease and see to it that its row says how it ended."""
    _log.info("training_started", training=claim.id, trigger=claim.trigger)
    with Lease(store, claim, seconds=settings.training_lease_seconds, clock=clock, stop=stop) as lease:

        def report(phase: str, epoch: int, epochs: int, loss: float | None, eta_seconds: float | None) -> None:
            lease.report(phase, epoch, epochs, loss, eta_seconds)
            on_progress(phase, epoch, epochs, loss, eta_seconds)

        outcome = run_training(
            settings,
            store,
            claim,
            snapshots=snapshots,
            on_progress=report,
            should_stop=lease.stop_reason,
            clock=clock,
            fit=fit,
        )
        # Still under the lease: a store that is away for a moment must not make a stranger of this training.
        if outcome.version is None and not outcome.lost:
            _finish(store, claim, outcome, clock=clock)
    _log.info(
        "training_ended",
        training=claim.id,
        status=outcome.status,
        version=outcome.version,
        reason=outcome.reason,
        error=outcome.error,
    )
    return outcome


def train_now(
    settings: Settings,
    *,
    on_progress: OnProgress = no_progress,
    stop: threading.Event | None = None,
    config: Mapping[str, Any] | None = None,
) -> TrainingOutcome:
    """One training in this process, now.

    Raises: TrainingActive while another one is queued or running; StoreUnavailable.
    """
    store = open_store(settings.database_url, deadline_seconds=settings.store_timeout_seconds)
    try:
        claim = claim_training(settings, store, owner=owner_name(), clock=now_us, trigger="cli", config=config)
        if claim is None:
            raise RuntimeError("the training that was queued could not be claimed")
        snapshots = SnapshotStore(settings.model_dir)
        return carry_out(settings, store, claim, snapshots=snapshots, stop=stop, on_progress=on_progress)
    finally:
        store.dispose()


def run_trainer(settings: Settings, stop: threading.Event) -> None:
    """Be the trainer until `stop` is set. The store may come later: it is waited for."""
    store = open_store(settings.database_url, deadline_seconds=settings.store_timeout_seconds)
    try:
        TrainingLoop(settings, store, SnapshotStore(settings.model_dir), stop=stop).run()
    finally:
        store.dispose()


def owner_name() -> str:
    """A name for the claims of this process that no other process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _finish(store: Store, claim: ClaimedTraining, outcome: TrainingOutcome, *, clock: Clock) -> None:
    for attempt in range(FINISH_ATTEMPTS):
        try:
            with store.write() as connection:
                trainings.finish(
                    connection,
                    claim,
                    outcome.status,
                    now_us=clock(),
                    metrics=outcome.metrics,
                    reason=outcome.reason,
                    error=outcome.error,
                    rows=outcome.rows,
                    watermark=outcome.watermark,
                )
        except StoreUnavailable as error:
            _log.warning("training_row_waits_for_the_store", training=claim.id, attempt=attempt + 1, reason=str(error))
            time.sleep(RETRY_SECONDS)
        else:
            return
    # Whoever claims next ends it: its lease is not extended any more.
    _log.error("training_row_not_written", training=claim.id, status=outcome.status)
