"""Everybody's lists in one pass: the ones that each would get alone, bit for bit."""

from __future__ import annotations

import pytest

from app.live.seen import SeenRule
from app.recommend import Wanted, everyone
from app.recommend.everyone import USERS_AT_ONCE
from model.policy import Repeats
from tests.app.recommend.worlds import (
    DAY_US,
    ITEMS,
    NOW_US,
    TRAINED_US,
    Event,
    World,
    bits,
    record,
    user_id,
)

TRAINED = [
    Event(user, 1 + (user * step) % 15, kind, at=TRAINED_US - step * DAY_US)
    for user in range(1, 13)
    for step, kind in ((1, "view"), (3, "purchase"), (7, "dislike"), (11, "view"))
]


def eventful_world(**options: object) -> World:
    """Users as trained, with later events, new ones, one of unknown items alone, one with less than before."""
    world = World(TRAINED, items=30, records=[record(key, "tea") for key in range(1, 9)], **options)
    world.did(Event(2, 20, at=NOW_US), Event(3, 21, "dislike"), Event(14, 5), Event(15, 31), Event(16, 3, "dislike"))
    world.put(record(4, "tea", hidden=True), record(6, "tea", available_until_us=NOW_US), record(32, "tea"))
    world.take_back(world.rows_of(5)[0].id)
    world.take_back(*(row.id for row in world.rows_of(6)))
    world.freshen()
    return world


def assert_the_same_as_alone(world: World, *, limit: int = 7) -> set[str]:
    """Returns where the lists come from."""
    found = list(everyone.everyone(world.recommender, world.history, limit=limit))
    # User 6 may have nothing left and still be named.
    named = {row.user_key for row in world.rows} | {key for key in (6,) if world.history.user_key(user_id(key))}
    assert sorted(user for user, _ in found) == sorted(map(user_id, named))
    for user, ranked in found:
        alone = world.recommender.for_user(user, Wanted(limit=limit))
        assert (bits(ranked), ranked.source, ranked.model_version) == (bits(alone), alone.source, alone.model_version)
        assert ranked.items == alone.items
    return {ranked.source for _, ranked in found}


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_each_gets_the_list_that_they_would_get_alone(limit: int) -> None:
    assert assert_the_same_as_alone(eventful_world(), limit=limit) == {"model", "fold_in", "popular"}


def test_most_are_looked_up_together() -> None:
    world = eventful_world()
    found = [user for user, _ in everyone.everyone(world.recommender, world.history, limit=3)]
    # Those with later events or less than before come last, as do those that came after the training.
    together = [user_id(key) for key in (1, 4, 7, 8, 9, 10, 11, 12)]
    assert found[: len(together)] == together


@pytest.mark.parametrize(
    "rule",
    [
        SeenRule(hidden_types=frozenset({"dislike"}), days=15.0),
        SeenRule(hidden_types=frozenset({"dislike"}), event_types=frozenset({"purchase"})),
        SeenRule(event_types=frozenset({"purchase"}), days=13.5),
    ],
)
def test_what_is_seen_follows_the_rule(rule: SeenRule) -> None:
    world = eventful_world(rule=rule)
    assert_the_same_as_alone(world, limit=30)
    seen = sum(len(ranked.items) for _, ranked in everyone.everyone(world.recommender, world.history, limit=30))
    world.now_us += 10 * DAY_US
    assert_the_same_as_alone(world, limit=30)
    later = sum(len(ranked.items) for _, ranked in everyone.everyone(world.recommender, world.history, limit=30))
    assert (later > seen) is (rule.days is not None)


@pytest.mark.parametrize("repeats_included", [True, None])
def test_where_own_items_come_back_they_do_so_for_all(repeats_included: bool | None) -> None:
    world = eventful_world(repeats_included=repeats_included, policy={"repeats": Repeats(3.0, 5.0 * DAY_US)})
    assert_the_same_as_alone(world)
    found = dict(everyone.everyone(world.recommender, world.history, limit=7))
    assert any(item.source == "repeat" for item in found["user-1"].items)


def test_own_parts_of_scores_count_where_own_items_are_left_out_too() -> None:
    rule = SeenRule(event_types=frozenset({"purchase"}), hidden_types=frozenset({"dislike"}))
    assert_the_same_as_alone(eventful_world(rule=rule, policy={"repeats": Repeats(3.0, 5.0 * DAY_US)}))


def test_users_who_are_in_the_recent_table_alone_are_there() -> None:
    world = World(TRAINED, items=30, most_since=2)
    world.take_back(*(row.id for row in world.rows_of(6)))
    world.did(Event(2, 20), Event(14, 5), Event(15, 6), Event(16, 31))
    world.followed()
    world.interact(17, 4)
    world.take_back(world.rows_of(5)[0].id)
    world.freshen()
    assert world.history.held.recent
    assert assert_the_same_as_alone(world) == {"model", "fold_in", "popular"}


def test_after_rows_expired_each_gets_what_is_left() -> None:
    world = eventful_world()
    world.expire(TRAINED_US - 5 * DAY_US)
    world.rows = [row for row in world.rows if row.occurred_us >= TRAINED_US - 5 * DAY_US]
    assert_the_same_as_alone(world)


def test_before_the_first_model_all_get_what_is_popular() -> None:
    world = World(TRAINED, model=False)
    world.interact(6, 2)
    assert assert_the_same_as_alone(world) == {"popular"}


def test_an_older_version_than_the_history_gives_the_same_as_alone() -> None:
    world = eventful_world()
    old = world.live.current()
    world.train(4)
    world.interact(1, 30)
    world.live.swap(old)
    world.freshen()
    assert_the_same_as_alone(world)


def test_more_users_than_are_ranked_at_once_are_all_there() -> None:
    count = USERS_AT_ONCE + 3
    world = World([Event(user, 1 + user % ITEMS) for user in range(1, count + 1)])
    found = dict(everyone.everyone(world.recommender, world.history, limit=2))
    assert len(found) == count
    for user in (1, USERS_AT_ONCE, USERS_AT_ONCE + 1, count):
        assert bits(found[user_id(user)]) == bits(world.recommender.for_user(user_id(user), Wanted(limit=2)))
