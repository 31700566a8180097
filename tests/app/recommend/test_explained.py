"""Explanations: what each item of a history adds to a score, and that all of it together is the score."""

from __future__ import annotations

import numpy as np
import pytest

from app.recommend import Prepared, Ranked, RankedItem, SessionEvent, Wanted
from model.policy import Repeats
from tests.app.recommend.versions import DIMENSIONS
from tests.app.recommend.worlds import (
    DAY_US,
    ITEMS,
    NOW_US,
    TRAINED_US,
    Event,
    World,
    bits,
    ids,
    item_id,
    item_key,
    record,
)

ALL = Wanted(limit=100, explain=True)
TRAINED = [
    *(Event(1, key, at=TRAINED_US - key * DAY_US) for key in range(1, 9)),
    *(Event(2, key, "purchase", value=float(key)) for key in (3, 4)),
    *(Event(3, 5, at=TRAINED_US - day * DAY_US) for day in range(3)),
]
REPEATS = {"repeats": Repeats(0.8, 5.0 * DAY_US), "fold_in_half_life_us": 7.0 * DAY_US}


def plain_shares(world: World, user_key: int, item: RankedItem) -> dict[str, float]:
    """What each item of a history adds to the personal part of a score: by the definition, in plain Python."""
    served = world.live.current().served
    policy = served.policy
    rows = [row for row in world.rows_of(user_key) if row.item_key <= world.items]
    said: dict[int, float] = {}
    last = {row.item_key: max(each.occurred_us for each in rows if each.item_key == row.item_key) for row in rows}
    for row in rows:
        said[row.item_key] = said.get(row.item_key, 0.0) + row.value
    half_life = policy.fold_in_half_life_us or np.inf
    weights = {key: np.log2(1 + said[key]) * 2 ** ((last[key] - max(last.values())) / half_life) for key in said}
    parts = {key: weights[key] * served.item_vectors[key - 1].astype(float) @ served.fold_in_matrices for key in said}
    total = sum(weights.values())
    mapped = sum(parts.values()) / total + served.fold_in_offsets[0]
    vector = served.item_vectors[item_key(item.item_id) - 1]
    scale = policy.fold_in_length / np.linalg.norm(mapped) / total
    found = {key: float(scale * parts[key] @ vector) for key in said}
    own = item_key(item.item_id)
    if policy.repeats is not None and own in found:
        half_life = policy.repeats.half_life
        counts = [2 ** (-max(policy.popularity_now_us - row.occurred_us, 0) / half_life) for row in rows]
        count = sum(each for each, row in zip(counts, rows, strict=True) if row.item_key == own)
        found[own] += policy.repeats.weight * np.log1p(count)
    return {item_id(key): share for key, share in found.items()}


def assert_sums(ranked: Ranked) -> None:
    """Shares fall, are above 0, and sum to the score with the remainder."""
    assert ranked.items
    for item in ranked.items:
        shares = [share.contribution for share in item.because]
        assert sum(shares) + item.because_remainder == pytest.approx(item.score, abs=1e-4)
        assert shares == sorted(shares, reverse=True)
        assert all(share > 0 for share in shares)
        assert len(shares) <= 5


@pytest.mark.parametrize("policy", [{}, REPEATS])
@pytest.mark.parametrize("user_key", [1, 2, 3, 7])
def test_the_five_largest_shares_are_what_the_definition_says(policy: dict[str, object], user_key: int) -> None:
    world = World(TRAINED, policy=policy, repeats_included=True)
    world.did(*(Event(7, key, at=TRAINED_US - key * DAY_US) for key in range(20, 27)))
    ranked = world.recommender.for_user(f"user-{user_key}", ALL)
    assert_sums(ranked)
    assert len(ranked.items) == ITEMS
    told = 0
    for item in ranked.items:
        shares = plain_shares(world, user_key, item)
        best = sorted((share for share in shares.values() if share > 0), reverse=True)[:5]
        assert [share.contribution for share in item.because] == pytest.approx(best, abs=1e-5)
        assert [shares[share.item_id] for share in item.because] == pytest.approx(best, abs=1e-5)
        told += len(item.because)
    assert told > ITEMS / 2


def test_the_remainder_is_what_popularity_bias_offset_and_the_other_items_add() -> None:
    world = World(TRAINED)
    served = world.live.current().served
    ranked = world.recommender.for_user("user-1", ALL)
    rest_of_map = np.array(
        [
            sum(plain_shares(world, 1, item).values()) - sum(s.contribution for s in item.because)
            for item in ranked.items
        ]
    )
    numbers = np.array([item_key(item.item_id) - 1 for item in ranked.items])
    vectors = served.item_vectors.astype(float)
    x, priors = served.user_vectors[0].astype(float), world.live.current().candidates.priors[served.user_groups[0]]
    personal = vectors[numbers] @ x
    of_offset = personal - np.array([sum(plain_shares(world, 1, item).values()) for item in ranked.items])
    expected = priors[numbers] + of_offset + rest_of_map
    assert [item.because_remainder for item in ranked.items] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_history_of_few_items_explains_all_of_a_score_that_nothing_else_adds_to() -> None:
    world = World(
        [Event(1, 1), Event(1, 2)],
        item_biases=np.zeros(ITEMS, dtype=np.float32),
        betas=np.zeros(4),
        fold_in_offsets=np.zeros((1, DIMENSIONS), dtype=np.float32),
        fold_in_matrices=np.eye(DIMENSIONS, dtype=np.float32),
    )
    ranked = world.recommender.for_user("user-1", ALL)
    assert_sums(ranked)
    whole = [item for item in ranked.items if len(item.because) == 2]
    assert len(whole) > 3
    assert [item.because_remainder for item in whole] == pytest.approx([0.0] * len(whole), abs=1e-5)


def test_an_own_item_speaks_for_itself_with_its_part_of_the_score() -> None:
    # Without a map every item speaks for itself.
    plain = {"fold_in_matrices": np.eye(DIMENSIONS, dtype=np.float32), "repeats_included": True}
    with_part = World(TRAINED, policy=REPEATS, **plain)
    without = World(TRAINED, policy=REPEATS | {"repeats": None}, **plain)
    shares = [
        {
            item.item_id: {share.item_id: share.contribution for share in item.because}
            for item in world.recommender.for_user("user-2", ALL).items
        }
        for world in (with_part, without)
    ]
    age = (NOW_US - TRAINED_US) / (5.0 * DAY_US)
    part = 0.8 * np.log1p(2**-age)
    for own, other in (("item-3", "item-4"), ("item-4", "item-3")):
        assert shares[0][own][own] - shares[1][own][own] == pytest.approx(part, abs=1e-5)
        assert shares[0][own].get(other) == pytest.approx(shares[1][own].get(other))


def test_a_new_item_is_explained_too() -> None:
    world = World(TRAINED, records=[record(key, "tea") for key in (1, 2, 3)])
    world.put(record(ITEMS + 1, "tea"))
    world.freshen()
    ranked = world.recommender.for_user(
        "user-1", Wanted(limit=100, explain=True, categories=["tea"], include_seen=True)
    )
    assert_sums(ranked)
    new = next(item for item in ranked.items if item.item_id == item_id(ITEMS + 1))
    assert new.source == "new"
    # It stands at the mean of its category's items, and so does its share.
    others = [plain_shares(world, 1, item) for item in ranked.items if item is not new]
    for share in new.because:
        assert share.contribution == pytest.approx(np.mean([each[share.item_id] for each in others]), abs=1e-5)
    assert new.because


@pytest.mark.parametrize("model", [True, False])
def test_a_popular_list_is_explained_by_nothing(model: bool) -> None:
    world = World(TRAINED, model=model)
    lists = [world.recommender.for_user("nobody", ALL), world.recommender.popular(ALL)]
    for ranked in [*lists, world.recommender.for_session([SessionEvent("never heard of", "view", 1.0)], ALL)]:
        assert ranked.source == "popular"
        assert [(list(item.because), item.because_remainder) for item in ranked.items] == [
            ([], item.score) for item in ranked.items
        ]


def test_a_visitor_s_list_is_explained_by_the_session() -> None:
    world = World(TRAINED, policy=REPEATS, repeats_included=True)
    ranked = world.recommender.for_session([SessionEvent(item_id(key), "view", 1.0) for key in (20, 21)], ALL)
    assert_sums(ranked)
    assert {share.item_id for item in ranked.items for share in item.because} == {"item-20", "item-21"}


def test_only_what_asks_for_it_is_explained_and_the_list_is_the_same() -> None:
    world = World(TRAINED)
    plain, explained = (world.recommender.for_user("user-1", Wanted(explain=each)) for each in (False, True))
    assert bits(plain) == bits(explained)
    assert {(item.because, item.because_remainder) for item in plain.items} == {(None, None)}
    assert any(item.because for item in explained.items)


def test_an_interaction_that_comes_between_looking_up_and_ranking_breaks_no_explanation() -> None:
    for change in (
        lambda world: world.interact(2, *range(30, 40)),
        lambda world: world.take_back(9, 10),
    ):
        world = World(TRAINED, policy=REPEATS, repeats_included=True)
        prepared = world.recommender.prepare("user-2", ALL)
        assert isinstance(prepared, Prepared)
        before = ids(world.recommender.for_user("user-2", ALL))
        change(world)
        ranked = world.recommender.rank([prepared])[0]
        assert ids(ranked) == before
        assert_sums(ranked)
