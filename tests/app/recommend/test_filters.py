"""What filters keep between requests holds only as long as the items, the records and the time allow."""

from __future__ import annotations

import numpy as np
import pytest

from app.recommend import Wanted
from app.recommend.filters import MOST_CATEGORIES, Filters, counted, most_per_category
from tests.app.recommend.worlds import ITEMS, NOW_US, World, ids, item_id, record

TEA = Wanted(limit=100, categories=["tea"])


def tea_world() -> World:
    return World(records=[record(key, "tea") for key in (2, 3, 4)])


def withheld(world: World, filters: Filters) -> list[int]:
    """Keys of the withheld items."""
    candidates = world.live.current().candidates
    return sorted(candidates.keys(filters.withheld(candidates, now_us=world.now_us)).tolist())


def fitting(world: World, filters: Filters, wanted: Wanted) -> list[int]:
    """Keys of the items that fit."""
    candidates = world.live.current().candidates
    return candidates.keys(filters.among(candidates, wanted)).tolist()


def test_what_is_withheld_is_kept_until_a_record_changes() -> None:
    world = tea_world()
    filters = Filters(world.history)
    candidates = world.live.current().candidates
    world.put(record(5, hidden=True))
    first = filters.withheld(candidates, now_us=NOW_US)
    assert filters.withheld(candidates, now_us=NOW_US + 1) is first
    assert withheld(world, filters) == [5]
    world.put(record(5), record(6, deleted=True))
    assert withheld(world, filters) == [6]


def test_what_is_withheld_follows_the_time() -> None:
    world = tea_world()
    filters = Filters(world.history)
    world.put(
        record(5, available_from_us=NOW_US + 10),
        record(6, available_until_us=NOW_US + 20),
        record(7, available_from_us=NOW_US + 10, available_until_us=NOW_US + 20),
    )
    found = []
    for after in (0, 9, 10, 19, 20, 10**9):
        world.now_us = NOW_US + after
        found.append(withheld(world, filters))
    assert found == [[5, 7], [5, 7], [], [], [6, 7], [6, 7]]


def test_what_is_withheld_follows_a_clock_that_is_set_back() -> None:
    world = tea_world()
    filters = Filters(world.history)
    world.put(record(5, available_from_us=NOW_US + 10))
    world.now_us = NOW_US + 10
    assert withheld(world, filters) == []
    world.now_us = NOW_US + 9
    assert withheld(world, filters) == [5]


def test_what_is_withheld_follows_the_candidates() -> None:
    world = tea_world()
    filters = Filters(world.history)
    world.put(record(ITEMS + 1, available_from_us=NOW_US + 10))
    assert withheld(world, filters) == []
    world.freshen()
    assert withheld(world, filters) == [ITEMS + 1]


def test_a_category_follows_records_and_new_items() -> None:
    world = tea_world()
    filters = Filters(world.history)
    assert fitting(world, filters, TEA) == [2, 3, 4]
    world.put(record(3), record(7, "tea"), record(ITEMS + 1, "tea"))
    assert fitting(world, filters, TEA) == [2, 4, 7]
    world.freshen()
    assert fitting(world, filters, TEA) == [2, 4, 7, ITEMS + 1]


def test_lists_follow_records_at_once() -> None:
    world = tea_world()
    assert set(ids(world.recommender.for_user("user-1", TEA))) == {"item-2", "item-3", "item-4"}
    world.put(record(3), record(4, "tea", hidden=True), record(7, "tea", title="Darjeeling"))
    listed = {item.item_id: item.title for item in world.recommender.for_user("user-1", TEA).items}
    assert listed == {"item-2": None, "item-7": "Darjeeling"}


def test_numbers_that_fit_ascend_whatever_the_categories_are() -> None:
    world = World(records=[record(key, *(name for name, step in STEPS if key % step == 0)) for key in range(1, 41)])
    filters = Filters(world.history)
    both = fitting(world, filters, Wanted(categories=["two", "three"]))
    any_of = fitting(world, filters, Wanted(categories_any=["two", "three"]))
    none_of = fitting(world, filters, Wanted(exclude_categories=["two", "three"]))
    mixed = fitting(
        world, filters, Wanted(categories=["two"], categories_any=["three", "five"], exclude_categories=["five"])
    )
    assert both == [key for key in range(1, 41) if key % 6 == 0]
    assert any_of == [key for key in range(1, 41) if key % 2 == 0 or key % 3 == 0]
    assert none_of == [key for key in range(1, 41) if key % 2 and key % 3]
    assert mixed == [key for key in range(1, 41) if key % 6 == 0 and key % 5]


STEPS = (("two", 2), ("three", 3), ("five", 5))


def test_without_categories_all_items_fit() -> None:
    world = tea_world()
    assert Filters(world.history).among(world.live.current().candidates, Wanted()) is None


def test_more_categories_than_are_kept_are_looked_up_again() -> None:
    world = tea_world()
    filters = Filters(world.history)
    for number in range(MOST_CATEGORIES + 10):
        assert fitting(world, filters, Wanted(categories=[f"of nobody {number}"])) == []
    assert fitting(world, filters, TEA) == [2, 3, 4]


@pytest.mark.parametrize("names", [["tea"], ["cups"], ["tea", "cups"]])
def test_most_per_category_takes_the_first_of_each(names: list[str]) -> None:
    world = World(records=[record(key, *names) for key in (2, 4, 6)])
    keys = np.array([6, 5, 4, 3, 2])
    for most, limit, places in ((1, 10, [0, 1, 3]), (2, 10, [0, 1, 2, 3]), (3, 10, [0, 1, 2, 3, 4]), (1, 2, [0, 1])):
        assert most_per_category(keys, world.history.catalogue, most=most, limit=limit) == places


def test_counts_ignore_numbers_beyond_the_candidates_and_repeats() -> None:
    parts = [("first", np.array([1, 1, 7])), ("second", np.array([1, 2]))]
    found = counted(5, np.array([0, 2, 9]), parts)
    assert [(each.name, each.before, each.after) for each in found] == [
        ("first", 5, 4),
        ("second", 4, 3),
        ("category", 3, 1),
    ]


def test_an_excluded_item_of_which_the_model_knows_nothing_does_no_harm() -> None:
    world = World()
    world.put(record(ITEMS + 1))
    every = [item_id(key) for key in range(2, ITEMS + 2)]
    assert ids(world.recommender.for_user("user-7", Wanted(exclude_items=[*every, "never heard of"]))) == ["item-1"]
