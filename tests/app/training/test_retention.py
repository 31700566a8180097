"""Retention: what is too old goes, in batches, and the trainer sees to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from app.clock import DAY_US, now_us
from app.db import interactions
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training import retention
from app.training.loop import TrainingLoop
from app.training.retention import Retention

Fill = Callable[[Store, list[NewInteraction]], None]
NOW_US = 100 * DAY_US


def aged(*days: float, now: int = NOW_US) -> list[NewInteraction]:
    return [NewInteraction("u", f"i{age}", "click", 1.0, now - round(age * DAY_US)) for age in days]


def left(store: Store) -> int:
    with store.read() as connection:
        return interactions.count(connection)


def test_only_what_is_older_than_the_days_goes_and_batches_follow_each_other(
    store: Store, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 2)
    fill(store, aged(1, 6.9, 7.1, 8, 9, 30, 40))
    assert Retention(store, days=7, clock=lambda: NOW_US).turn() == 5
    assert left(store) == 2


def test_it_rests_once_nothing_is_left_and_goes_on_after_it(sqlite_store: Store, fill: Fill) -> None:
    long, short = (
        Retention(sqlite_store, days=7, clock=lambda: NOW_US, rest_seconds=seconds) for seconds in (600, 0.05)
    )
    assert long.turn() == short.turn() == 0
    fill(sqlite_store, aged(8))
    assert long.turn() == 0
    time.sleep(0.06)
    assert short.turn() == 1


def test_without_days_everything_stays(sqlite_store: Store, fill: Fill) -> None:
    fill(sqlite_store, aged(99))
    assert Retention(sqlite_store, days=None, clock=lambda: NOW_US).turn() == 0
    assert left(sqlite_store) == 1


def test_the_trainer_sees_to_it(hurried: Settings, sqlite_store: Store, snapshots: SnapshotStore, fill: Fill) -> None:
    fill(sqlite_store, aged(1, 8, now=now_us()))
    stop = threading.Event()
    settings = hurried.model_copy(update={"retention_days": 7})
    loop = TrainingLoop(settings, sqlite_store, snapshots, stop=stop, poll_seconds=0.05)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while left(sqlite_store) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join(timeout=5)
