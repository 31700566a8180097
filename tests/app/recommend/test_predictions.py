"""Scores: every way to one gives the same, and it is what the formula says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from app.recommend import NoModelError, Wanted
from model.policy import Repeats
from model.served import ServedModel
from tests.app.recommend.worlds import (
    DAY_US,
    ITEMS,
    TRAINED_US,
    Event,
    World,
    bits,
    item_id,
    record,
    user_id,
)

HISTORIES = [
    *(Event(1, key, at=TRAINED_US - key * DAY_US) for key in (3, 4, 5, 6, 7, 8)),
    *(Event(2, key, "purchase", value=key / 2) for key in (3, 9)),
    *(Event(3, 3, at=TRAINED_US - days * DAY_US) for days in range(4)),
    Event(4, 10),
    Event(4, 11, "dislike"),
]


def formula(world: World, user_key: int, served: ServedModel) -> list[float]:
    """Scores of the version's items by its definition, term by term in plain Python, shape (I,)."""
    policy, weights_of = served.policy, served.policy.event_weights
    said: dict[int, float] = {}
    newest: dict[int, int] = {}
    own: dict[int, float] = {}
    rows = world.rows_of(user_key)
    for row in rows:
        hidden = any(weights_of.get(other.event_type) == "hide" and other.item_key == row.item_key for other in rows)
        number = row.item_key - 1
        if hidden or number >= served.num_items:
            continue
        said[number] = said.get(number, 0.0) + float(weights_of.get(row.event_type, 1.0)) * row.value
        newest[number] = max(newest.get(number, 0), row.occurred_us)
        if policy.repeats is not None:
            age = max(policy.popularity_now_us - row.occurred_us, 0)
            own[number] = own.get(number, 0.0) + 2 ** (-age / policy.repeats.half_life)
    half_life = policy.fold_in_half_life_us
    aged = {number: 2 ** (-(max(newest.values()) - at) / half_life) for number, at in newest.items()}
    weights = {number: math.log2(1 + said[number]) * aged[number] for number in said}
    mean = sum(weight * served.item_vectors[number].astype(float) for number, weight in weights.items())
    mapped = mean / sum(weights.values()) @ served.fold_in_matrices + served.fold_in_offsets[0]
    vector = mapped * policy.fold_in_length / math.sqrt(mapped @ mapped)
    beta = served.betas[sum(len(said) >= size for size in (2, 5, 20))]
    # Everybody's, those of this user too; what came after the training counts besides what it knew.
    later = Counter(row.item_key - 1 for row in world.rows if not world.trained_covers(row))
    return [
        float(vector @ served.item_vectors[number])
        + float(served.item_biases[number])
        + float(beta) * math.log1p(served.popularity[number] + later[number])
        + (0.0 if policy.repeats is None else policy.repeats.weight * math.log1p(own.get(number, 0.0)))
        for number in range(served.num_items)
    ]


def world_of_histories(**changed: object) -> World:
    weights = {"dislike": "hide", "purchase": 3.0}
    return World(HISTORIES, policy={"event_weights": weights, "fold_in_half_life_us": 7.0 * DAY_US, **changed})


@pytest.mark.parametrize("repeats", [None, Repeats(0.7, 5.0 * DAY_US)])
def test_scores_are_what_the_formula_says(repeats: Repeats | None) -> None:
    world = world_of_histories(repeats=repeats)
    for user_key in (1, 2, 3, 4):
        assert world.recommender.predict(user_id(user_key), None).scores == pytest.approx(
            formula(world, user_key, world.live.current().served), abs=1e-5
        )


@pytest.mark.parametrize("repeats", [None, Repeats(0.7, 5.0 * DAY_US)])
def test_scores_of_users_with_later_interactions_are_what_the_formula_says(repeats: Repeats | None) -> None:
    world = world_of_histories(repeats=repeats)
    for user_key in (1, 4, 7):
        world.did(*(Event(user_key, key, at=TRAINED_US - day * DAY_US) for day, key in enumerate((20, 21, 22))))
    world.freshen()
    for user_key in (1, 4, 7):
        assert world.recommender.predict(user_id(user_key), None).scores == pytest.approx(
            formula(world, user_key, world.live.current().served), abs=1e-5
        )


def test_every_way_to_a_score_gives_the_same_bits() -> None:
    world = World()
    world.interact(7, 1)
    world.interact(2, 5, 6)
    for user in ("user-1", "user-2", "user-7", "nobody"):
        ranked = world.recommender.for_user(user, Wanted(limit=100))
        listed = {item.item_id: item.score for item in ranked.items}
        every = world.recommender.predict(user, None)
        alone = world.recommender.predict(user, list(listed))
        pairs = world.recommender.predict_pairs([user] * len(listed), list(listed))
        assert len(every.scores) == ITEMS
        assert dict(zip(every.item_ids, every.scores, strict=True)).items() >= listed.items()
        assert alone.scores == pairs.scores == list(listed.values())
        assert every.source == alone.source == ranked.source


def test_a_new_item_has_the_same_score_in_lists_and_predictions() -> None:
    world = World(records=[record(key, "tea") for key in (1, 2, 3)])
    new = item_id(ITEMS + 1)
    world.put(record(ITEMS + 1, "tea"))
    world.freshen()
    for user in ("user-1", "nobody"):
        listed = dict(bits(world.recommender.for_user(user, Wanted(limit=100))))
        score = world.recommender.predict(user, [new]).scores[0]
        assert score is not None
        assert listed[new] == score.hex()
        assert world.recommender.predict_pairs([user], [new]).scores == [score]


def test_an_item_of_which_nothing_is_known_has_a_popularity_and_no_personal_score() -> None:
    world = World()
    world.put(record(ITEMS + 1, "never seen before"))
    world.freshen()
    new = item_id(ITEMS + 1)
    assert world.recommender.predict("user-1", [new]).scores == [None]
    assert world.recommender.predict("nobody", [new]).scores == [0.0]
    assert world.recommender.predict_pairs(["user-1", "nobody"], [new, new]).scores == [None, 0.0]


def test_pairs_of_several_users_are_scored_each_with_its_own_vector() -> None:
    world = World([Event(1, 1), Event(4, 2)])
    users, items = ["user-1", "nobody", "user-4", "user-1"], ["item-9", "item-9", "item-9", "item-3"]
    scores = world.recommender.predict_pairs(users, items).scores
    alone = [world.recommender.predict(user, [item]).scores[0] for user, item in zip(users, items, strict=True)]
    assert scores == alone
    assert len(set(scores)) == 4


def test_an_item_without_a_score_is_none_and_the_order_is_the_one_asked_for() -> None:
    scored = World().recommender.predict("user-1", ["item-3", "never heard of", "item-2"])
    assert scored.scores[1] is None
    assert list(scored.item_ids) == ["item-3", "never heard of", "item-2"]
    assert None not in (scored.scores[0], scored.scores[2])
    assert scored.scores[0] != scored.scores[2]


def test_popularity_follows_what_came_since_the_training() -> None:
    world = World()
    world.did(*(Event(20 + user, 9) for user in range(3)))
    before = world.recommender.predict("nobody", ["item-9"]).scores[0]
    world.freshen()
    known = world.live.current().served.popularity[8]
    assert before == np.float32(np.log1p(known))
    assert world.recommender.predict("nobody", ["item-9"]).scores == [np.float32(np.log1p(known + 3))]


def test_before_the_first_model_predictions_are_refused() -> None:
    world = World(model=False)
    assert world.recommender.items_of_model() == 0
    with pytest.raises(NoModelError):
        world.recommender.predict("user-1", None)
    with pytest.raises(NoModelError):
        world.recommender.predict_pairs(["user-1"], ["item-1"])
