"""The trainer as a whole: what starts it, what stops it, what it survives."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.clock import now_us
from app.db import migrate, models, tables, trainings
from app.db.engine import Store, open_store
from app.db.interactions import NewInteraction
from app.db.trainings import LEASE_EXPIRED, TrainingActive, TrainingRow
from app.db.watermark import Watermark
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training import recipe
from app.training.lease import CANCELLED, STOPPED
from app.training.loop import TrainingLoop, run_trainer, train_now
from app.training.recipe import Fitted
from tests.app.training.conftest import two_tastes
from tests.app.training.flaky import FlakyStore

Fill = Callable[[Store, list[NewInteraction]], None]


@contextmanager
def running(
    settings: Settings, store: Store, snapshots: SnapshotStore, fit: recipe.Fit = recipe.fit
) -> Iterator[threading.Event]:
    """A loop in a thread; it must end within two seconds after the block."""
    stop = threading.Event()
    loop = TrainingLoop(settings, store, snapshots, stop=stop, fit=fit, poll_seconds=0.05)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(timeout=2)
        assert not thread.is_alive()


class EndlessFit:
    """A fit that goes on until it is told to stop."""

    def __init__(self) -> None:
        self.began = threading.Event()

    def __call__(self, *_: Any, check: Callable[[], None], **__: Any) -> Fitted:
        self.began.set()
        while True:
            check()
            time.sleep(0.01)


def rows_of(store: Store) -> list[TrainingRow]:
    with store.read() as connection:
        return trainings.page(connection, limit=10)


def eventually(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def ended(store: Store) -> Callable[[], bool]:
    return lambda: any(row.finished_us is not None for row in rows_of(store))


def test_enough_rows_start_the_first_training_by_themselves(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    with running(hurried, store, snapshots):
        time.sleep(0.1)
        assert rows_of(store) == []
        fill(store, two_tastes())
        eventually(ended(store))

    (row,) = rows_of(store)
    assert (row.trigger, row.status, row.model_version, row.reason, row.error) == ("rows", "succeeded", 1, None, None)


def of_another_release(root: Path) -> None:
    for manifest in root.glob("models/*/manifest.json"):
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(told | {"schema": told["schema"] - 1}))


@pytest.mark.parametrize("spoil", [shutil.rmtree, of_another_release], ids=["gone", "of another release"])
def test_a_model_whose_snapshot_cannot_be_read_is_made_again(
    sqlite_store: Store,
    hurried: Settings,
    snapshots: SnapshotStore,
    fill: Fill,
    spoil: Callable[[Path], None],
) -> None:
    fill(sqlite_store, two_tastes())
    with running(hurried, sqlite_store, snapshots):
        eventually(ended(sqlite_store))
    spoil(snapshots.root)
    with sqlite_store.write() as connection:
        # Its rest is over.
        connection.execute(sa.update(tables.trainings).values(started_us=1, heartbeat_us=1, finished_us=1))

    with running(hurried.model_copy(update={"training_interval_seconds": 10**9}), sqlite_store, snapshots):
        eventually(lambda: rows_of(sqlite_store)[0].model_version == 2)

    assert [row.trigger for row in rows_of(sqlite_store)] == ["lost", "rows"]


def test_a_queued_training_is_carried_out_with_its_config_and_a_skip_says_the_numbers(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes()[:50])
    with store.write() as connection:
        trainings.queue(connection, "manual", {"seed": 5}, now_us=now_us())

    with running(hurried, store, snapshots):
        eventually(ended(store))

    (row,) = rows_of(store)
    assert (row.status, row.rows, row.config) == ("skipped", 50, {"seed": 5})
    assert row.reason is not None
    assert "50 of the 100 interactions" in row.reason
    assert row.watermark is not None


def test_the_end_of_the_trainer_cancels_the_training_within_seconds_and_says_so(
    store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    fit = EndlessFit()

    with running(settings, store, snapshots, fit):
        assert fit.began.wait(60)

    (row,) = rows_of(store)
    assert (row.status, row.reason) == ("cancelled", STOPPED)


def test_a_cancelled_training_stops_and_the_trainer_goes_on(
    store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    fit = EndlessFit()

    with running(settings, store, snapshots, fit):
        assert fit.began.wait(60)
        with store.write() as connection:
            assert trainings.request_cancel(connection, rows_of(store)[0].id, now_us=now_us())
        eventually(ended(store), seconds=3)
        fit.began.clear()
        with store.write() as connection:
            trainings.queue(connection, "manual", now_us=now_us())
        assert fit.began.wait(60)

    second, first = rows_of(store)
    assert (first.status, first.reason) == ("cancelled", CANCELLED)
    assert (second.status, second.reason) == ("cancelled", STOPPED)


def test_a_training_whose_trainer_vanished_is_ended_and_made_up_for(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    with store.write() as connection:
        trainings.queue(connection, "rows", now_us=now_us())
        assert trainings.claim(connection, "vanished", now_us=now_us(), lease_us=1) is not None
    loop = TrainingLoop(hurried, store, snapshots, stop=threading.Event())

    assert loop.step() is None
    outcome = loop.step()

    assert outcome is not None
    assert (outcome.status, outcome.version) == ("succeeded", 1)
    second, first = rows_of(store)
    assert (first.status, first.reason) == ("failed", LEASE_EXPIRED)
    assert second.trigger == "retry"


def test_a_running_training_of_another_trainer_is_left_alone(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    with store.write() as connection:
        trainings.queue(connection, "rows", now_us=now_us())
        assert trainings.claim(connection, "other", now_us=now_us(), lease_us=30 * 10**6) is not None

    assert TrainingLoop(hurried, store, snapshots, stop=threading.Event()).step() is None

    (row,) = rows_of(store)
    assert (row.status, row.lease_owner) == ("running", "other")


def test_dry_runs_and_trainings_cancelled_in_the_queue_do_not_hold_the_first_training_back(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    loop = TrainingLoop(hurried, sqlite_store, snapshots, stop=threading.Event())
    with sqlite_store.write() as connection:
        trainings.queue(connection, "manual", now_us=now_us(), dry_run=True)
    dry = loop.step()
    with sqlite_store.write() as connection:
        cancelled = trainings.queue(connection, "manual", now_us=now_us())
        assert trainings.request_cancel(connection, cancelled, now_us=now_us())

    outcome = loop.step()

    assert dry is not None
    assert dry.version is None
    assert outcome is not None
    assert outcome.version == 1
    assert rows_of(sqlite_store)[0].trigger == "rows"


def test_of_two_trainers_one_gets_the_training(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    with running(hurried, store, snapshots), running(hurried, store, snapshots):
        fill(store, two_tastes())
        eventually(ended(store))

    assert [row.status for row in rows_of(store)] == ["succeeded"]


def test_a_store_that_is_away_is_waited_for(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    flaky = FlakyStore(sqlite_store)
    flaky.away = True

    with running(hurried, flaky, snapshots):
        time.sleep(0.2)
        flaky.away = False
        eventually(ended(sqlite_store))

    assert rows_of(sqlite_store)[0].status == "succeeded"


def test_a_fit_that_fails_leaves_a_row_that_says_why_and_no_new_try_at_once(
    sqlite_store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    def failing(*_: Any, **__: Any) -> Fitted:
        raise MemoryError("no room for the vectors")

    fill(sqlite_store, two_tastes())
    loop = TrainingLoop(settings, sqlite_store, snapshots, stop=threading.Event(), fit=failing)

    loop.step()
    loop.step()

    (row,) = rows_of(sqlite_store)
    assert (row.status, row.error) == ("failed", "MemoryError: no room for the vectors")
    with sqlite_store.read() as connection:
        assert models.active(connection) is None


@pytest.mark.slow
def test_after_a_restore_of_an_older_copy_the_trainer_trains_by_itself(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    settings = hurried.model_copy(update={"training_min_new_interactions": 10**6})
    loop = TrainingLoop(settings, store, snapshots, stop=threading.Event())
    assert loop.step() is not None
    ahead = Watermark(10**6, 10**6, None if store.dialect == "sqlite" else "900000000:900000000:")
    with store.write() as connection:
        connection.execute(sa.update(tables.trainings).values(watermark=ahead.to_json()))
        if store.dialect == "postgresql":
            connection.execute(sa.update(tables.interactions).values(xact=800_000_000))

    outcome = loop.step()

    assert outcome is not None
    assert (outcome.status, outcome.rows) == ("succeeded", len(two_tastes()))
    assert rows_of(store)[0].trigger == "rows"


@pytest.fixture
def own_store(hurried: Settings) -> Iterator[Store]:
    """The store that the settings name."""
    store = open_store(hurried.database_url)
    migrate.upgrade(store)
    yield store
    store.dispose()


def test_training_now_reports_progress_and_returns_the_outcome(own_store: Store, hurried: Settings, fill: Fill) -> None:
    fill(own_store, two_tastes())
    phases: list[str] = []

    outcome = train_now(hurried, on_progress=lambda phase, *_: phases.append(phase))

    assert (outcome.status, outcome.version) == ("succeeded", 1)
    assert list(dict.fromkeys(phases)) == ["read", "choose", "judge", "refit", "save", "publish"]
    assert rows_of(own_store)[0].trigger == "cli"


def test_training_now_is_refused_while_another_one_is_queued(own_store: Store, hurried: Settings) -> None:
    with own_store.write() as connection:
        queued = trainings.queue(connection, "manual", now_us=now_us())

    with pytest.raises(TrainingActive) as refused:
        train_now(hurried)
    assert refused.value.training_id == queued


def test_the_trainer_opens_the_store_of_its_settings(own_store: Store, hurried: Settings, fill: Fill) -> None:
    fill(own_store, two_tastes())
    stop = threading.Event()
    thread = threading.Thread(target=run_trainer, args=(hurried, stop))
    thread.start()
    try:
        eventually(ended(own_store))
    finally:
        stop.set()
        thread.join(timeout=2)
    assert not thread.is_alive()
    assert rows_of(own_store)[0].status == "succeeded"
