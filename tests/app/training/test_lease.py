"""Who holds a training, and how the holder learns that it should stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from app.clock import MICROSECONDS, now_us
from app.db import trainings
from app.db.engine import Store
from app.db.trainings import ClaimedTraining, TrainingRow
from app.training.lease import CANCELLED, LOST, STOPPED, Lease
from tests.app.training.flaky import FlakyStore

SECONDS = 0.3


def claimed(store: Store) -> ClaimedTraining:
    with store.write() as connection:
        trainings.queue(connection, "manual", now_us=now_us())
        claim = trainings.claim(connection, "test", now_us=now_us(), lease_us=round(SECONDS * MICROSECONDS))
    assert claim is not None
    return claim


def row(store: Store, claim: ClaimedTraining) -> TrainingRow:
    with store.read() as connection:
        found = trainings.get(connection, claim.id)
    assert found is not None
    return found


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, "not within 5 s"
        time.sleep(0.01)


def test_the_lease_outlives_its_length_and_carries_progress(store: Store) -> None:
    claim = claimed(store)
    with Lease(store, claim, seconds=SECONDS, clock=now_us) as lease:
        lease.report("judge", 3, 12, 0.25, 4.5)
        time.sleep(2 * SECONDS)
        assert lease.stop_reason() is None
        found = row(store, claim)
    assert found.lease_expires_us is not None
    assert found.lease_expires_us > now_us()
    assert (found.phase, found.epoch, found.epochs, found.loss, found.eta_seconds) == ("judge", 3, 12, 0.25, 4.5)


def test_a_wish_to_cancel_is_seen(store: Store) -> None:
    claim = claimed(store)
    with Lease(store, claim, seconds=SECONDS, clock=now_us) as lease:
        with store.write() as connection:
            trainings.request_cancel(connection, claim.id, now_us=now_us())
        eventually(lambda: lease.stop_reason() == CANCELLED)


def test_the_end_of_the_process_is_a_reason_at_once(sqlite_store: Store) -> None:
    stop = threading.Event()
    with Lease(sqlite_store, claimed(sqlite_store), seconds=30, clock=now_us, stop=stop) as lease:
        assert lease.stop_reason() is None
        stop.set()
        assert lease.stop_reason() == STOPPED


def test_a_training_that_somebody_ended_is_lost(store: Store) -> None:
    claim = claimed(store)
    with Lease(store, claim, seconds=SECONDS, clock=now_us) as lease:
        with store.write() as connection:
            assert trainings.expire(connection, now_us=now_us() + 60 * MICROSECONDS) == claim.id
        eventually(lambda: lease.stop_reason() == LOST)


def test_a_store_that_is_back_before_the_lease_ends_costs_nothing(sqlite_store: Store) -> None:
    flaky = FlakyStore(sqlite_store)
    with Lease(flaky, claimed(sqlite_store), seconds=1.2, clock=now_us) as lease:
        flaky.away = True
        time.sleep(0.6)
        flaky.away = False
        time.sleep(0.8)
        assert lease.stop_reason() is None


def test_a_store_that_stays_away_longer_than_the_lease_loses_it(sqlite_store: Store) -> None:
    flaky = FlakyStore(sqlite_store)
    with Lease(flaky, claimed(sqlite_store), seconds=SECONDS, clock=now_us) as lease:
        flaky.away = True
        eventually(lambda: lease.stop_reason() == LOST)


def test_the_thread_ends_with_the_block_whatever_happened_in_it(sqlite_store: Store) -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), Lease(sqlite_store, claimed(sqlite_store), seconds=SECONDS, clock=now_us):
        raise KeyError("x")
    assert threading.active_count() == before
