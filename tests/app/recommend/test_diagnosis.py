"""Diagnoses: the numbers are those of the list, and the reason is the one that holds."""

from __future__ import annotations

import pytest

from app.live.seen import SeenRule
from app.recommend import Diagnosis, Wanted
from tests.app.recommend.worlds import ITEMS, NOW_US, Event, World, ids, item_id, record

TRAINED = [Event(user, key) for user in (1, 2) for key in (user, user + 10, user + 20)]


def counts(diagnosed: Diagnosis) -> list[tuple[str, int, int]]:
    return [(each.name, each.before, each.after) for each in diagnosed.filters]


def busy_world(*, repeats_included: bool = False) -> World:
    """User 1 has seen 1, 11 and 21 and disliked 12; 2, 3 and 11 are withheld; 4 to 12 are tea."""
    world = World(
        TRAINED,
        records=[*(record(key, "tea") for key in range(4, 13)), record(2, hidden=True)],
        repeats_included=repeats_included,
    )
    world.put(record(3, deleted=True), record(11, "tea", available_until_us=NOW_US))
    world.interact(1, 12, event_type="dislike")
    # Two new ones: one with a place in the model.
    world.put(record(ITEMS + 1, "tea"), record(ITEMS + 2))
    world.freshen()
    return world


def test_each_filter_is_counted_after_the_ones_before_it() -> None:
    world = busy_world()
    wanted = Wanted(limit=100, exclude_items=["item-4", "item-21", "never heard of"], categories=["tea"])
    diagnosed = world.recommender.diagnose("user-1", wanted)
    assert diagnosed.candidates == ITEMS + 1
    assert counts(diagnosed) == [
        ("unavailable", 41, 38),
        ("seen", 38, 35),
        ("exclude_item", 35, 34),
        ("category", 34, 7),
    ]
    expected = {*(item_id(key) for key in range(5, 11)), item_id(ITEMS + 1)}
    assert set(ids(world.recommender.for_user("user-1", wanted))) == expected


def test_with_seen_items_only_the_disliked_ones_are_counted() -> None:
    world = busy_world(repeats_included=True)
    wanted = Wanted(limit=100)
    assert counts(world.recommender.diagnose("user-1", wanted)) == [("unavailable", 41, 38), ("disliked", 38, 37)]
    assert len(world.recommender.for_user("user-1", wanted).items) == 37
    assert counts(world.recommender.diagnose("user-1", Wanted(include_seen=False)))[1] == ("seen", 38, 35)


@pytest.mark.parametrize("user", ["user-1", "user-2", "user-7", "user-8", "nobody"])
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(limit=500),
        Wanted(limit=500, include_seen=True),
        Wanted(limit=500, categories=["tea"], exclude_items=["item-5", "item-41", "item-42"]),
        Wanted(limit=500, exclude_categories=["tea"]),
        Wanted(limit=500, categories_any=["tea", "of nobody"], exclude_items=["never heard of"]),
    ],
)
def test_what_the_last_filter_leaves_is_the_length_of_the_list(user: str, wanted: Wanted) -> None:
    world = busy_world()
    world.interact(7, 12, 13)
    world.interact(8, ITEMS + 2)
    diagnosed = world.recommender.diagnose(user, wanted)
    ranked = world.recommender.for_user(user, wanted)
    assert diagnosed.source == ranked.source
    assert diagnosed.filters[-1].after == len(ranked.items)
    assert diagnosed.filters[0].before == diagnosed.candidates
    chain = [(one.after, other.before) for one, other in zip(diagnosed.filters, diagnosed.filters[1:], strict=False)]
    assert all(after == before for after, before in chain)
    assert diagnosed.sentence.endswith(f" {len(ranked.items)} of {diagnosed.candidates} items are left to choose from.")


def test_only_items_with_a_personal_score_are_candidates_of_a_personal_list() -> None:
    world = busy_world()
    assert world.recommender.diagnose("user-1", Wanted()).candidates == ITEMS + 1
    assert world.recommender.diagnose("nobody", Wanted()).candidates == ITEMS + 2


def test_reasons_and_sources() -> None:
    world = World([*TRAINED, Event(3, 3)], rule=SeenRule(hidden_types=frozenset({"dislike"})))
    world.interact(2, 30, 31)
    world.interact(7, 4)
    world.interact(8, ITEMS + 1)
    world.interact(9, 5, event_type="dislike")
    world.take_back(7)
    told = {}
    for user in ("user-1", "user-2", "user-3", "user-7", "user-8", "user-9", "nobody"):
        diagnosed = world.recommender.diagnose(user, Wanted())
        told[user] = (diagnosed.source, diagnosed.reason, diagnosed.interactions_used)
        assert (diagnosed.model_version, diagnosed.model_created_us) == (3, NOW_US)
        assert diagnosed.source == world.recommender.for_user(user, Wanted()).source
    assert told == {
        "user-1": ("model", "known_to_model", 3),
        "user-2": ("fold_in", "later_interactions", 5),
        "user-3": ("popular", "no_interactions", 0),
        "user-7": ("fold_in", "later_interactions", 1),
        "user-8": ("popular", "only_unknown_items", 0),
        "user-9": ("popular", "only_unknown_items", 0),
        "nobody": ("popular", "unknown_user", 0),
    }


def test_sentences_tell_the_same_in_words() -> None:
    world = World(TRAINED)
    world.interact(7, 4)
    world.interact(8, ITEMS + 1)
    left = f"{ITEMS - 3} of {ITEMS} items are left to choose from."
    told = {user: world.recommender.diagnose(user, Wanted()).sentence for user in ("user-1", "user-7", "nobody")}
    assert told == {
        "user-1": f"The list is made of 3 interactions of this user that the training knew. {left}",
        "user-7": "The list is made of 1 interaction of this user, some of which came after the training. "
        f"{ITEMS - 1} of {ITEMS} items are left to choose from.",
        "nobody": "Nothing is known of this user, so the list is what is popular lately. "
        f"{ITEMS} of {ITEMS} items are left to choose from.",
    }
    assert "is in the model yet" in world.recommender.diagnose("user-8", Wanted()).sentence


def test_before_the_first_model_the_reason_is_that_there_is_none() -> None:
    world = World(TRAINED, model=False)
    known, unknown = (world.recommender.diagnose(user, Wanted()) for user in ("user-1", "nobody"))
    for diagnosed in (known, unknown):
        assert (diagnosed.source, diagnosed.reason, diagnosed.candidates) == ("popular", "no_model", ITEMS)
        assert (diagnosed.model_version, diagnosed.model_created_us, diagnosed.interactions_used) == (None, None, 0)
    assert "without what this user has seen. 37 of 40 items" in known.sentence
    assert f"the same for everybody. {ITEMS} of {ITEMS} items" in unknown.sentence


def test_before_the_first_model_the_filters_are_counted_as_the_list_applies_them() -> None:
    world = World(TRAINED, model=False)
    wanted = Wanted(limit=500, exclude_items=["item-0", "item-39", "unheard of"], exclude_categories=["cups"])

    diagnosed = world.recommender.diagnose("user-1", wanted)
    including = world.recommender.diagnose("user-1", Wanted(include_seen=True))

    assert [each.name for each in diagnosed.filters] == ["unavailable", "seen", "exclude_item", "category"]
    assert diagnosed.filters[-1].after == len(world.recommender.for_user("user-1", wanted).items)
    assert [each.name for each in including.filters] == ["unavailable", "disliked"]
    assert "the same for everybody" in including.sentence
