"""The refresher on real stores: what other processes commit reaches this one, and nothing stops it for good."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import interactions, items, keys, migrate, tables
from app.db.engine import Store, open_store
from app.db.interactions import NewInteraction
from app.db.items import NewItem
from app.db.keys import KeyRow
from app.live.history import History, SeenRule
from app.live.live_model import LiveModel
from app.live.refresher import Refresher
from app.recommend import Recommender, Wanted
from app.snapshots import SnapshotStore
from tests.app.published import NOW_US, publish_model
from tests.conftest import SharedServer


class Replica:
    """One process's memory, read by hand instead of by a thread."""

    def __init__(self, store: Store, model_dir: Path) -> None:
        self.history = History(SeenRule(), popularity_half_life_us=1e12)
        self.live = LiveModel()
        self.keys: list[list[KeyRow]] = []
        self.refresher = Refresher(
            store, SnapshotStore(model_dir), self.history, self.live, refresh_seconds=0.05, on_keys=self.keys.append
        )

    def seen(self, user_id: str) -> set[str | None]:
        user_key = self.history.user_key(user_id)
        assert user_key is not None
        return {
            self.history.catalogue.item_id(k) for k in self.history.seen_item_keys(user_key, now_us=NOW_US).tolist()
        }


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def replica(store: Store, model_dir: Path) -> Iterator[Replica]:
    replica = Replica(store, model_dir)
    yield replica
    replica.refresher.stop()


def post(store: Store, *pairs: tuple[str, str], event_id: str | None = None) -> None:
    rows = [NewInteraction(user, item, "view", 1.0, NOW_US, event_id, None, None) for user, item in pairs]
    with store.write() as connection:
        interactions.append(connection, rows, received_us=NOW_US)


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
    assert replica.history.later_rows() == 1


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


def test_a_store_restored_to_an_older_state_is_followed_as_it_is_now(
    sqlite_store: Store, tmp_path: Path, model_dir: Path
) -> None:
    post(sqlite_store, ("ann", "tea"))
    first = publish_model(sqlite_store, model_dir)
    backup = tmp_path / "backup.db"
    sqlite_store.dispose()  # the last connection's end writes the log back into the file
    shutil.copy(str(sqlite_store.engine.url.database), backup)
    post(sqlite_store, ("bob", "cup"), ("bob", "jam"))
    publish_model(sqlite_store, model_dir, seed=2)
    replica = Replica(sqlite_store, model_dir)
    replica.refresher.poll()
    recommender = Recommender(replica.history, replica.live, clock=lambda: NOW_US, repeats_included=False)

    restored = open_store(f"sqlite:///{backup}")
    replica.refresher._store = restored
    post(restored, ("cid", "cup"))
    replica.refresher.poll()
    assert replica.history.user_key("bob") is None
    assert replica.seen("cid") == {"cup"}
    assert (model := replica.live.current()) is not None
    assert model.version == first
    assert [item.item_id for item in recommender.for_user("cid", Wanted()).items] == ["tea"]
    # A process that starts on the restored store does not take up what is no longer true either.
    late = Replica(restored, model_dir)
    late.refresher.poll()
    assert late.history.user_key("bob") is None
    assert late.seen("cid") == {"cup"}
    restored.dispose()


def test_what_was_deleted_since_the_last_training_stays_deleted_after_a_restore(
    sqlite_store: Store, tmp_path: Path, model_dir: Path
) -> None:
    post(sqlite_store, ("ann", "tea"), event_id="e1")
    post(sqlite_store, ("ann", "cup"))
    publish_model(sqlite_store, model_dir)
    with sqlite_store.write() as connection:
        assert interactions.delete_by_event_id(connection, "e1")
    backup = tmp_path / "backup.db"
    sqlite_store.dispose()
    shutil.copy(str(sqlite_store.engine.url.database), backup)
    post(sqlite_store, ("ann", "jam"))
    replica = Replica(sqlite_store, model_dir)
    replica.refresher.poll()
    assert replica.seen("ann") == {"cup", "jam"}

    restored = open_store(f"sqlite:///{backup}")
    replica.refresher._store = restored
    replica.refresher.poll()
    assert replica.seen("ann") == {"cup"}
    restored.dispose()


@pytest.fixture
def databases(postgres_server: SharedServer) -> Iterator[Callable[..., Store]]:
    """Makes databases of their own, empty or as copies of others."""
    made: list[tuple[str, Store]] = []

    def make(template: Store | None = None) -> Store:
        name = f"own_{uuid.uuid4().hex}"
        if template is None:
            postgres_server.create(name)
        else:
            template.dispose()
            postgres_server.create(name, template=str(template.engine.url.database))
        made.append((name, open_store(postgres_server.url(name))))
        migrate.upgrade(made[-1][1])
        return made[-1][1]

    yield make
    for name, store in made:
        store.dispose()
        postgres_server.drop(name)


def test_a_replica_notices_another_copy_of_its_database(databases: Callable[..., Store], model_dir: Path) -> None:
    store = databases()
    post(store, ("ann", "tea"))
    backup = databases(store)
    post(store, ("lost", "cup"))
    replica = Replica(store, model_dir)
    replica.refresher.poll()
    assert replica.seen("lost") == {"cup"}

    # Transaction numbers of one server only grow: they alone would say that nothing was lost.
    post(backup, ("fresh", "jam"))
    replica.refresher._store = backup
    replica.refresher.poll()
    assert replica.history.user_key("lost") is None
    assert (replica.seen("ann"), replica.seen("fresh")) == ({"tea"}, {"jam"})


def test_a_history_of_another_copy_is_not_taken_up(databases: Callable[..., Store], model_dir: Path) -> None:
    store = databases()
    post(store, ("ann", "tea"), event_id="e1")
    post(store, ("ann", "cup"))
    version = publish_model(store, model_dir)
    with store.write() as connection:
        assert interactions.delete_by_event_id(connection, "e1")
    post(store, ("bob", "jam"))
    restored = databases(store)
    with restored.write() as connection:
        # As a dump of a server that had come further brings them, once they were adopted.
        for table in (tables.interactions, tables.changes):
            connection.execute(sa.update(table).values(xact=0))
    replica = Replica(restored, model_dir)
    replica.refresher.poll()
    assert (replica.seen("ann"), replica.seen("bob")) == ({"cup"}, {"jam"})
    assert (model := replica.live.current()) is not None
    assert model.version == version
    # The next training's history is.
    publish_model(restored, model_dir, seed=2)
    replica.refresher.poll()
    assert (replica.seen("ann"), replica.seen("bob"), replica.history.later_rows()) == ({"cup"}, {"jam"}, 0)


def test_a_restored_store_that_was_filled_again_before_anybody_looked_is_followed_as_it_is_now(
    sqlite_store: Store, tmp_path: Path, model_dir: Path
) -> None:
    post(sqlite_store, ("ann", "tea"))
    backup = tmp_path / "backup.db"
    sqlite_store.dispose()
    shutil.copy(str(sqlite_store.engine.url.database), backup)
    post(sqlite_store, ("bob", "cup"), ("bob", "jam"))
    publish_model(sqlite_store, model_dir)

    restored = open_store(f"sqlite:///{backup}")
    # As many rows as were lost: their ids say nothing.
    post(restored, ("cid", "cup"), ("cid", "tea"), ("dan", "jam"))
    replica = Replica(restored, model_dir)
    replica.refresher.poll()
    assert (replica.seen("cid"), replica.seen("dan")) == ({"cup", "tea"}, {"jam"})
    assert replica.history.user_key("bob") is None
    restored.dispose()


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
