"""Keeps a claimed training ours while it runs: a thread extends the lease, passes progress on and sees cancellation."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import structlog

from app.clock import MICROSECONDS, Clock
from app.db import trainings
from app.db.engine import Store, StoreUnavailable
from app.db.trainings import ClaimedTraining

CANCELLED = "cancel requested"
STOPPED = "trainer stopped"
LOST = "lease lost"

# Cancellation is seen and progress shown within this time, however long the lease is.
LONGEST_BEAT_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Lease:
    """A context: while it is open the claim is extended, with a connection of the thread's own.

    Args:
        seconds: how long a claim lives without a sign of life.
        stop: set when the process is to end.
    """

    def __init__(
        self, store: Store, claim: ClaimedTraining, *, seconds: float, clock: Clock, stop: threading.Event | None = None
    ) -> None:
        self._store = store
        self._claim = claim
        self._seconds = seconds
        self._clock = clock
        self._stop = stop or threading.Event()
        self._closed = threading.Event()
        self._reason: str | None = None
        self._progress: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, name="training-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def stop_reason(self) -> str | None:
        """Why the training is to stop, or None. Quick: called after every batch of a fit."""
        return self._reason or (STOPPED if self._stop.is_set() else None)

    def report(self, phase: str, epoch: int, epochs: int, loss: float | None, eta_seconds: float | None) -> None:
        """Take note of progress; the next heartbeat writes it."""
        self._progress = {"phase": phase, "epoch": epoch, "epochs": epochs, "loss": loss, "eta_seconds": eta_seconds}

    def _run(self) -> None:
        beat = min(LONGEST_BEAT_SECONDS, self._seconds / 3)
        held_until = time.monotonic() + self._seconds
        while not self._closed.wait(beat):
            asked = time.monotonic()
            try:
                sign = self._beat()
            except Exception as error:  # a thread that dies would let the lease lapse unseen
                if not isinstance(error, StoreUnavailable):
                    _log.exception("heartbeat_failed", training=self._claim.id)
                # The store may be back before the lease ends; after that another trainer may have taken over unseen.
                if time.monotonic() >= held_until:
                    self._reason = LOST
                    return
                continue
            if not sign.ours:
                self._reason = LOST
                return
            held_until = asked + self._seconds
            if sign.cancel_requested and self._reason is None:
                self._reason = CANCELLED

    def _beat(self) -> trainings.Heartbeat:
        with self._store.write() as connection:
            return trainings.heartbeat(
                connection,
                self._claim,
                now_us=self._clock(),
                lease_us=round(self._seconds * MICROSECONDS),
                **self._progress,
            )
