"""The read policy: who gets which list, and what is left out of it."""

from __future__ import annotations

import pytest

from app.recommend import UnknownUserError, Wanted
from tests.app.recommend.worlds import (
    ITEMS,
    NOW_US,
    Event,
    World,
    bits,
    ids,
    item_id,
    item_key,
    record,
    user_id,
)

ALL = Wanted(limit=100)


def test_a_user_of_the_model_gets_a_personal_list_without_what_was_seen() -> None:
    ranked = World().recommender.for_user("user-2", ALL)
    assert (ranked.source, ranked.model_version) == ("model", 3)
    assert {item.source for item in ranked.items} == {"model"}
    assert set(ids(ranked)) == {item_id(key) for key in range(2, ITEMS + 1)}
    assert [item.rank for item in ranked.items] == list(range(1, ITEMS))
    assert [item.score for item in ranked.items] == sorted((item.score for item in ranked.items), reverse=True)


def test_a_user_who_came_after_the_training_is_folded_in_and_does_not_get_what_was_seen() -> None:
    world = World()
    world.interact(7, 4, 5)
    ranked = world.recommender.for_user("user-7", ALL)
    assert (ranked.source, ranked.model_version, len(ranked.items)) == ("fold_in", 3, ITEMS - 2)
    assert {item.source for item in ranked.items} == {"fold_in"}
    assert {"item-4", "item-5"}.isdisjoint(ids(ranked))
    assert bits(ranked) != bits(world.recommender.popular(ALL))


def test_users_who_did_other_things_get_other_lists_and_who_did_the_same_the_same() -> None:
    world = World()
    world.interact(7, 4, 5)
    world.interact(8, 5, 4)
    world.interact(9, 4, 6)
    seven, eight, nine = world.recommender.for_users(["user-7", "user-8", "user-9"], ALL)
    assert bits(seven) == bits(eight)
    shared = {item.item_id: item.score for item in seven.items}
    assert all(item.score != shared[item.item_id] for item in nine.items if item.item_id in shared)


def test_a_user_of_whom_the_model_knows_no_item_gets_what_is_popular_without_what_was_seen() -> None:
    world = World()
    world.interact(7, ITEMS + 1)
    world.freshen()
    ranked = world.recommender.for_user("user-7", ALL)
    assert ranked.source == "popular"
    assert bits(ranked) == [each for each in bits(world.recommender.popular(ALL)) if each[0] != item_id(ITEMS + 1)]


def test_strict_tells_an_unknown_user_from_one_with_interactions() -> None:
    world = World()
    world.interact(7, 4)
    assert world.recommender.for_user("user-7", Wanted(), strict=True).source == "fold_in"
    assert world.recommender.for_user("nobody", Wanted()).source == "popular"
    with pytest.raises(UnknownUserError):
        world.recommender.for_user("nobody", Wanted(), strict=True)


def test_strict_holds_before_the_first_model_too() -> None:
    world = World(model=False)
    assert world.recommender.for_user("user-1", Wanted(), strict=True).source == "popular"
    with pytest.raises(UnknownUserError):
        world.recommender.for_user("nobody", Wanted(), strict=True)


def test_excluded_and_withheld_items_are_left_out_before_the_best_are_taken() -> None:
    world = World()
    best = ids(world.recommender.for_user("user-1", Wanted(limit=6)))
    world.put(
        record(item_key(best[0]), hidden=True),
        record(item_key(best[1]), deleted=True),
        record(item_key(best[2]), available_from_us=NOW_US + 1),
        record(item_key(best[3]), available_until_us=NOW_US),
        record(item_key(best[5]), available_from_us=NOW_US, available_until_us=NOW_US + 1, title="Now or never"),
    )
    ranked = world.recommender.for_user("user-1", Wanted(limit=3, exclude_items=[best[4], "never heard of"]))
    assert ranked.items[0].item_id == best[5]
    assert ranked.items[0].title == "Now or never"
    assert len(ranked.items) == 3
    assert set(best[:5]).isdisjoint(ids(ranked))
    # A later record lifts the restriction.
    world.put(record(item_key(best[0])))
    assert ids(world.recommender.for_user("user-1", Wanted(limit=1))) == best[:1]


def test_equal_scores_are_in_the_order_of_the_item_numbers() -> None:
    world = World(model=False)
    world.interact(1, 9, 5, 7)
    assert ids(world.recommender.popular(Wanted(limit=4))) == ["item-1", "item-5", "item-7", "item-9"]


def test_lists_of_many_users_stand_in_the_order_asked_and_a_user_may_stand_twice() -> None:
    world = World()
    world.interact(7, 4, 5)
    asked = ["user-7", "nobody", "user-2", "user-7", "user-1"]
    lists = world.recommender.for_users(asked, Wanted(limit=5))
    assert [bits(each) for each in lists] == [bits(world.recommender.for_user(user, Wanted(limit=5))) for user in asked]
    assert [each.source for each in lists] == ["fold_in", "popular", "model", "fold_in", "model"]
    assert world.recommender.for_users([], Wanted()) == []


def test_lists_of_many_users_before_the_first_model_leave_out_what_each_has_seen() -> None:
    world = World([Event(1, 1), Event(2, 2)], model=False)
    lists = world.recommender.for_users(["user-2", "nobody", "user-1"], Wanted(limit=1))
    assert [ids(each) for each in lists] == [["item-1"], ["item-1"], ["item-2"]]


def test_what_was_looked_up_under_one_version_is_ranked_under_it() -> None:
    world = World()
    before = bits(world.recommender.for_user("user-1", Wanted(limit=5)))
    prepared = [world.recommender.prepare(user_id(key), Wanted(limit=5)) for key in (1, 2)]
    world.train(4, item_biases=world.served_model().item_biases[::-1].copy())
    prepared.append(world.recommender.prepare("user-1", Wanted(limit=5)))
    old, other, new = world.recommender.rank(prepared)
    assert [old.model_version, other.model_version, new.model_version] == [3, 3, 4]
    assert bits(old) == before
    assert bits(new) == bits(world.recommender.for_user("user-1", Wanted(limit=5))) != before


def test_an_item_that_is_hidden_between_two_lists_is_missing_from_the_second_alone() -> None:
    world = World()
    best = ids(world.recommender.for_user("user-1", Wanted(limit=6)))
    first = world.recommender.prepare("user-1", Wanted(limit=5))
    world.put(record(item_key(best[0]), hidden=True))
    second = world.recommender.prepare("user-1", Wanted(limit=5))
    assert [ids(each) for each in world.recommender.rank([first, second])] == [best[:5], best[1:]]


def test_lists_of_very_many_users_are_the_ones_that_each_would_get_alone() -> None:
    world = World([Event(user, 1 + (user * step) % ITEMS) for user in range(1, 80) for step in (1, 7, 11)])
    asked = [user_id(key) for key in range(1, 90)]
    for wanted in (Wanted(limit=1), Wanted(limit=7, include_seen=True), Wanted(limit=100)):
        lists = world.recommender.for_users(asked, wanted)
        assert list(map(bits, lists)) == [bits(world.recommender.for_user(user, wanted)) for user in asked]


def test_lists_that_want_different_things_may_be_ranked_together() -> None:
    world = World(records=[record(key, "tea") for key in range(1, 20)])
    asked = [
        ("user-1", Wanted(limit=3)),
        ("user-2", Wanted(limit=30, categories=["tea"], max_per_category=4)),
        ("nobody", Wanted(limit=5, exclude_items=["item-1"])),
        ("user-1", Wanted(limit=30, exclude_categories=["tea"], explain=True)),
    ]
    together = world.recommender.rank([world.recommender.prepare(user, wanted) for user, wanted in asked])
    assert [each.items for each in together] == [world.recommender.for_user(*each).items for each in asked]
