"""Interactions that are older than LIKEWISE_RETENTION_DAYS go: in small batches, so that nobody's write waits long."""

from __future__ import annotations

import time

import structlog

from app.clock import DAY_US, Clock
from app.db import interactions
from app.db.engine import Store

BATCH_ROWS = 2_000
# Between two looks where nothing is left to delete.
REST_SECONDS = 60.0
# One turn; the trainer has other things to look after.
_TURN_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Retention:
    """Deletes what has become too old, whenever it is given a turn.

    Args:
        days: age at which an interaction is deleted, by its own timestamp; None keeps all of them.
        rest_seconds: how long to wait after a turn that found nothing left.
    """

    def __init__(self, store: Store, *, days: float | None, clock: Clock, rest_seconds: float = REST_SECONDS) -> None:
        self._store = store
        self._days = days
        self._clock = clock
        self._rest_seconds = rest_seconds
        self._again_at = 0.0

    def turn(self) -> int:
        """Delete for up to a second, each batch in a transaction of its own; returns how many rows went.

        Raises: StoreUnavailable, SchemaOutdated.
        """
        if self._days is None or time.monotonic() < self._again_at:
            return 0
        now = self._clock()
        before_us = now - round(self._days * DAY_US)
        until = time.monotonic() + _TURN_SECONDS
        total = 0
        while time.monotonic() < until:
            with self._store.write() as connection:
                deleted = interactions.delete_expired(connection, before_us=before_us, limit=BATCH_ROWS, now_us=now)
            total += deleted
            if deleted < BATCH_ROWS:
                self._again_at = time.monotonic() + self._rest_seconds
                break
        if total:
            _log.info("interactions_expired", rows=total)
        return total
