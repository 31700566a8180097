"""The last step of a training when the store is not quite there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from app.clock import now_us
from app.db import models, trainings
from app.db.engine import Store, StoreUnavailable
from app.db.trainings import ClaimedTraining, LeaseLost
from app.db.watermark import START
from app.snapshots import SnapshotStore
from app.training import publication
from app.training.lease import LOST, STOPPED
from app.training.publication import Version
from tests.app.training.flaky import FlakyStore


@dataclass(frozen=True)
class Saved:
    """A claimed training whose model is on disk."""

    claim: ClaimedTraining
    version: Version


@pytest.fixture
def saved(sqlite_store: Store, snapshots: SnapshotStore) -> Saved:
    with sqlite_store.write() as connection:
        trainings.queue(connection, "manual", now_us=now_us())
        claim = trainings.claim(connection, "test", now_us=now_us(), lease_us=10**9)
    assert claim is not None
    arrays = {"anything": np.zeros(3)}
    snapshots.save("history", "one", arrays, store_id="s", created_at="t", facts={})
    folder, sha256 = snapshots.save("model", "one", arrays, store_id="s", created_at="t", facts={})
    return Saved(claim, Version(folder, sha256, {}, {}, START, users=1, items=1, rows=1, seed=1))


def published(
    store: Store, saved: Saved, snapshots: SnapshotStore, should_stop: Callable[[], str | None] = lambda: None
) -> int:
    return publication.publish(store, saved.claim, snapshots, saved.version, clock=now_us, should_stop=should_stop)


def test_a_store_that_comes_back_gets_the_version(sqlite_store: Store, saved: Saved, snapshots: SnapshotStore) -> None:
    flaky = FlakyStore(sqlite_store)
    flaky.away = True
    back = threading.Timer(0.2, lambda: setattr(flaky, "away", False))
    back.start()

    assert published(flaky, saved, snapshots) == 1
    back.join()


def test_a_commit_whose_answer_got_lost_is_not_made_twice(
    sqlite_store: Store, saved: Saved, snapshots: SnapshotStore
) -> None:
    flaky = FlakyStore(sqlite_store)
    flaky.lose_answers = 1

    # The training is over by then, so its lease looks lost; the store knows better.
    assert published(flaky, saved, snapshots, should_stop=lambda: LOST) == 1

    with sqlite_store.read() as connection:
        assert [row.version for row in models.page(connection, limit=5)] == [1]
    assert snapshots.names("model") == ["one"]


def test_nobody_waits_for_the_store_when_the_trainer_is_to_end_and_the_model_is_kept_for_it_may_be_published(
    sqlite_store: Store, saved: Saved, snapshots: SnapshotStore
) -> None:
    flaky = FlakyStore(sqlite_store)
    flaky.lose_answers = 1

    with pytest.raises(StoreUnavailable):
        published(flaky, saved, snapshots, should_stop=lambda: STOPPED)
    assert snapshots.names("model") == snapshots.names("history") == ["one"]


def test_a_refused_version_leaves_no_files(sqlite_store: Store, saved: Saved, snapshots: SnapshotStore) -> None:
    with sqlite_store.write() as connection:
        trainings.finish(connection, saved.claim, "failed", now_us=now_us())

    with pytest.raises(LeaseLost):
        published(sqlite_store, saved, snapshots)
    assert snapshots.names("model") == snapshots.names("history") == []


def test_names_sort_by_training_also_where_the_clock_was_put_back() -> None:
    moments = [1_700_000_001_000_000, 1_700_000_000_000_001, 1_700_000_000_000_000]

    names = [publication.name(moment, 9 + place) for place, moment in enumerate(moments)]

    assert names[1] == "000000000010-20231114T221320.000001Z"
    assert names == sorted(names)


def test_a_trainer_that_wakes_late_removes_only_what_is_older_than_its_own(
    sqlite_store: Store, snapshots: SnapshotStore
) -> None:
    names = [publication.name(1_700_000_000_000_000, training_id) for training_id in (1, 2, 3, 4)]
    for name in names:
        stamp = {"store_id": sqlite_store.store_id(), "created_at": "t"}
        snapshots.save("model", name, {"anything": np.zeros(3)}, facts={}, **stamp)

    publication.prune(sqlite_store, snapshots, before=names[1], models_kept=1)

    assert snapshots.names("model") == names[1:]
