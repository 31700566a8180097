"""A user who is erased while a training runs is in nothing that it publishes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app.clock import now_us
from app.db import erasure, interactions, trainings, users
from app.db.engine import Store
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training.loop import _new_rows, claim_training
from app.training.run import run_training
from model.histories import Histories
from model.served import ServedModel
from tests.app.training.conftest import START_US, two_tastes
from tests.app.training.flaky import FlakyStore

ERASED = ("red-3", "blue-7")


def fill(store: Store) -> None:
    with store.write() as connection:
        interactions.append(connection, two_tastes(), received_us=START_US)


def keys(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {user_id: key for key, user_id in users.ids_of(connection, range(1, 500)).items()}


def published(store: Store, snapshots: SnapshotStore) -> tuple[ServedModel, Histories]:
    (name,) = snapshots.names("model")
    served, _ = snapshots.load_model(name, store.store_id())
    found = snapshots.latest_history(store.store_id(), snapshots.names("history"))
    assert found is not None
    return served, found[0]


@pytest.mark.parametrize("phase", ["choose", "refit", "save", "publish"])
def test_whoever_is_erased_in_any_phase_is_left_out(
    store: Store, settings: Settings, snapshots: SnapshotStore, phase: str
) -> None:
    fill(store)
    known = keys(store)
    left = list(ERASED)

    def erase(current: str, *_: Any) -> None:
        # The phase may come again, when the version is saved once more: then somebody else goes.
        if current == phase and left:
            with store.write() as connection:
                assert erasure.erase(connection, left.pop(), now_us=now_us()) is not None

    claim = claim_training(settings, store, owner="test", clock=now_us, trigger="cli", config={"n_iter": 1})
    assert claim is not None
    outcome = run_training(settings, store, claim, snapshots=snapshots, on_progress=erase, should_stop=lambda: None)

    assert (outcome.status, left) == ("succeeded", []), outcome
    served, histories = published(store, snapshots)
    gone = {known[user_id] for user_id in ERASED}
    assert not gone & set(served.user_keys.tolist())
    assert not gone & set(histories.user_keys.tolist())
    assert [histories.users.number(user_id) for user_id in ERASED] == [None, None]
    assert len(served.user_keys) == len(known) - len(gone)
    assert snapshots.names("model") == snapshots.names("history")


def test_whoever_is_erased_while_the_store_is_away_before_the_publication_is_left_out(
    store: Store, settings: Settings, snapshots: SnapshotStore
) -> None:
    fill(store)
    known, flaky, done = keys(store), FlakyStore(store), []

    def erase(phase: str, *_: Any) -> None:
        if phase == "publish" and not done:
            with store.write() as connection:
                done.append(erasure.erase(connection, "red-3", now_us=now_us()))
            flaky.away = True
            threading.Timer(0.2, lambda: setattr(flaky, "away", False)).start()

    claim = claim_training(settings, store, owner="test", clock=now_us, trigger="cli", config={"n_iter": 1})
    assert claim is not None
    outcome = run_training(settings, flaky, claim, snapshots=snapshots, on_progress=erase, should_stop=lambda: None)

    assert outcome.status == "succeeded", outcome
    served, _ = published(store, snapshots)
    assert known["red-3"] not in served.user_keys


def test_an_erasure_is_something_new_to_train_for(
    sqlite_store: Store, settings: Settings, snapshots: SnapshotStore
) -> None:
    fill(sqlite_store)
    claim = claim_training(settings, sqlite_store, owner="test", clock=now_us, trigger="cli", config={"n_iter": 1})
    assert claim is not None
    run_training(
        settings, sqlite_store, claim, snapshots=snapshots, on_progress=lambda *_: None, should_stop=lambda: None
    )
    with sqlite_store.read() as connection:
        last = trainings.last_begun(connection)
        assert _new_rows(connection, last) == 0
    with sqlite_store.write() as connection:
        erasure.erase(connection, "red-1", now_us=now_us())
    with sqlite_store.read() as connection:
        assert _new_rows(connection, last) == 1
