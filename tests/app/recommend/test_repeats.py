"""Whether lists hold what their user had: the setting, what the training chose, and what is asked for."""

from __future__ import annotations

import pytest

from app.live.seen import SeenRule
from app.recommend import Wanted
from model.policy import Repeats
from tests.app.recommend.worlds import DAY_US, ITEMS, NOW_US, TRAINED_US, Event, World, ids, item_key, record

REPEATS = Repeats(5.0, 5.0 * DAY_US)
TRAINED = [Event(1, 1), Event(1, 8, "dislike"), Event(2, 2)]


@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize(
    ("setting", "trained", "asked", "there"),
    [
        (False, None, None, False),
        (False, REPEATS, None, False),
        (False, None, True, True),
        (False, REPEATS, True, True),
        (True, None, None, True),
        (True, REPEATS, None, True),
        (True, None, False, False),
        (True, REPEATS, False, False),
        (None, None, None, False),
        (None, REPEATS, None, True),
        (None, None, True, True),
        (None, REPEATS, False, False),
    ],
)
def test_seen_items_come_back_as_the_request_or_the_setting_or_the_training_says_but_hidden_ones_never(
    model: bool, setting: bool | None, trained: Repeats | None, asked: bool | None, there: bool
) -> None:
    if not model and setting is None and asked is None:
        there = False  # no training has chosen anything
    world = World(TRAINED, model=model, repeats_included=setting, policy={"repeats": trained})
    world.interact(1, 3)
    world.interact(1, 9, event_type="dislike")
    world.interact(7, 1)
    for user, had in (("user-1", {"item-1", "item-3"}), ("user-2", {"item-2"}), ("user-7", {"item-1"})):
        ranked = world.recommender.for_user(user, Wanted(limit=100, include_seen=asked))
        assert had.isdisjoint(ids(ranked)) is not there
        assert len(ranked.items) == ITEMS - (0 if there else len(had)) - (2 if user == "user-1" else 0)
        assert user != "user-1" or {"item-8", "item-9"}.isdisjoint(ids(ranked))


def test_what_comes_back_says_so() -> None:
    world = World(TRAINED, policy={"repeats": REPEATS}, repeats_included=None)
    world.interact(7, 3, 4)
    for user, had, source in (("user-1", {1}, "model"), ("user-7", {3, 4}, "fold_in")):
        ranked = world.recommender.for_user(user, Wanted(limit=100))
        assert ranked.source == source
        for item in ranked.items:
            assert item.source == ("repeat" if item_key(item.item_id) in had else source)


def test_a_new_item_that_its_user_had_comes_back_as_a_repeat() -> None:
    world = World(TRAINED, repeats_included=True, records=[record(key, "tea") for key in (1, 2)])
    world.put(record(ITEMS + 1, "tea"), record(ITEMS + 2, "tea"))
    world.interact(1, ITEMS + 1)
    world.freshen()
    sources = {item.item_id: item.source for item in world.recommender.for_user("user-1", Wanted(limit=100)).items}
    assert (sources[f"item-{ITEMS + 1}"], sources[f"item-{ITEMS + 2}"]) == ("repeat", "new")


def test_an_own_item_has_a_part_of_its_own_in_the_score_and_more_for_each_time() -> None:
    events = [Event(1, 1), *(Event(1, 2, at=TRAINED_US + hour * 3_600_000_000) for hour in range(6))]
    plain, repeats = (World(events, repeats_included=True, policy={"repeats": each}) for each in (None, REPEATS))
    asked = ["item-1", "item-2", "item-3"]
    without, with_part = (world.recommender.predict("user-1", asked).scores for world in (plain, repeats))
    once, often, never = (float(more) - float(less) for more, less in zip(with_part, without, strict=True))
    assert never == 0
    assert 0 < once < often
    assert ids(repeats.recommender.for_user("user-1", Wanted(limit=1))) == ["item-2"]


def test_only_what_counts_as_seen_is_left_out_or_called_a_repeat() -> None:
    rule = SeenRule(event_types=frozenset({"purchase"}), days=7.0)
    events = [
        Event(1, 1, "purchase", at=NOW_US - 8 * DAY_US),
        Event(1, 2, "purchase", at=NOW_US - 6 * DAY_US),
        Event(1, 3, "view", at=NOW_US - DAY_US),
    ]
    world = World(events, rule=rule, policy={"repeats": REPEATS})
    listed = {item.item_id: item.source for item in world.recommender.for_user("user-1", Wanted(limit=100)).items}
    assert listed["item-1"] == listed["item-3"] == "model"
    assert "item-2" not in listed
    with_seen = world.recommender.for_user("user-1", Wanted(limit=100, include_seen=True))
    assert {item.item_id for item in with_seen.items if item.source == "repeat"} == {"item-2"}
    world.now_us += 2 * DAY_US
    assert "item-2" in ids(world.recommender.for_user("user-1", Wanted(limit=100)))
