"""The thread that keeps a replica current: it follows the store's feed, the pointer to the model, and the keys."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from app.db import items, keys, models
from app.db.engine import SchemaOutdated, Store, StoreUnavailable
from app.db.feed import FeedBatch, read_feed
from app.db.keys import KeyRow
from app.db.watermark import START, Watermark
from app.live.freshness import fresh_candidates
from app.live.held import Base
from app.live.history import History
from app.live.live_model import ActiveModel, LiveModel
from app.snapshots import SnapshotStore
from app.threads import giving_way
from model.served import ServedModel
from model.snapshot import SnapshotError

_log = structlog.get_logger(__name__)

# Between two tries while the store is away: soon enough that recovery is seen within a second.
_RETRY_SECONDS = 1.0
# Between two tries of a snapshot that was refused: each reads and checks all of it.
_SNAPSHOT_RETRY_SECONDS = 10.0
# Fresh popularity is made again after so many times the time that it took.
_FRESH_EVERY = 20
# Where it takes longer than this, the feed is followed meanwhile.
_LONG_SECONDS = 0.05
# Rows of a dump that was put into tables that were there are looked for so often.
_FOREIGN_EVERY_SECONDS = 60.0
# Of very many new rows so many are read at a time: some fifty megabytes.
PART_ROWS = 200_000


class Refresher:
    """Polls the store every `refresh_seconds` and applies what it says to History, LiveModel and the keys.

    Reads never wait for it: while the store is away they go on from what is in memory. `problem` then says why.

    Args:
        on_keys: gets the keys when they have changed; on_refused: called at each try of a snapshot that failed.
        part_rows: of very many new rows so many are read at a time, where the store can tell what a part is.
    Attributes:
        feed_read_at: when the feed was last read (monotonic seconds); None before the first time.
    """

    def __init__(
        self,
        store: Store,
        snapshots: SnapshotStore,
        history: History,
        live: LiveModel,
        *,
        refresh_seconds: float,
        on_keys: Callable[[list[KeyRow]], None],
        on_refused: Callable[[], None] = lambda: None,
        part_rows: int = PART_ROWS,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._history = history
        self._live = live
        self._refresh_seconds = refresh_seconds
        self._on_keys = on_keys
        self._on_refused = on_refused
        self._part_rows = part_rows
        self._one_poll = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._keys_stale = True
        self._refused: _Refused | None = None
        self._freshened: tuple[int, ...] = ()
        self._fresh_again_at = 0.0
        self._fresh_took = 0.0
        self._foreign_again_at = 0.0
        self._freshener: threading.Thread | None = None
        self._swapping = threading.Lock()
        self.problem: str | None = "not read yet"
        self.feed_read_at: float | None = None

    def start(self) -> None:
        """Read everything once, so that the first request already has it, then go on in a thread."""
        self._try_poll()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when its current poll is over."""
        self._stop.set()
        for thread in (self._thread, self._freshener):
            if thread is not None and thread.is_alive():
                thread.join(timeout=30)

    async def poll_now(self) -> None:
        """See now what this worker has just committed, without waiting for the next round."""
        await asyncio.to_thread(self.poll, at_once=True)

    def poll(self, *, at_once: bool = False) -> None:
        """One round; `at_once`, whatever it costs to let everything follow. Raises: StoreUnavailable."""
        with self._one_poll:
            self._follow_feed()
            self.feed_read_at = time.monotonic()
            with self._store.read() as connection:
                active = models.active(connection)
                if self._keys_stale:
                    self._on_keys(keys.active(connection))
                    self._keys_stale = False
            self.problem = None if active is None else self._adopt_model(active)
            self._freshen(at_once=at_once)

    def _follow_feed(self) -> None:
        if self._history.watermark == START:
            self._begin()
            return
        more = True
        while more:
            batch = self._read(self._history.watermark)
            if batch.reset:
                _log.warning("store_was_restored", action="reading everything anew")
                self._store.forget_identity()
                self._begin()
                return
            # Noted before the watermark moves: a store that goes away now must not make this change of keys be
            # forgotten.
            self._keys_stale |= batch.keys_changed
            self._history.apply_feed(batch)
            more = batch.more and not self._stop.is_set()

    def _read(self, since: Watermark) -> FeedBatch:
        due = time.monotonic() >= self._foreign_again_at
        batch = read_feed(self._store, since, most_rows=self._part_rows, look_for_foreign=due)
        if due:
            self._foreign_again_at = time.monotonic() + _FOREIGN_EVERY_SECONDS
        if batch.more:
            # What the driver has read stays in cycles, twelve megabytes a part, and few objects are made besides.
            gc.collect()
        return batch

    def _begin(self) -> None:
        """Hold the newest history and what came since it; without one, everything.

        All is read before anything changes: if the store goes away meanwhile, what was held goes on.
        """
        self._keys_stale = True
        base = self._newest_base(self._snapshots.names("history")) or Base.none()
        batch = self._read(base.watermark)
        if batch.reset:
            # It was read from the store as it was before it was restored.
            base, batch = Base.none(), self._read(START)
        # In a store that was restored, keys of the model in use may belong to others.
        with self._swapping:
            self._live.swap(None)
        self._refused = None
        self._history.restart(base, batch)
        if batch.more:
            self._follow_feed()

    def _run(self) -> None:
        wait = self._refresh_seconds
        while not self._stop.wait(wait):
            wait = self._refresh_seconds if self._try_poll() else max(self._refresh_seconds, _RETRY_SECONDS)

    def _try_poll(self) -> bool:
        try:
            self.poll()
        except (StoreUnavailable, SchemaOutdated) as error:
            if self.problem is None or self.problem == "not read yet":
                _log.warning("store_away", reason=str(error))
            self.problem = str(error)
            return False
        except (
            Exception
        ) as error:  # the thread must outlive anything: a replica that stops refreshing goes stale unseen
            _log.exception("refresh_failed")
            self.problem = f"{type(error).__name__} while refreshing; see the log"
            return False
        return True

    def _adopt_model(self, row: models.ModelRow) -> str | None:
        """Answer with the version of `row`; returns why that cannot be."""
        current = self._live.current()
        if current is not None and current.version == row.version:
            return None
        refused = self._refused
        if refused is not None and refused.folder == row.folder and time.monotonic() < refused.again_at:
            return refused.reason
        try:
            served = giving_way(lambda: self._load(row))
        except (SnapshotError, OSError) as error:
            # The version that serves stays. Tried again later: a shared folder may only be late.
            if refused is None or refused.folder != row.folder:
                _log.error("snapshot_refused", version=row.version, reason=str(error))
            self._refused = _Refused(row.folder, str(error), time.monotonic() + _SNAPSHOT_RETRY_SECONDS)
            self._on_refused()
            return str(error)
        self._refused = None
        self._adopt_newer_base()
        if unnamed := giving_way(lambda: self._history.catalogue.unnamed(served.item_keys)):
            # The history that was written with this model is damaged or gone: the store still knows the names.
            with self._store.read() as connection:
                self._history.name_items(items.ids_of(connection, unnamed))
        state = self._freshness_of(row.version)
        candidates = giving_way(lambda: fresh_candidates(served, row.folder, self._history))
        with self._swapping:
            self._live.swap(ActiveModel(row.version, row.created_us, row.watermark, row.folder, candidates))
            self._freshened = state
        self._history.stop_counting()
        _log.info("model_live", version=row.version, users=len(served.user_keys), items=len(served.item_keys))
        return None

    def _freshen(self, *, at_once: bool) -> None:
        """Let popularity and new items follow what came since, in a twentieth of the time at most."""
        live = self._live.current()
        if live is None or (time.monotonic() < self._fresh_again_at and not at_once):
            return
        state = self._freshness_of(live.version)
        if state == self._freshened:
            return
        if at_once or self._fresh_took <= _LONG_SECONDS:
            self._make_fresh(live, state)
        elif self._freshener is None or not self._freshener.is_alive():
            # A million rows since the training take a second: the feed must not wait for that.
            self._freshener = threading.Thread(
                target=self._make_fresh, args=(live, state), name="freshener", daemon=True
            )
            self._freshener.start()

    def _make_fresh(self, live: ActiveModel, state: tuple[int, ...]) -> None:
        started = time.monotonic()
        candidates = fresh_candidates(live.served, live.name, self._history)
        with self._swapping:
            # Unless another version, or fresher ones, have come meanwhile.
            if self._live.current() is live:
                self._live.swap(replace(live, candidates=candidates))
                # What came while they were made is in the next ones.
                self._freshened = state
        self._fresh_took = time.monotonic() - started
        self._fresh_again_at = started + _FRESH_EVERY * self._fresh_took

    def _freshness_of(self, version: int) -> tuple[int, ...]:
        """What another tuple comes of when candidates made now would be others."""
        return self._history.changes, self._history.catalogue.version, version

    def _load(self, row: models.ModelRow) -> ServedModel:
        served, snapshot = self._snapshots.load_model(row.folder, self._store.store_id())
        if snapshot.sha256 != row.manifest_sha256:
            folder = self._snapshots.folder("model", row.folder)
            raise SnapshotError(folder, "manifest.json", "it is not the manifest that was published")
        return served

    def _adopt_newer_base(self) -> None:
        """Hold a newer history, if there is one, and what came since. A training writes it before the pointer moves."""
        names = [name for name in self._snapshots.names("history") if name > self._history.base_name]
        base = self._newest_base(names)
        if base is None:
            return
        # Read again from where that history ends: what was deleted meanwhile must not come back with it.
        batch = self._read(base.watermark)
        if batch.reset:
            return
        # Beside the one that serves: lists must not lose what a later part brings.
        newer = self._history.beside(base, batch)
        while batch.more:
            if self._stop.is_set():
                return
            batch = self._read(newer.watermark)
            if batch.reset:
                return
            newer.apply_feed(batch)
        self._keys_stale |= batch.keys_changed
        self._history.become(newer)

    def _newest_base(self, names: list[str]) -> Base | None:
        if not names:
            return None
        with self._store.read() as connection:
            # What a restored store has lost is not true any more, whatever has come since: it knows no such version.
            published = models.published(connection, names)
        store_id = self._store.store_id()
        newest = giving_way(lambda: self._snapshots.latest_history(store_id, published))
        return None if newest is None else Base(*newest)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A snapshot that could not be used, and when to try it again (monotonic seconds)."""

    folder: str
    reason: str
    again_at: float
