from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import sqlalchemy as sa

from app.db import models, tables, trainings
from app.db.engine import Store
from app.db.feed import read_feed
from app.db.models import ModelRow
from app.db.trainings import ClaimedTraining, LeaseLost, TrainingRow
from app.db.watermark import START, Watermark

LEASE = 1_000


def queue_and_claim(store: Store, owner: str = "t", *, now_us: int = 100) -> ClaimedTraining:
    with store.write() as connection:
        trainings.queue(connection, "interval", {"seed": 1}, now_us=now_us)
        claimed = trainings.claim(connection, owner, now_us=now_us, lease_us=LEASE)
    assert claimed is not None
    return claimed


def publish(store: Store, claimed: ClaimedTraining, folder: str, *, now_us: int = 500) -> int:
    with store.write() as connection:
        return publish_in(connection, claimed, folder, now_us=now_us)


def publish_in(connection: sa.Connection, claimed: ClaimedTraining, folder: str, *, now_us: int = 500) -> int:
    return trainings.publish(
        connection,
        claimed,
        now_us=now_us,
        folder=folder,
        manifest_sha256="ab" * 32,
        metrics={"ndcg": 0.25},
        config={"seed": 1},
        watermark=Watermark(7, 3, "10:12:11"),
        users=4,
        items=5,
        rows=6,
        seed=1,
    )


def finish(store: Store, claimed: ClaimedTraining, *, now_us: int = 600) -> bool:
    with store.write() as connection:
        return trainings.finish(connection, claimed, "succeeded", now_us=now_us)


def training(store: Store, claimed: ClaimedTraining) -> TrainingRow:
    with store.read() as connection:
        found = trainings.get(connection, claimed.id)
    assert found is not None
    return found


def active(store: Store) -> ModelRow | None:
    with store.read() as connection:
        return models.active(connection)


def folders(store: Store) -> list[str]:
    with store.read() as connection:
        return [one.folder for one in models.page(connection, limit=50)]


def test_the_claimer_gets_what_was_asked_for(store: Store) -> None:
    claimed = queue_and_claim(store, "one")
    assert (claimed.owner, claimed.trigger, claimed.config, claimed.created_us) == ("one", "interval", {"seed": 1}, 100)
    found = training(store, claimed)
    assert (found.status, found.lease_owner, found.lease_expires_us, found.started_us) == ("running", "one", 1_100, 100)


def test_there_is_nothing_to_claim_where_nothing_is_queued(store: Store) -> None:
    with store.write() as connection:
        assert trainings.claim(connection, "one", now_us=1, lease_us=LEASE) is None
    queue_and_claim(store, "one")
    with store.write() as connection:
        assert trainings.claim(connection, "two", now_us=101, lease_us=LEASE) is None


def test_of_many_claimers_at_once_exactly_one_wins(store: Store) -> None:
    with store.write() as connection:
        trainings.queue(connection, "api", now_us=1)
    barrier = threading.Barrier(5)

    def claim(number: int) -> ClaimedTraining | None:
        barrier.wait(10)
        with store.write() as connection:
            return trainings.claim(connection, f"t{number}", now_us=2, lease_us=LEASE)

    with ThreadPoolExecutor(5) as pool:
        won = [claimed for claimed in pool.map(claim, range(5), timeout=30) if claimed is not None]
    assert len(won) == 1
    assert training(store, won[0]).lease_owner == won[0].owner


def test_every_claim_has_a_higher_fencing_token(store: Store) -> None:
    tokens = []
    for _ in range(3):
        claimed = queue_and_claim(store)
        tokens.append(claimed.fencing_token)
        finish(store, claimed)
    assert tokens == sorted(set(tokens))


def test_a_heartbeat_prolongs_the_lease_and_tells_the_progress(store: Store) -> None:
    claimed = queue_and_claim(store)
    with store.write() as connection:
        beat = trainings.heartbeat(connection, claimed, now_us=900, lease_us=LEASE, phase="fit", epoch=2, epochs=9)
        assert beat == (True, False)
        trainings.heartbeat(connection, claimed, now_us=950, lease_us=LEASE, loss=0.5, eta_seconds=1.5)
    found = training(store, claimed)
    assert (found.lease_expires_us, found.heartbeat_us) == (1_950, 950)
    assert (found.phase, found.epoch, found.epochs, found.loss, found.eta_seconds) == ("fit", 2, 9, 0.5, 1.5)
    with store.write() as connection:
        assert trainings.expire(connection, now_us=1_900) is None


def test_publishing_makes_a_version_and_answers_with_it(store: Store) -> None:
    claimed = queue_and_claim(store)
    assert active(store) is None
    version = publish(store, claimed, "first")
    found = active(store)
    assert found == ModelRow(
        version=version,
        training_id=claimed.id,
        folder="first",
        manifest_sha256="ab" * 32,
        created_us=500,
        metrics={"ndcg": 0.25},
        config={"seed": 1},
        watermark=Watermark(7, 3, "10:12:11"),
        users=4,
        items=5,
        rows=6,
        seed=1,
    )
    assert training(store, claimed).model_version == version


def test_every_replica_is_told_that_the_pointer_moved(store: Store) -> None:
    claimed = queue_and_claim(store)
    with store.write() as connection:
        trainings.heartbeat(connection, claimed, now_us=101, lease_us=LEASE)
    finish(store, claimed)
    publish(store, queue_and_claim(store), "first")
    watermark = read_feed(store, START).watermark
    assert read_feed(store, watermark).pointer_moved is False
    with store.write() as connection:
        trainings.expire(connection, now_us=10_000)
    publish(store, queue_and_claim(store, now_us=10_001), "second")
    assert read_feed(store, watermark).pointer_moved is True


def test_versions_only_grow(store: Store) -> None:
    versions = []
    for n in range(3):
        claimed = queue_and_claim(store)
        versions.append(publish(store, claimed, str(n)))
        finish(store, claimed)
        if n == 1:
            with store.write() as connection:
                connection.execute(sa.update(tables.active_model).values(version=versions[0]))
                connection.execute(sa.delete(tables.models).where(tables.models.c.version == versions[1]))
    assert versions == sorted(set(versions))


def test_the_end_is_noted_and_frees_the_place(store: Store) -> None:
    claimed = queue_and_claim(store)
    with store.write() as connection:
        assert trainings.finish(
            connection,
            claimed,
            "rejected",
            now_us=700,
            metrics={"ndcg": 0.1},
            gate={"passed": False},
            reason="not better",
            rows=12,
            watermark=Watermark(12, 1, None),
        )
    found = training(store, claimed)
    assert (found.status, found.metrics, found.gate) == ("rejected", {"ndcg": 0.1}, {"passed": False})
    assert (found.reason, found.error, found.rows, found.finished_us) == ("not better", None, 12, 700)
    assert found.watermark == Watermark(12, 1, None)
    with store.read() as connection:
        assert trainings.active(connection) is None


@pytest.mark.parametrize(("status", "phase", "epoch"), [("succeeded", "done", 9), ("failed", "refit", 4)])
def test_an_ended_training_expects_nothing_any_more(
    store: Store, status: Literal["succeeded", "failed"], phase: str, epoch: int
) -> None:
    claimed = queue_and_claim(store)
    with store.write() as connection:
        trainings.heartbeat(
            connection, claimed, now_us=600, lease_us=100, phase="refit", epoch=4, epochs=9, eta_seconds=2.5
        )
        trainings.finish(connection, claimed, status, now_us=700)
    found = training(store, claimed)
    assert (found.phase, found.epoch, found.epochs, found.eta_seconds) == (phase, epoch, 9, None)


def test_who_slept_through_the_lease_can_neither_publish_nor_finish_nor_go_on(store: Store) -> None:
    sleeper = queue_and_claim(store, "sleeper")
    with store.write() as connection:
        assert trainings.claim(connection, "other", now_us=100 + LEASE + 1, lease_us=LEASE) is None
    assert training(store, sleeper).status == "failed"
    with pytest.raises(LeaseLost):
        publish(store, sleeper, "stale")
    assert finish(store, sleeper) is False
    with store.write() as connection:
        assert trainings.heartbeat(connection, sleeper, now_us=2_000, lease_us=LEASE) == (False, False)
    assert (active(store), folders(store)) == (None, [])
    assert training(store, sleeper).status == "failed"


def test_the_sleeper_changes_nothing_after_a_later_one_has_published(store: Store) -> None:
    sleeper = queue_and_claim(store, "sleeper")
    later = queue_and_claim(store, "later", now_us=100 + LEASE + 1)
    version = publish(store, later, "good")
    with pytest.raises(LeaseLost):
        publish(store, sleeper, "stale")
    finish(store, later)
    with pytest.raises(LeaseLost):
        publish(store, sleeper, "stale")
    found = active(store)
    assert found is not None
    assert (found.version, folders(store)) == (version, ["good"])


def test_a_lower_fencing_token_than_the_pointers_is_refused_though_the_training_still_runs(store: Store) -> None:
    claimed = queue_and_claim(store)
    with store.write() as connection:
        connection.execute(sa.update(tables.active_model).values(fencing_token=claimed.fencing_token + 1))
    with pytest.raises(LeaseLost):
        publish(store, claimed, "stale")
    assert folders(store) == []


def test_a_lost_lease_leaves_nothing_even_where_the_caller_goes_on(store: Store) -> None:
    sleeper = queue_and_claim(store, "sleeper")
    with store.write() as connection:
        trainings.expire(connection, now_us=10_000)
        with pytest.raises(LeaseLost):
            publish_in(connection, sleeper, "stale")
    assert folders(store) == []


def test_a_version_chosen_by_hand_stays_while_new_ones_are_added(store: Store) -> None:
    claimed = queue_and_claim(store)
    chosen = publish(store, claimed, "chosen")
    finish(store, claimed)
    with store.write() as connection:
        connection.execute(sa.update(tables.active_model).values(pinned=True))
    watermark = read_feed(store, START).watermark
    newer = publish(store, queue_and_claim(store), "newer")
    assert newer > chosen
    with store.read() as connection:
        assert models.pointer(connection) == (chosen, True)
        assert models.get(connection, newer) is not None
    assert read_feed(store, watermark).pointer_moved is False


def test_publishing_and_finishing_stand_or_fall_together(store: Store) -> None:
    claimed = queue_and_claim(store)
    with pytest.raises(RuntimeError), store.write() as connection:
        publish_finish_and_raise(connection, claimed)
    assert (active(store), folders(store), training(store, claimed).status) == (None, [], "running")


def publish_finish_and_raise(connection: sa.Connection, claimed: ClaimedTraining) -> None:
    publish_in(connection, claimed, "first")
    assert trainings.finish(connection, claimed, "succeeded", now_us=600)
    raise RuntimeError("before the commit")


def test_a_trainer_that_died_between_publishing_and_finishing_has_succeeded(store: Store) -> None:
    claimed = queue_and_claim(store)
    version = publish(store, claimed, "first")
    with store.write() as connection:
        assert trainings.expire(connection, now_us=10_000) == claimed.id
    found = training(store, claimed)
    assert (found.status, found.error, found.model_version) == ("succeeded", None, version)


@pytest.mark.postgres
def test_a_training_cannot_be_given_up_on_while_it_publishes(postgres_store: Store) -> None:
    claimed = queue_and_claim(postgres_store)

    def expire() -> int | None:
        with postgres_store.write() as connection:
            return trainings.expire(connection, now_us=10_000)

    with ThreadPoolExecutor(1) as pool:
        with postgres_store.write() as connection:
            version = publish_in(connection, claimed, "first")
            expiring = pool.submit(expire)
            with pytest.raises(TimeoutError):
                expiring.result(0.3)
            trainings.finish(connection, claimed, "succeeded", now_us=600)
        assert expiring.result(10) is None
    found = active(postgres_store)
    assert found is not None
    assert (found.version, training(postgres_store, claimed).status) == (version, "succeeded")


def test_a_lease_further_ahead_than_any_that_could_be_given_now_is_over(store: Store) -> None:
    claimed = queue_and_claim(store, now_us=1_000_000)
    with store.write() as connection:
        assert trainings.expire(connection, now_us=1_000_000 - LEASE, lease_us=LEASE) is None
        assert trainings.expire(connection, now_us=1_000_000 - LEASE - 1, lease_us=LEASE) == claimed.id
