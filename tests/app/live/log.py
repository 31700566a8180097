"""The log of a store in memory, with what the feed and a training read of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from app.db.append import StoredInteraction
from app.db.feed import FeedBatch
from app.db.watermark import START, Watermark
from app.live.held import Base
from tests.app.live.events import base, batch


class Change(NamedTuple):
    id: int
    xact: int
    kind: str
    key: int


class Read(NamedTuple):
    """What a reader saw: the batch since its watermark, and all rows that there were."""

    batch: FeedBatch
    rows: dict[int, StoredInteraction]


class Log:
    """Transactions may stay open while others commit, as on PostgreSQL; `ordered`, none does, as on SQLite."""

    def __init__(self, *, ordered: bool) -> None:
        self.ordered = ordered
        self.rows: dict[int, StoredInteraction] = {}
        self.open: dict[int, list[StoredInteraction]] = {}
        self._changes: list[Change] = []
        self._last_id = 0
        self._last_xact = 0

    def begin(self, facts: Iterable[tuple[int, int, str, int]]) -> int:
        """Write rows of (user key, item key, type, time); returns the transaction."""
        xact = self._transaction()
        self.open[xact] = []
        for user_key, item_key, event_type, at in facts:
            self._last_id += 1
            # The value tells rows apart wherever they turn up.
            value = float(self._last_id)
            stored = StoredInteraction(self._last_id, xact, user_key, item_key, event_type, value, at)
            self.open[xact].append(stored)
        return xact

    def commit(self, xact: int) -> list[StoredInteraction]:
        rows = self.open.pop(xact)
        self.rows |= {row.id: row for row in rows}
        return rows

    def delete(self, row_id: int) -> None:
        user_key = self.rows.pop(row_id).user_key
        self._note("interactions_deleted", user_key)

    def expire(self, before_us: int) -> None:
        doomed = [row.id for row in self.rows.values() if row.occurred_us < before_us]
        for row_id in doomed:
            del self.rows[row_id]
        if doomed:
            self._note("interactions_expired", before_us)

    def now(self) -> Watermark:
        changed = len(self._changes)
        if self.ordered:
            return Watermark(self._last_id, changed, None)
        running = ",".join(map(str, sorted(self.open)))
        end = self._last_xact + 1
        return Watermark(self._last_id, changed, f"{min(self.open, default=end)}:{end}:{running}")

    def read(self, since: Watermark) -> Read:
        news = [] if since == START else [change for change in self._changes if change.id > since.last_change_id]
        deleted = {change.key: [] for change in news if change.kind == "interactions_deleted"}
        rows = []
        for row in self.rows.values():
            if row.user_key in deleted:
                deleted[row.user_key].append(row)
            elif not since.covers(row.id, row.xact):
                rows.append(row)
        expired = [change.key for change in news if change.kind == "interactions_expired"]
        return Read(
            batch(*rows, watermark=self.now(), deleted=deleted, expired_us=max(expired, default=None)),
            dict(self.rows),
        )

    def base(self, upto: Watermark, name: str) -> Base:
        """The history that a training writes that read up to there."""
        rows = [row for row in self.rows.values() if upto.covers(row.id, row.xact)]
        return base(*rows, name=name, watermark=upto)

    def _note(self, kind: str, key: int) -> None:
        self._changes.append(Change(len(self._changes) + 1, self._transaction(), kind, key))

    def _transaction(self) -> int:
        self._last_xact += not self.ordered
        return self._last_xact
