"""Stores that were put back to another state: replicas follow them as they are now."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import interactions, migrate, tables
from app.db.engine import Store, StoreUnavailable, open_store
from app.recommend import Recommender, Wanted
from tests.app.live.replica import BreakingStore, Replica, post
from tests.app.published import NOW_US, publish_model
from tests.conftest import SharedServer


@pytest.mark.parametrize("reads", range(5))
def test_until_a_restored_store_is_read_what_was_held_goes_on(
    sqlite_store: Store, tmp_path: Path, model_dir: Path, reads: int
) -> None:
    post(sqlite_store, ("ann", "tea"))
    first = publish_model(sqlite_store, model_dir)
    backup = tmp_path / "backup.db"
    sqlite_store.dispose()
    shutil.copy(str(sqlite_store.engine.url.database), backup)
    post(sqlite_store, ("bob", "cup"))
    replica = Replica(sqlite_store, model_dir)
    replica.refresher.poll()
    restored = open_store(f"sqlite:///{backup}")
    replica.refresher._store = BreakingStore(restored, reads=reads)
    with pytest.raises(StoreUnavailable):
        replica.refresher.poll()
    if replica.history.user_key("bob") is not None:
        assert replica.live.current() is not None
    replica.refresher.poll()
    assert replica.history.user_key("bob") is None
    assert (model := replica.live.current()) is not None
    assert model.version == first
    restored.dispose()


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
    assert (replica.seen("ann"), replica.seen("bob"), replica.history.held.since_base()) == ({"cup"}, {"jam"}, 0)


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
