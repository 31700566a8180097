"""Lists for anonymous visitors: made of what they did just now, and forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.seen import SeenRule
from app.recommend import SessionEvent, Wanted
from model.policy import Repeats
from tests.app.recommend.worlds import DAY_US, ITEMS, NOW_US, Event, World, bits, ids, record

ALL = Wanted(limit=100)


def saw(*item_ids: str, event_type: str = "view", value: float = 1.0) -> list[SessionEvent]:
    return [SessionEvent(item_id, event_type, value) for item_id in item_ids]


def test_a_visitor_gets_what_a_user_gets_who_did_the_same() -> None:
    world = World(policy={"repeats": Repeats(0.5, 3.0 * DAY_US)})
    ranked = world.recommender.for_session(saw("item-4", "item-5"), ALL)
    world.interact(7, 4, 5, at=NOW_US)
    same = world.recommender.for_user("user-7", ALL)
    assert (ranked.source, ranked.model_version) == ("fold_in", 3)
    assert bits(ranked) == bits(same)
    assert {"item-4", "item-5"}.isdisjoint(ids(ranked))


def test_what_an_event_says_depends_on_its_type_and_value() -> None:
    world = World(policy={"event_weights": {"purchase": 4.0, "dislike": "hide"}})
    plain = world.recommender.for_session(saw("item-4", "item-5"), ALL)
    bought = world.recommender.for_session([*saw("item-4", event_type="purchase"), *saw("item-5")], ALL)
    valued = world.recommender.for_session([*saw("item-4", value=4.0), *saw("item-5")], ALL)
    assert bits(bought) != bits(plain)
    assert bits(bought) == bits(valued)


def test_of_unknown_items_alone_the_list_is_what_is_popular() -> None:
    world = World()
    ranked = world.recommender.for_session(saw("never heard of", "nor of this"), ALL)
    assert ranked.source == "popular"
    assert bits(ranked) == bits(world.recommender.popular(ALL))


def test_an_item_without_a_place_in_the_model_is_left_out_of_what_is_popular() -> None:
    world = World()
    world.put(record(ITEMS + 1))
    world.freshen()
    new = f"item-{ITEMS + 1}"
    assert new in ids(world.recommender.popular(ALL))
    ranked = world.recommender.for_session(saw(new), ALL)
    assert ranked.source == "popular"
    assert new not in ids(ranked)


def test_what_a_visitor_dislikes_is_left_out_and_speaks_for_nothing() -> None:
    world = World()
    ranked = world.recommender.for_session(saw("item-4", event_type="dislike"), ALL)
    assert ranked.source == "popular"
    assert "item-4" not in ids(ranked)
    kept = world.recommender.for_session(saw("item-4", event_type="dislike"), Wanted(limit=100, include_seen=True))
    assert "item-4" not in ids(kept)


def test_what_a_visitor_had_may_be_asked_for() -> None:
    ranked = World().recommender.for_session(saw("item-4", "item-5"), Wanted(limit=100, include_seen=True))
    sources = {item.item_id: item.source for item in ranked.items}
    assert (sources["item-4"], sources["item-5"], sources["item-6"]) == ("repeat", "repeat", "fold_in")


def test_only_types_of_the_rule_are_seen_by_a_visitor() -> None:
    world = World(rule=SeenRule(event_types=frozenset({"purchase"})))
    ranked = world.recommender.for_session([*saw("item-4"), *saw("item-5", event_type="purchase")], ALL)
    assert "item-4" in ids(ranked)
    assert "item-5" not in ids(ranked)


def test_filters_hold_for_a_visitor() -> None:
    world = World(records=[record(key, "tea") for key in (2, 3, 4)])
    wanted = Wanted(limit=100, categories=["tea"], exclude_items=["item-3"])
    assert ids(world.recommender.for_session(saw("item-4"), wanted)) == ["item-2"]


@pytest.mark.parametrize("model", [True, False])
def test_nothing_of_a_session_stays(model: bool) -> None:
    world = World(model=model)
    held, types = world.history.held, list(world.history.types.names)
    before = [bits(world.recommender.for_user(user, ALL)) for user in ("user-1", "nobody")]
    popularity = [column.tolist() for column in world.history.recent_popularity()]
    session = saw("item-4", "never heard of", event_type="a_type_of_my_own")
    for _ in range(2):
        world.recommender.for_session(session, ALL)
    assert world.history.types.names == types
    assert world.history.held is held
    assert held.since_base() == (0 if model else 6)
    assert world.history.user_key("None") is None
    assert world.history.catalogue.item_key("never heard of") is None
    assert [column.tolist() for column in world.history.recent_popularity()] == popularity
    assert [bits(world.recommender.for_user(user, ALL)) for user in ("user-1", "nobody")] == before


def test_before_the_first_model_a_visitor_gets_what_is_popular_without_what_was_seen_or_disliked() -> None:
    world = World([Event(1, 1), Event(2, 1), Event(1, 2)], model=False)
    session = [*saw("item-1", "never heard of"), *saw("item-2", event_type="dislike")]
    ranked = world.recommender.for_session(session, Wanted(limit=100))
    assert (ranked.source, ranked.model_version, len(ranked.items)) == ("popular", None, ITEMS - 2)
    assert {"item-1", "item-2"}.isdisjoint(ids(ranked))
    kept = world.recommender.for_session(session, Wanted(limit=2, include_seen=True))
    assert ids(kept) == ["item-1", "item-3"]


def test_the_same_session_gives_the_same_bits_again() -> None:
    world = World()
    session = saw("item-9", "item-4", "item-9", "item-5")
    first, second = (bits(world.recommender.for_session(session, ALL)) for _ in range(2))
    assert first == second == bits(world.recommender.for_session(session[::-1], ALL))
    assert np.isfinite([float.fromhex(score) for _, score in first]).all()
