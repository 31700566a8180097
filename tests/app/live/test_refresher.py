"""The refresher on real stores: what other processes commit reaches this one, and nothing stops it for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.db import interactions, items, keys
from app.db.engine import Store, StoreUnavailable
from app.db.items import NewItem
from tests.app.live.replica import BreakingStore, Replica, post
from tests.app.published import NOW_US, publish_model


@pytest.fixture
def replica(store: Store, model_dir: Path) -> Iterator[Replica]:
    replica = Replica(store, model_dir)
    yield replica
    replica.refresher.stop()


def test_rows_that_another_process_committed_arrive_with_the_next_poll(store: Store, replica: Replica) -> None:
    replica.refresher.poll()
    post(store, ("ann", "tea"), ("ann", "cup"))
    replica.refresher.poll()
    assert replica.seen("ann") == {"tea", "cup"}


def test_a_deletion_before_anything_was_read_is_not_missed(store: Store, replica: Replica) -> None:
    replica.refresher.poll()
    post(store, ("ann", "tea"), event_id="e1")
    post(store, ("ann", "cup"))
    with store.write() as connection:
        assert interactions.delete_by_event_id(connection, "e1")
    replica.refresher.poll()
    assert replica.seen("ann") == {"cup"}


def test_a_published_model_is_loaded_with_the_history_that_was_written_with_it(
    store: Store, replica: Replica, model_dir: Path
) -> None:
    replica.refresher.poll()
    post(store, ("ann", "tea"), ("bob", "cup"))
    version = publish_model(store, model_dir)
    post(store, ("ann", "cup"))
    replica.refresher.poll()
    model = replica.live.current()
    assert model is not None
    assert (model.version, model.served.num_users) == (version, 2)
    assert replica.seen("ann") == {"tea", "cup"}
    assert replica.history.held.since_base() == 1


def test_a_replica_that_starts_later_knows_the_same(store: Store, model_dir: Path) -> None:
    post(store, ("ann", "tea"), ("bob", "cup"))
    with store.write() as connection:
        items.upsert(connection, [NewItem("tea", title="Green tea", hidden=True)], now_us=NOW_US)
    publish_model(store, model_dir)
    post(store, ("ann", "jam"))
    late = Replica(store, model_dir)
    late.refresher.poll()
    assert late.seen("ann") == {"tea", "jam"}
    tea = late.history.catalogue.item_key("tea")
    assert tea is not None
    assert late.history.catalogue.withheld_keys(NOW_US).tolist() == [tea]
    assert late.history.catalogue.title(tea) == "Green tea"


def test_a_model_whose_history_is_gone_still_gets_the_names_of_its_items(
    store: Store, replica: Replica, model_dir: Path
) -> None:
    replica.refresher.poll()
    post(store, ("ann", "tea"))
    with store.write() as connection:
        interactions.delete_by_event_id(connection, "no such event")
    publish_model(store, model_dir, history=False)
    replica.refresher.poll()
    model = replica.live.current()
    assert model is not None
    assert replica.history.catalogue.unnamed(model.served.item_keys) == []


def test_a_damaged_snapshot_is_refused_and_the_model_in_use_stays(
    store: Store, replica: Replica, model_dir: Path
) -> None:
    post(store, ("ann", "tea"))
    first = publish_model(store, model_dir)
    replica.refresher.poll()
    second = publish_model(store, model_dir, seed=2)
    vectors = model_dir / "models" / f"model-{second:06d}" / "item_vectors.bin"
    damaged = bytearray(vectors.read_bytes())
    damaged[3] ^= 1
    vectors.write_bytes(damaged)
    for _ in range(2):
        replica.refresher.poll()
        model = replica.live.current()
        assert model is not None
        assert model.version == first
    third = publish_model(store, model_dir, seed=3)
    replica.refresher.poll()
    assert (model := replica.live.current()) is not None
    assert model.version == third


def test_keys_are_read_at_the_start_and_again_when_one_is_made_or_revoked(store: Store, replica: Replica) -> None:
    replica.refresher.poll()
    replica.refresher.poll()
    assert replica.keys == [[]]
    with store.write() as connection:
        key_id, _ = keys.create(connection, "shop", "read", NOW_US)
    replica.refresher.poll()
    assert [key.key_id for key in replica.keys[-1]] == [key_id]
    with store.write() as connection:
        keys.revoke(connection, key_id, NOW_US)
    replica.refresher.poll()
    assert key_id not in [key.key_id for key in replica.keys[-1]]
    assert len(replica.keys) == 3


def test_the_thread_follows_by_itself_and_says_why_when_it_cannot(store: Store, replica: Replica) -> None:
    replica.refresher.start()
    assert replica.refresher.problem is None
    post(store, ("ann", "tea"))
    for _ in range(200):
        if replica.history.user_key("ann") is not None:
            break
        replica.refresher._stop.wait(0.02)
    assert replica.seen("ann") == {"tea"}


@pytest.mark.parametrize("reads", range(4))
def test_a_store_that_goes_away_in_the_middle_of_the_first_poll_is_read_whole_by_the_next(
    sqlite_store: Store, model_dir: Path, reads: int
) -> None:
    post(sqlite_store, ("ann", "tea"), ("bob", "cup"))
    with sqlite_store.write() as connection:
        items.upsert(connection, [NewItem("tea", hidden=True)], now_us=NOW_US)
    version = publish_model(sqlite_store, model_dir)
    store = BreakingStore(sqlite_store, reads=reads)
    late = Replica(store, model_dir)
    with pytest.raises(StoreUnavailable):
        late.refresher.poll()
    late.refresher.poll()
    assert late.history.catalogue.withheld_keys(NOW_US).tolist() == [late.history.catalogue.item_key("tea")]
    assert (late.seen("ann"), late.seen("bob"), late.keys[-1]) == ({"tea"}, {"cup"}, [])
    assert (model := late.live.current()) is not None
    assert model.version == version


def test_a_refused_snapshot_is_not_read_again_at_every_poll(store: Store, replica: Replica, model_dir: Path) -> None:
    post(store, ("ann", "tea"))
    version = publish_model(store, model_dir)
    folder = model_dir / "models" / f"model-{version:06d}"
    folder.rename(model_dir / "away")
    replica.refresher.poll()
    (model_dir / "away").rename(folder)
    replica.refresher.poll()
    assert replica.live.current() is None
    assert "model-" in (replica.refresher.problem or "")


def test_a_snapshot_that_was_only_late_is_taken_up_later(store: Store, replica: Replica, model_dir: Path) -> None:
    post(store, ("ann", "tea"))
    version = publish_model(store, model_dir)
    folder = model_dir / "models" / f"model-{version:06d}"
    folder.rename(model_dir / "away")
    replica.refresher.poll()
    assert replica.live.current() is None
    assert "model-" in (replica.refresher.problem or "")
    (model_dir / "away").rename(folder)
    assert replica.refresher._refused is not None
    replica.refresher._refused = replace(replica.refresher._refused, again_at=0.0)
    replica.refresher.poll()
    assert (model := replica.live.current()) is not None
    assert model.version == version
    assert replica.refresher.problem is None
