"""The one thread that writes interactions: whoever waits shares a transaction, and so one sync of the disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
import structlog

from app.db import tables
from app.db.engine import SchemaOutdated, Store, StoreBusy, StoreConflict, StoreLocked, StoreUnavailable
from app.db.interactions import Appended, NewInteraction, append_many
from app.db.known_keys import KnownKeys

_log = structlog.get_logger(__name__)

# Rows of one shared transaction: beyond this a commit takes longer than those who wait for it should.
_GROUP_ROWS = 10_000
_CONFLICT_ATTEMPTS = 3
# A large upload holds its event ids until it is committed, and who sends one of them again waits for that. Those who
# share a transaction wait no longer than this for one of them, and that one, alone, then a little longer.
_SHARED_LOCK_SECONDS = 0.5
_OWN_LOCK_SECONDS = 2.0
_NEXT_LOCK_SECONDS = 0.1


class Outcome(Protocol):
    """Where the writer's thread leaves what became of a submission; a Future is one."""

    def set_running_or_notify_cancel(self) -> bool:
        """Its turn has come; False where nobody wants it any more."""

    def set_result(self, result: Appended, /) -> None:
        """It is stored."""

    def set_exception(self, exception: BaseException | None, /) -> None:
        """It is not."""

    def done(self) -> bool:
        """Whether one of the two was said."""


@dataclass(frozen=True, slots=True)
class _Submission:
    rows: Sequence[NewInteraction]
    received_us: int
    future: Outcome


class InteractionWriter:
    """Stores submissions in the order they came; each one wholly or not at all.

    A future resolves after the commit and after `on_commit` was called (in the writer's thread) with what became of all
    that shared the transaction. It fails with StoreUnavailable while the store is away; the writer goes on and succeeds
    again when the store is back. A future that is cancelled before its turn is left out.
    """

    def __init__(self, store: Store, *, on_commit: Callable[[Appended], None], max_pending: int = 10_000) -> None:
        self._store = store
        self._on_commit = on_commit
        self._max_pending = max_pending
        self._users, self._items = KnownKeys(tables.users), KnownKeys(tables.items)
        self._waiting: deque[_Submission] = deque()
        self._pending_rows = 0
        self._changed = threading.Condition()
        self._accepting = False
        self._give_up = False
        self._thread = threading.Thread(target=self._run, name="interaction-writer", daemon=True)

    def start(self) -> None:
        """Begin to take submissions; once."""
        self._accepting = True
        self._thread.start()

    def submit(self, rows: Sequence[NewInteraction], *, received_us: int) -> Future[Appended]:
        """Have `rows` stored; returns at once.

        Raises: StoreBusy if more than `max_pending` rows would wait (a single larger submission is taken when none
        wait); StoreUnavailable when the writer does not run.
        """
        future: Future[Appended] = Future()
        self.submit_for(future, rows, received_us=received_us)
        return future

    def submit_for(self, outcome: Outcome, rows: Sequence[NewInteraction], *, received_us: int) -> None:
        """As `submit`, for whoever has another place than a Future for the outcome."""
        submission = _Submission(rows, received_us, outcome)
        with self._changed:
            if not self._accepting:
                raise StoreUnavailable("uploads are not taken: the service is starting or stopping")
            if self._pending_rows and self._pending_rows + len(rows) > self._max_pending:
                raise StoreBusy(
                    f"{self._pending_rows} interactions wait to be stored; the limit is {self._max_pending}"
                )
            self._pending_rows += len(rows)
            self._waiting.append(submission)
            self._changed.notify_all()

    @property
    def pending_rows(self) -> int:
        """Rows that were submitted and are not yet stored or refused."""
        return self._pending_rows

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Take no more, store what waits, and end. What is not stored within the time fails with StoreUnavailable."""
        with self._changed:
            self._accepting = False
            self._changed.notify_all()
        if not self._thread.is_alive():
            return
        self._thread.join(timeout_seconds)
        with self._changed:
            self._give_up = True
            left, self._waiting = self._waiting, deque()
        for submission in left:
            if submission.future.set_running_or_notify_cancel():
                submission.future.set_exception(StoreUnavailable("the service stopped before this was stored"))

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._store_group(group)
            except Exception as error:  # whatever it was: those who wait must hear of it, and the next ones be served
                _log.exception("writer_failed")
                _fail(group, error)
            with self._changed:
                self._pending_rows -= sum(len(submission.rows) for submission in group)

    def _next_group(self) -> list[_Submission]:
        """What waits, as far as it fits into one transaction; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._accepting)
            group: list[_Submission] = []
            rows = 0
            while self._waiting and not self._give_up:
                if group and rows + len(self._waiting[0].rows) > _GROUP_ROWS:
                    break
                submission = self._waiting.popleft()
                rows += len(submission.rows)
                group.append(submission)
            return group

    def _store_group(self, group: list[_Submission]) -> None:
        live = [submission for submission in group if submission.future.set_running_or_notify_cancel()]
        if not live:
            return
        try:
            self._commit(live, lock_seconds=_SHARED_LOCK_SECONDS)
        except StoreLocked:
            self._store_each(live)
        except (StoreUnavailable, SchemaOutdated) as error:
            _fail(live, error)
        except Exception:  # one of them upset the database: each gets a turn of its own
            self._store_each(live)

    def _store_each(self, submissions: list[_Submission]) -> None:
        lock_seconds = _OWN_LOCK_SECONDS
        for submission in submissions:
            try:
                self._commit([submission], lock_seconds=lock_seconds)
            except Exception as error:
                # Whoever waits is told the whole of it; here only that it was.
                _log.warning("submission_failed", rows=len(submission.rows), error=type(error).__name__)
                _fail([submission], error)
                if isinstance(error, StoreLocked):
                    lock_seconds = _NEXT_LOCK_SECONDS

    def _commit(self, submissions: list[_Submission], *, lock_seconds: float) -> None:
        outcomes = self._append(submissions, lock_seconds)
        together = _together(outcomes)
        # Only now: what a transaction that fails has made is not there.
        self._users.keep({user_id: key for key, user_id in together.user_ids.items()})
        self._items.keep({item_id: key for key, item_id in together.item_ids.items()})
        try:
            self._on_commit(together)
        except Exception:  # it is stored: the caller must hear that, and the feed will bring the rows here too
            _log.exception("on_commit_failed")
        for submission, outcome in zip(submissions, outcomes, strict=True):
            submission.future.set_result(outcome)

    def _append(self, submissions: list[_Submission], lock_seconds: float) -> list[Appended]:
        batches = [(submission.rows, submission.received_us) for submission in submissions]
        for attempt in range(1, _CONFLICT_ATTEMPTS + 1):
            try:
                with self._store.write(lock_seconds=lock_seconds) as connection:
                    return append_many(connection, batches, users=self._users, items=self._items)
            except (StoreConflict, sa.exc.IntegrityError):
                # Another transaction went first, or a user whose key was kept has been erased.
                self._users.forget()
                self._items.forget()
                if attempt == _CONFLICT_ATTEMPTS:
                    raise
                time.sleep(0.01 * attempt)
        raise AssertionError("unreachable")


def _together(outcomes: list[Appended]) -> Appended:
    """What became of several submissions, as of one."""
    if len(outcomes) == 1:
        return outcomes[0]
    user_ids: dict[int, str] = {}
    item_ids: dict[int, str] = {}
    for outcome in outcomes:
        user_ids |= outcome.user_ids
        item_ids |= outcome.item_ids
    return Appended(
        accepted=sum(outcome.accepted for outcome in outcomes),
        duplicates=sum(outcome.duplicates for outcome in outcomes),
        rows=[row for outcome in outcomes for row in outcome.rows],
        user_ids=user_ids,
        item_ids=item_ids,
    )


def _fail(submissions: Sequence[_Submission], error: Exception) -> None:
    for submission in submissions:
        if not submission.future.done():
            submission.future.set_exception(error)
