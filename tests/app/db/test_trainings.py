from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.db import tables, trainings
from app.db.engine import Store
from app.db.trainings import TrainingActive, TrainingRow


def queue(store: Store, *, now_us: int = 100, **options: bool) -> int:
    with store.write() as connection:
        return trainings.queue(connection, "api", {"n_iter": 3}, now_us=now_us, note="please", **options)


def get(store: Store, training_id: int) -> TrainingRow:
    with store.read() as connection:
        found = trainings.get(connection, training_id)
    assert found is not None
    return found


def end(store: Store, *, now_us: int = 300) -> None:
    with store.write() as connection:
        claimed = trainings.claim(connection, "t", now_us=now_us, lease_us=10)
        assert claimed is not None
        trainings.finish(connection, claimed, "skipped", now_us=now_us)


def test_a_queued_training_says_what_was_asked_for(store: Store) -> None:
    found = get(store, queue(store, force=True, tune=True))
    assert (found.status, found.trigger, found.config, found.note) == ("queued", "api", {"n_iter": 3}, "please")
    assert (found.force, found.dry_run, found.tune, found.cancel_requested) == (True, False, True, False)
    assert (found.created_us, found.started_us, found.finished_us) == (100, None, None)


def test_while_one_is_queued_or_runs_another_is_refused_and_named(store: Store) -> None:
    first = queue(store)
    with pytest.raises(TrainingActive) as caught:
        queue(store)
    assert caught.value.training_id == first
    with store.write() as connection:
        trainings.claim(connection, "t", now_us=200, lease_us=1_000)
    with pytest.raises(TrainingActive):
        queue(store, now_us=300)
    with store.read() as connection:
        active = trainings.active(connection)
    assert active is not None
    assert active.id == first


def test_after_it_ended_the_next_may_be_queued(store: Store) -> None:
    first = queue(store)
    end(store)
    assert queue(store, now_us=400) > first


def test_a_running_one_whose_lease_is_over_does_not_block_the_next(store: Store) -> None:
    first = queue(store)
    with store.write() as connection:
        trainings.claim(connection, "sleeper", now_us=200, lease_us=50)
    second = queue(store, now_us=251)
    found = get(store, first)
    assert (found.status, found.finished_us) == ("failed", 251)
    assert "lease expired" in (found.error or "")
    assert get(store, second).status == "queued"


def test_of_many_who_ask_at_once_one_is_queued_and_the_others_are_told_which(store: Store) -> None:
    barrier = threading.Barrier(6)

    def ask() -> tuple[bool, int]:
        barrier.wait(10)
        try:
            return True, queue(store)
        except TrainingActive as error:
            return False, error.training_id

    with ThreadPoolExecutor(6) as pool:
        answers = [future.result(30) for future in [pool.submit(ask) for _ in range(6)]]
    assert [won for won, _ in answers].count(True) == 1
    assert len({training_id for _, training_id in answers}) == 1


def test_the_database_itself_refuses_a_second_active_row(store: Store) -> None:
    queue(store)
    rogue = {"active": 1, "status": "queued", "trigger": "api", "created_us": 1}
    with pytest.raises(sa.exc.IntegrityError), store.write() as connection:
        connection.execute(sa.insert(tables.trainings).values(rogue))


def test_pages_give_the_newest_first(store: Store) -> None:
    ids = []
    for n in range(5):
        ids.append(queue(store, now_us=n))
        end(store)
    with store.read() as connection:
        first = trainings.page(connection, limit=3)
        second = trainings.page(connection, limit=3, before_id=first[-1].id)
        last = trainings.last_finished(connection)
    assert [one.id for one in [*first, *second]] == ids[::-1]
    assert last is not None
    assert last.id == ids[-1]


def test_an_unknown_training_is_none(store: Store) -> None:
    with store.read() as connection:
        assert trainings.get(connection, 12) is None
        assert trainings.last_finished(connection) is None
        assert trainings.active(connection) is None


def test_cancelling_ends_a_queued_one_and_asks_a_running_one(store: Store) -> None:
    first = queue(store)
    with store.write() as connection:
        assert trainings.request_cancel(connection, first, now_us=150) is True
        assert trainings.request_cancel(connection, first, now_us=160) is False
        assert trainings.request_cancel(connection, first + 1, now_us=160) is None
    found = get(store, first)
    assert (found.status, found.finished_us) == ("cancelled", 150)
    second = queue(store)
    with store.write() as connection:
        claimed = trainings.claim(connection, "t", now_us=200, lease_us=50)
        assert claimed is not None
        assert trainings.heartbeat(connection, claimed, now_us=201, lease_us=50) == (True, False)
        assert trainings.request_cancel(connection, second, now_us=202) is True
        assert trainings.heartbeat(connection, claimed, now_us=203, lease_us=50) == (True, True)
    assert get(store, second).status == "running"


def test_the_last_that_began_is_found_behind_any_number_of_dry_runs_and_of_those_cancelled_in_the_queue(
    store: Store,
) -> None:
    began = queue(store)
    end(store)
    for _ in range(12):
        queue(store, dry_run=True)
        end(store)
        cancelled = queue(store)
        with store.write() as connection:
            assert trainings.request_cancel(connection, cancelled, now_us=400)

    with store.read() as connection:
        found = trainings.last_begun(connection)
    assert found is not None
    assert found.id == began
