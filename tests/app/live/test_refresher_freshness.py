"""The live version goes on with what is committed after it: popularity, new items, hidden ones."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import numpy as np
import pytest

from app.db import interactions, items
from app.db.engine import Store, StoreUnavailable
from app.db.items import NewItem
from app.live.live_model import ActiveModel
from tests.app.live.replica import BreakingStore, Replica, post
from tests.app.published import NOW_US, publish_model
from tests.app.serving import eventually


@pytest.fixture
def replica(sqlite_store: Store, model_dir: Path) -> Replica:
    """A version that knows tea and cup is live."""
    post(sqlite_store, ("ann", "tea"), ("bob", "cup"), ("bob", "tea"))
    publish_model(sqlite_store, model_dir)
    replica = Replica(sqlite_store, model_dir)
    replica.refresher.poll()
    return replica


def live(replica: Replica) -> ActiveModel:
    model = replica.live.current()
    assert model is not None
    return model


def listed(replica: Replica) -> dict[str | None, float]:
    """How popular each item is that can be listed."""
    candidates = live(replica).candidates
    names = replica.history.catalogue.item_ids(candidates.keys(np.arange(len(candidates))))
    counts = [*candidates.popularity.tolist(), *candidates.new.popularity.tolist()]
    return dict(zip(names, counts, strict=True))


def put(store: Store, *new: NewItem) -> None:
    with store.write() as connection:
        items.upsert(connection, new, now_us=NOW_US)


def let_it_wait(replica: Replica) -> None:
    """As after a refresh that took long."""
    replica.refresher._fresh_again_at = math.inf


def let_it_go_on(replica: Replica) -> None:
    """As when enough time has passed since the last one."""
    replica.refresher._fresh_again_at = 0.0


def test_popularity_follows_what_any_process_commits(sqlite_store: Store, replica: Replica) -> None:
    before = listed(replica)
    assert before.keys() == {"tea", "cup"}
    post(sqlite_store, ("cid", "tea"))
    let_it_go_on(replica)
    replica.refresher.poll()
    assert listed(replica) == {"tea": before["tea"] + 1, "cup": before["cup"]}


def test_an_item_can_be_listed_from_its_first_interaction_or_its_record_on(
    sqlite_store: Store, replica: Replica
) -> None:
    post(sqlite_store, ("cid", "jam"))
    put(sqlite_store, NewItem("pot"), NewItem("pan", hidden=True))
    let_it_go_on(replica)
    replica.refresher.poll()
    assert {name: listed(replica).get(name) for name in ("jam", "pot", "pan")} == {"jam": 1.0, "pot": 0.0, "pan": None}


def test_a_new_item_that_is_deleted_is_listed_no_longer(sqlite_store: Store, replica: Replica) -> None:
    put(sqlite_store, NewItem("pot"))
    let_it_go_on(replica)
    replica.refresher.poll()
    assert "pot" in listed(replica)
    with sqlite_store.write() as connection:
        assert items.delete(connection, "pot", now_us=NOW_US)
    let_it_go_on(replica)
    replica.refresher.poll()
    assert listed(replica).keys() == {"tea", "cup"}


def test_an_item_is_withheld_with_the_poll_that_brings_its_record_whatever_else_has_to_wait(
    sqlite_store: Store, replica: Replica
) -> None:
    let_it_wait(replica)
    put(sqlite_store, NewItem("tea", title="Green tea", hidden=True), NewItem("cup", available_from_us=NOW_US + 1))
    replica.refresher.poll()
    catalogue = replica.history.catalogue
    withheld = [catalogue.item_ids(np.sort(catalogue.withheld_keys(NOW_US + later))) for later in (0, 1)]
    assert [sorted(map(str, names)) for names in withheld] == [["cup", "tea"], ["tea"]]
    tea = catalogue.item_key("tea")
    assert tea is not None
    assert catalogue.names(np.array([tea])) == [("tea", "Green tea")]


def test_nothing_is_made_anew_while_nothing_changes(replica: Replica) -> None:
    before = live(replica)
    for _ in range(3):
        let_it_go_on(replica)
        replica.refresher.poll()
    assert live(replica) is before


def test_what_comes_soon_after_waits_its_turn_and_is_there_then(sqlite_store: Store, replica: Replica) -> None:
    before = listed(replica)
    let_it_wait(replica)
    post(sqlite_store, ("cid", "tea"))
    replica.refresher.poll()
    assert replica.seen("cid") == {"tea"}
    assert listed(replica) == before
    let_it_go_on(replica)
    replica.refresher.poll()
    assert listed(replica)["tea"] == before["tea"] + 1


def test_after_each_time_it_waits_for_longer_than_that_took(sqlite_store: Store, replica: Replica) -> None:
    let_it_go_on(replica)
    replica.refresher.poll()
    assert replica.refresher._fresh_again_at == 0.0  # there was nothing to do
    post(sqlite_store, ("cid", "tea"))
    before = time.monotonic()
    replica.refresher.poll()
    assert replica.refresher._fresh_again_at > before


def test_what_this_worker_has_committed_is_seen_at_once_by_whoever_asks_for_it(
    sqlite_store: Store, replica: Replica
) -> None:
    let_it_wait(replica)
    put(sqlite_store, NewItem("pot"))
    asyncio.run(replica.refresher.poll_now())
    assert "pot" in listed(replica)


def test_a_version_that_is_put_live_again_counts_what_came_since_by_itself(
    sqlite_store: Store, replica: Replica, model_dir: Path
) -> None:
    post(sqlite_store, ("cid", "tea"), ("cid", "jam"))
    publish_model(sqlite_store, model_dir, seed=2)
    let_it_wait(replica)
    replica.refresher.poll()
    assert live(replica).version == 2
    assert live(replica).candidates.new.keys.tolist() == []
    assert listed(replica).keys() == {"tea", "cup", "jam"}
    trained = live(replica).served.popularity.tolist()
    assert live(replica).candidates.popularity.tolist() == trained


@pytest.mark.parametrize("reads", range(5))
def test_no_change_is_lost_when_the_store_goes_away_in_the_middle_of_a_later_poll(
    sqlite_store: Store, model_dir: Path, reads: int
) -> None:
    post(sqlite_store, ("ann", "tea"), event_id="e1")
    post(sqlite_store, ("ann", "cup"), ("bob", "cup"))
    publish_model(sqlite_store, model_dir)
    replica = Replica(sqlite_store, model_dir)
    replica.refresher.poll()
    with sqlite_store.write() as connection:
        assert interactions.delete_by_event_id(connection, "e1")
    put(sqlite_store, NewItem("cup", hidden=True))
    post(sqlite_store, ("cid", "jam"))
    publish_model(sqlite_store, model_dir, seed=2)
    post(sqlite_store, ("dan", "jam"))
    replica.refresher._store = BreakingStore(sqlite_store, reads=reads)
    with pytest.raises(StoreUnavailable):
        replica.refresher.poll()
    assert replica.live.current() is not None
    replica.refresher.poll()
    assert [replica.seen(name) for name in ("ann", "bob", "cid", "dan")] == [{"cup"}, {"cup"}, {"jam"}, {"jam"}]
    assert live(replica).version == 2
    cup = replica.history.catalogue.item_key("cup")
    assert replica.history.catalogue.withheld_keys(NOW_US).tolist() == [cup]
    assert replica.history.held.base.name == live(replica).name


def test_what_takes_long_is_made_while_the_feed_is_followed(sqlite_store: Store, replica: Replica) -> None:
    before = listed(replica)
    replica.refresher._fresh_took = 60.0
    post(sqlite_store, ("cid", "tea"))
    let_it_go_on(replica)

    replica.refresher.poll()

    assert eventually(lambda: listed(replica)["tea"] == before["tea"] + 1)
    # That it was quick is noticed.
    assert eventually(lambda: replica.refresher._fresh_took < 60.0)
    replica.refresher.stop()


def test_candidates_that_are_ready_too_late_are_thrown_away(sqlite_store: Store, replica: Replica) -> None:
    late, state = live(replica), (0, 0, 1)
    post(sqlite_store, ("cid", "tea"))
    let_it_go_on(replica)
    replica.refresher.poll()
    fresh = live(replica)
    assert fresh is not late

    replica.refresher._make_fresh(late, state)

    assert live(replica) is fresh
    assert replica.refresher._freshened != state
