"""Items like another: by the angle between vectors, with the filters of every list."""

from __future__ import annotations

import numpy as np
import pytest

from app.recommend import UnknownItemError, Wanted
from tests.app.recommend.versions import DIMENSIONS
from tests.app.recommend.worlds import ITEMS, Event, World, bits, ids, item_id, item_key, record

ALL = Wanted(limit=100)


def cosines(world: World, to: int) -> dict[str, float]:
    """By item id, in float64."""
    vectors = world.live.current().served.item_vectors.astype(float)
    norms = np.linalg.norm(vectors, axis=1)
    found = vectors @ vectors[to - 1] / norms / norms[to - 1]
    return {item_id(number + 1): float(cosine) for number, cosine in enumerate(found) if number != to - 1}


def test_the_nearest_by_angle_come_first_and_scores_are_cosines() -> None:
    random = np.random.default_rng(3)
    # Of very different lengths, which must not matter.
    vectors = random.normal(size=(ITEMS, DIMENSIONS)) * random.exponential(size=(ITEMS, 1)) * 10
    world = World(item_vectors=vectors.astype(np.float32))
    for to in (1, 17, ITEMS):
        ranked = world.recommender.similar(item_id(to), ALL)
        expected = cosines(world, to)
        assert ids(ranked) == sorted(expected, key=lambda name: -expected[name])
        assert [item.score for item in ranked.items] == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-6)
        assert [item.rank for item in ranked.items] == list(range(1, ITEMS))
        assert ranked.model_version == 3


def test_such_a_list_comes_from_the_model_and_is_not_what_is_popular() -> None:
    world = World(records=[record(1, "tea")])
    world.put(record(ITEMS + 1, "tea"))
    world.freshen()
    ranked = world.recommender.similar("item-2", ALL)
    assert ranked.source == "model"
    assert {item.source for item in ranked.items if item.item_id != item_id(ITEMS + 1)} == {"model"}
    assert {item.source for item in ranked.items if item.item_id == item_id(ITEMS + 1)} == {"new"}


def test_items_in_the_same_direction_are_in_the_order_of_their_numbers() -> None:
    vectors = np.tile(np.arange(1, DIMENSIONS + 1, dtype=np.float32), (ITEMS, 1))
    world = World(item_vectors=vectors)
    ranked = world.recommender.similar("item-4", Wanted(limit=5))
    assert ids(ranked) == ["item-1", "item-2", "item-3", "item-5", "item-6"]
    assert [item.score for item in ranked.items] == pytest.approx([1.0] * 5)


def test_filters_hold_and_the_list_is_full() -> None:
    world = World(records=[record(key, "tea" if key % 2 else "cups") for key in range(1, ITEMS + 1)])
    best = ids(world.recommender.similar("item-1", Wanted(limit=ITEMS, categories=["tea"])))
    assert set(best) == {item_id(key) for key in range(3, ITEMS, 2)}
    world.put(record(item_key(best[0]), "tea", hidden=True))
    wanted = Wanted(limit=3, categories=["tea"], exclude_items=[best[2], "never heard of"])
    assert ids(world.recommender.similar("item-1", wanted)) == [best[1], best[3], best[4]]
    spread = world.recommender.similar("item-1", Wanted(limit=5, max_per_category=2))
    assert [item_key(each) % 2 for each in ids(spread)].count(1) == 2
    assert len(spread.items) == 4


def test_a_hidden_item_may_be_asked_about() -> None:
    world = World()
    before = world.recommender.similar("item-4", ALL)
    world.put(record(4, hidden=True))
    assert bits(world.recommender.similar("item-4", ALL)) == bits(before)


def test_a_deleted_item_is_unknown_until_it_is_put_again() -> None:
    for model in (True, False):
        world = World(model=model)
        world.put(record(4, deleted=True))
        with pytest.raises(UnknownItemError):
            world.recommender.similar("item-4", ALL)
        world.put(record(4))
        assert len(world.recommender.similar("item-4", ALL).items) == ITEMS - 1


def test_an_item_that_nothing_ever_named_is_unknown() -> None:
    with pytest.raises(UnknownItemError):
        World().recommender.similar("never heard of", ALL)


def test_a_new_item_with_a_place_has_neighbours() -> None:
    world = World(records=[record(1, "tea")])
    world.put(record(ITEMS + 1, "tea"))
    world.freshen()
    ranked = world.recommender.similar(item_id(ITEMS + 1), ALL)
    # It stands where the only item of its category does.
    assert ids(ranked)[0] == "item-1"
    assert ranked.items[0].score == pytest.approx(1.0)
    assert ids(ranked)[1:] == [name for name in ids(world.recommender.similar("item-1", ALL)) if name != item_id(41)]


def test_of_a_new_item_of_which_nothing_tells_the_list_is_what_is_popular_without_it() -> None:
    world = World([Event(1, 1), Event(2, 2)])
    world.put(record(ITEMS + 1))
    new = item_id(ITEMS + 1)
    popular = bits(world.recommender.popular(ALL))
    for _ in range(2):
        ranked = world.recommender.similar(new, ALL)
        assert ranked.source == "popular"
        assert bits(ranked) == popular
        # Once it is among the candidates it is popular itself, though not beside itself.
        world.freshen()
        assert new in ids(world.recommender.popular(ALL))
