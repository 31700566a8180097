"""The read policy: who gets what, what is left out, and that every way to a score gives the same one."""

from __future__ import annotations

import numpy as np
import pytest

from app.db.interactions import Appended, StoredInteraction
from app.db.items import ItemRecord
from app.db.watermark import START
from app.live.history import History
from app.live.live_model import ActiveModel, LiveModel
from app.live.seen import SeenRule
from app.recommend import NoModelError, Recommender, UnknownUserError, Wanted
from model.served import ServedModel

NOW_US = 1_700_000_000_000_000
USERS = 6
ITEMS = 40
DIMENSIONS = 8


def user_id(key: int) -> str:
    return f"user-{key}"


def item_id(key: int) -> str:
    return f"item-{key}"


def item_record(key: int, **changed: object) -> ItemRecord:
    fields = {"title": None, "categories": (), "hidden": False, "deleted": False}
    times = {"available_from_us": None, "available_until_us": None, "updated_us": NOW_US}
    return ItemRecord(item_key=key, item_id=item_id(key), **{**fields, **times, **changed})  # type: ignore[arg-type]  # fields by name


class World:
    """A recommender over items 1 to 40 (keys); the model knows users 1 to 6, user 7 only has interactions."""

    def __init__(self, *, model: bool = True, repeats_included: bool = False, rule: SeenRule | None = None) -> None:
        self.history = History(rule or SeenRule(), popularity_half_life_us=1e12)
        self.live = LiveModel()
        self.recommender = Recommender(self.history, self.live, clock=lambda: NOW_US, repeats_included=repeats_included)
        self._next_id = 1
        for key in range(1, ITEMS + 1):
            self.history.catalogue.name({key: item_id(key)})
        for key in range(1, USERS + 1):
            self.interact(key, 1)
        if model:
            self.live.swap(ActiveModel(3, NOW_US, START, self._served()))

    def interact(self, user_key: int, *item_keys: int, event_type: str = "view") -> None:
        rows = []
        for item_key in item_keys:
            rows.append(StoredInteraction(self._next_id, 0, user_key, item_key, event_type, 1.0, NOW_US))
            self._next_id += 1
        names = {key: item_id(key) for key in item_keys}
        self.history.apply(Appended(len(rows), 0, rows, {user_key: user_id(user_key)}, names))

    def _served(self) -> ServedModel:
        random = np.random.default_rng(5)
        return ServedModel(
            user_keys=np.arange(1, USERS + 1),
            item_keys=np.arange(1, ITEMS + 1),
            user_vectors=random.normal(size=(USERS, DIMENSIONS)).astype(np.float32),
            item_vectors=random.normal(size=(ITEMS, DIMENSIONS)).astype(np.float32),
            item_biases=random.normal(size=ITEMS).astype(np.float32),
            popularity=random.exponential(size=ITEMS),
            betas=np.array([0.5]),
            user_groups=np.zeros(USERS, dtype=np.uint8),
        )


def test_a_user_of_the_model_gets_a_personal_list_without_what_was_seen() -> None:
    world = World()
    ranked = world.recommender.for_user("user-2", Wanted(limit=100))
    assert (ranked.source, ranked.model_version) == ("model", 3)
    assert {item.item_id for item in ranked.items} == {item_id(key) for key in range(2, ITEMS + 1)}
    assert [item.rank for item in ranked.items] == list(range(1, ITEMS))
    assert [item.score for item in ranked.items] == sorted((item.score for item in ranked.items), reverse=True)


def test_every_way_to_a_score_gives_the_same_bits() -> None:
    world = World()
    for user in ("user-2", "user-7", "nobody"):
        world.interact(7, 1)
        listed = {item.item_id: item.score for item in world.recommender.for_user(user, Wanted(limit=100)).items}
        every = world.recommender.predict(user, None)
        alone = world.recommender.predict(user, list(listed))
        pairs = world.recommender.predict_pairs([user] * len(listed), list(listed))
        assert len(every.scores) == ITEMS
        assert dict(zip(every.item_ids, every.scores, strict=True)).items() >= listed.items()
        assert alone.scores == pairs.scores == list(listed.values())


def test_pairs_of_several_users_are_scored_each_with_its_own_vector() -> None:
    world = World()
    users, items = ["user-1", "nobody", "user-4"], ["item-9", "item-9", "item-9"]
    scores = world.recommender.predict_pairs(users, items).scores
    assert scores == [world.recommender.predict(user, ["item-9"]).scores[0] for user in users]
    assert len(set(scores)) == 3


def test_an_item_without_a_score_is_none_and_the_order_is_the_one_asked_for() -> None:
    scored = World().recommender.predict("user-1", ["item-3", "never heard of", "item-2"])
    assert scored.scores[1] is None
    assert list(scored.item_ids) == ["item-3", "never heard of", "item-2"]
    assert None not in (scored.scores[0], scored.scores[2])


def test_a_user_who_came_after_the_training_gets_what_is_popular_without_what_was_seen() -> None:
    world = World()
    world.interact(7, 4, 5)
    ranked = world.recommender.for_user("user-7", Wanted(limit=100))
    assert (ranked.source, ranked.model_version, len(ranked.items)) == ("popular", 3, ITEMS - 2)
    assert {"item-4", "item-5"}.isdisjoint(item.item_id for item in ranked.items)


def test_strict_tells_an_unknown_user_from_one_with_interactions() -> None:
    world = World()
    world.interact(7, 4)
    assert world.recommender.for_user("user-7", Wanted(), strict=True).source == "popular"
    with pytest.raises(UnknownUserError):
        world.recommender.for_user("nobody", Wanted(), strict=True)


def test_excluded_and_withheld_items_are_left_out_before_the_best_are_taken() -> None:
    world = World()
    best = [item.item_id for item in world.recommender.for_user("user-1", Wanted(limit=6)).items]
    key = {item_id(key): key for key in range(1, ITEMS + 1)}
    world.history.catalogue.update(
        [
            item_record(key[best[0]], hidden=True),
            item_record(key[best[1]], deleted=True),
            item_record(key[best[2]], available_from_us=NOW_US + 1),
            item_record(key[best[3]], available_until_us=NOW_US),
            item_record(key[best[5]], available_from_us=NOW_US, available_until_us=NOW_US + 1, title="Now or never"),
        ]
    )
    ranked = world.recommender.for_user("user-1", Wanted(limit=3, exclude_items=[best[4], "never heard of"]))
    assert ranked.items[0].item_id == best[5]
    assert ranked.items[0].title == "Now or never"
    assert len(ranked.items) == 3
    assert set(best[:5]).isdisjoint(item.item_id for item in ranked.items)
    # A later record lifts the restriction.
    world.history.catalogue.update([item_record(key[best[0]])])
    assert world.recommender.for_user("user-1", Wanted(limit=1)).items[0].item_id == best[0]


def test_seen_items_come_back_when_asked_for_or_when_the_setting_says_so_but_hidden_ones_never() -> None:
    rule = SeenRule(hidden_types=frozenset({"dislike"}))
    for repeats_included, include_seen, there in (
        (False, None, False),
        (False, True, True),
        (True, None, True),
        (True, False, False),
    ):
        world = World(repeats_included=repeats_included, rule=rule)
        world.interact(1, 8, event_type="dislike")
        ranked = world.recommender.for_user("user-1", Wanted(limit=100, include_seen=include_seen))
        listed = {item.item_id for item in ranked.items}
        assert ("item-1" in listed) is there
        assert "item-8" not in listed


def test_before_the_first_model_lists_are_popular_by_count_and_predictions_are_refused() -> None:
    world = World(model=False)
    world.interact(1, 2, 2, 2, 2, 2, 2, 2, 3)
    ranked = world.recommender.for_user("user-2", Wanted(limit=10))
    assert (ranked.model_version, ranked.source) == (None, "popular")
    assert [item.item_id for item in ranked.items] == ["item-2", "item-3"]
    assert ranked.items[0].score == np.float32(np.log1p(7.0))
    assert [item.item_id for item in world.recommender.popular(Wanted(limit=2)).items] == ["item-2", "item-1"]
    with pytest.raises(NoModelError):
        world.recommender.predict("user-1", None)
    with pytest.raises(NoModelError):
        world.recommender.predict_pairs(["user-1"], ["item-1"])


def test_equal_scores_are_in_the_order_of_the_item_numbers() -> None:
    world = World(model=False)
    world.interact(1, 9, 5, 7)
    assert [item.item_id for item in world.recommender.popular(Wanted(limit=4)).items[1:]] == [
        "item-5",
        "item-7",
        "item-9",
    ]
