"""Lists before the first model: what is popular lately, with every filter."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.seen import SeenRule
from app.recommend import UnknownItemError, Wanted
from tests.app.recommend.worlds import DAY_US, ITEMS, NOW_US, Event, World, ids, item_id, record

ALL = Wanted(limit=100)


def test_lists_are_by_count_then_what_nobody_chose_in_the_order_it_came() -> None:
    world = World(model=False)
    world.interact(1, 20, 20, 20, 20, 20, 20, 20, 3)
    ranked = world.recommender.for_user("user-2", ALL)
    assert (ranked.model_version, ranked.source) == (None, "popular")
    rest = [item_id(key) for key in range(2, ITEMS + 1) if key not in (3, 20)]
    assert ids(ranked) == ["item-20", "item-3", *rest]
    assert [item.rank for item in ranked.items] == list(range(1, ITEMS))
    assert [item.score for item in ranked.items[:3]] == [np.float32(np.log1p(7.0)), np.float32(np.log1p(1.0)), 0.0]
    assert ids(world.recommender.popular(Wanted(limit=2))) == ["item-20", "item-1"]


def test_what_a_user_has_seen_comes_back_when_asked_for_and_what_was_disliked_never() -> None:
    world = World(model=False)
    world.interact(1, 8, event_type="dislike")
    for include_seen, there in ((None, False), (False, False), (True, True)):
        listed = ids(world.recommender.for_user("user-1", Wanted(limit=100, include_seen=include_seen)))
        assert ("item-1" in listed) is there
        assert "item-8" not in listed
        assert len(listed) == ITEMS - 2 + there
    always = World(model=False, repeats_included=True)
    assert "item-1" in ids(always.recommender.for_user("user-1", ALL))
    assert "item-1" not in ids(always.recommender.for_user("user-1", Wanted(limit=100, include_seen=False)))


def test_a_seen_item_comes_back_after_the_days_of_the_rule() -> None:
    world = World([Event(1, 1, at=NOW_US - 8 * DAY_US), Event(1, 2)], model=False, rule=SeenRule(days=9.0))
    assert ids(world.recommender.for_user("user-1", Wanted(limit=1))) == ["item-2"]
    world.now_us += 2 * DAY_US
    assert ids(world.recommender.for_user("user-1", Wanted(limit=1))) == ["item-1"]


def test_categories_and_excluded_items() -> None:
    records = [record(1, "tea", "cups"), record(2, "tea"), record(3, "cups"), record(4, "tea", "gifts")]
    world = World(model=False, records=records)
    asked = {
        ("item-1", "item-2", "item-4"): Wanted(categories=["tea"]),
        ("item-1",): Wanted(categories=["tea", "cups"]),
        ("item-1", "item-3", "item-4"): Wanted(categories_any=["cups", "gifts"]),
        ("item-4",): Wanted(categories=["tea"], categories_any=["cups", "gifts"], exclude_items=["item-1", "unheard"]),
        ("item-2",): Wanted(categories=["tea"], exclude_categories=["cups", "gifts"]),
        (): Wanted(categories=["of nobody"]),
    }
    for expected, wanted in asked.items():
        assert tuple(ids(world.recommender.popular(wanted))) == expected
    assert ids(world.recommender.popular(Wanted(limit=1, exclude_categories=["tea", "cups"]))) == ["item-5"]


def test_withheld_items_are_left_out_as_time_goes_on_and_records_change() -> None:
    world = World(model=False, records=[record(key, "few") for key in range(1, 6)])
    world.put(
        record(1, "few", hidden=True),
        record(2, "few", deleted=True),
        record(3, "few", available_from_us=NOW_US + 1),
        record(4, "few", available_until_us=NOW_US + 1, title="Soon gone"),
    )
    wanted = Wanted(categories=["few"])
    ranked = world.recommender.popular(wanted)
    assert [(item.item_id, item.title) for item in ranked.items] == [("item-4", "Soon gone"), ("item-5", None)]
    world.now_us += 1
    assert ids(world.recommender.popular(wanted)) == ["item-3", "item-5"]
    world.put(record(1, "few"), record(2, "few"))
    assert ids(world.recommender.popular(wanted)) == ["item-1", "item-2", "item-3", "item-5"]


def test_no_category_has_more_items_than_asked_for_and_what_is_left_fills_the_list() -> None:
    categories = [("tea",), ("tea", "cups"), ("cups",), ("tea",), ("gifts",), ()]
    world = World(
        [Event(user, key) for key in range(1, 41) for user in range(1, 42 - key)],
        model=False,
        records=[record(key, *categories[key % 6]) for key in range(1, ITEMS + 1)],
    )
    # 1 has tea and cups, 2 cups, 3 tea, 4 gifts, 5 none: 6 to 9 find their categories full, and so on.
    full = [item_id(key) for key in (1, 2, 3, 4, 5, 10, 11, 17, 23, 29, 35)]
    assert ids(world.recommender.popular(Wanted(limit=11, max_per_category=2))) == full
    assert ids(world.recommender.popular(Wanted(limit=50, max_per_category=2))) == full
    assert ids(world.recommender.popular(Wanted(limit=7, max_per_category=2))) == full[:7]


def test_items_like_another_are_what_is_popular_without_it() -> None:
    world = World(model=False)
    ranked = world.recommender.similar("item-1", Wanted(limit=2))
    assert (ranked.source, ids(ranked)) == ("popular", ["item-2", "item-3"])
    with pytest.raises(UnknownItemError):
        world.recommender.similar("never heard of", Wanted())


def test_lists_follow_interactions_at_once() -> None:
    world = World(model=False)
    assert ids(world.recommender.popular(Wanted(limit=1))) == ["item-1"]
    world.did(*(Event(user, 30) for user in range(20, 30)))
    assert ids(world.recommender.popular(Wanted(limit=1))) == ["item-30"]
    world.take_back(*(row.id for row in world.rows if row.item_key == 30))
    assert ids(world.recommender.popular(Wanted(limit=1))) == ["item-1"]


def test_an_empty_store_gives_an_empty_list() -> None:
    world = World((), items=0, model=False)
    for ranked in (world.recommender.for_user("nobody", ALL), world.recommender.popular(ALL)):
        assert (ranked.model_version, ranked.source, ranked.items) == (None, "popular", [])
