"""Filtered lists against the slow way: score every item, leave out in plain Python what must not stand there, sort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.items import ItemRecord
from app.live.seen import SeenRule
from app.recommend import Ranked, Wanted
from model.policy import Repeats
from model.products import ITEMS_OF_A_STEP
from tests.app.recommend.worlds import DAY_US, NOW_US, TRAINED_US, Event, World, item_id, item_key, record, user_id

USERS = 6
NEWCOMERS = (7, 8)
CATEGORIES = ("tea", "cups", "rare", "of new items alone", "of nobody")
EVENT_TYPES = ("view", "purchase", "dislike")
WIDTH = 3


def random_record(key: int, random: np.random.Generator, *, new: bool) -> ItemRecord:
    shares = (0.5, 0.3, 0.01, 0.3 if new else 0.0, 0.0)
    categories = [name for name, share in zip(CATEGORIES, shares, strict=True) if random.random() < share]
    from_us, until_us = (NOW_US + int(days) * DAY_US for days in random.integers(-2, 3, 2))
    return record(
        key,
        *categories,
        title=f"Title {random.integers(9)}" if random.random() < 0.5 else None,
        hidden=random.random() < 0.1,
        deleted=random.random() < 0.1,
        available_from_us=from_us if random.random() < 0.1 else None,
        available_until_us=until_us if random.random() < 0.1 else None,
    )


def random_events(count: int, users: Sequence[int], items: int, random: np.random.Generator, *, at: int) -> list[Event]:
    # Few items are chosen often, so that repeats happen.
    chosen = 1 + (items * random.random(count) ** 3).astype(int)
    return [
        Event(
            int(random.choice(users)),
            int(key),
            str(random.choice(EVENT_TYPES, p=(0.6, 0.25, 0.15))),
            at - int(random.integers(0, 20)) * DAY_US,
            float(random.choice([0.5, 1.0, 3.0])),
        )
        for key in chosen
    ]


def random_world(items: int, random: np.random.Generator) -> World:
    rule = SeenRule(
        event_types=None if random.random() < 0.5 else frozenset({"purchase"}),
        days=None if random.random() < 0.5 else 12.0,
        hidden_types=frozenset({"dislike"}),
    )
    # Of few different vectors: many items have the same score.
    vectors = random.integers(-1, 2, size=(items, WIDTH)).astype(np.float32)
    popularity = random.integers(0, random.choice([3, 300]), items).astype(np.float64)
    world = World(
        random_events(int(random.integers(1, 40)), range(1, USERS + 1), items, random, at=TRAINED_US),
        items=items,
        records=[random_record(key, random, new=False) for key in range(1, items + 1) if random.random() < 0.9],
        rule=rule,
        repeats_included=[None, True, False][random.integers(3)],
        policy={"repeats": Repeats(1.0, 5.0 * DAY_US) if random.random() < 0.5 else None},
        # In an order of their own, and the most popular ones first, as those of a training, or not.
        item_keys=random.permutation(items) + 1,
        popularity=-np.sort(-popularity) if random.random() < 0.7 else popularity,
        betas=np.full(4, random.choice([0.0, 0.5, 3.0])),
        item_vectors=vectors,
        item_biases=random.integers(0, 2, items).astype(np.float32),
        fold_in_matrices=np.eye(WIDTH, dtype=np.float32),
        fold_in_offsets=np.zeros((1, WIDTH), dtype=np.float32),
    )
    later = (*range(1, USERS + 1, 2), *NEWCOMERS)
    world.did(*random_events(int(random.integers(0, 20)), later, items + 6, random, at=NOW_US))
    world.put(*(random_record(key, random, new=True) for key in range(items + 1, items + 9) if random.random() < 0.7))
    world.put(*(random_record(key, random, new=False) for key in range(1, items + 1) if random.random() < 0.1))
    world.freshen()
    return world


def random_wanted(items: int, random: np.random.Generator) -> Wanted:
    def some(names: Sequence[str], share: float) -> list[str]:
        return [] if random.random() > share else random.choice(names, size=random.integers(1, 3)).tolist()

    everything = [item_id(key) for key in range(1, items + 12)]
    excluded = random.choice(everything, size=random.integers(0, items // 2 + 2)).tolist()
    return Wanted(
        limit=int(random.choice([1, 2, 5, 10, 50, 500])),
        exclude_items=["never heard of", *excluded] if random.random() < 0.5 else [],
        include_seen=[None, True, False][random.integers(3)],
        categories=some(CATEGORIES, 0.4),
        categories_any=some(CATEGORIES, 0.3),
        exclude_categories=some(CATEGORIES, 0.3),
        max_per_category=int(random.integers(1, 4)) if random.random() < 0.3 else None,
        explain=bool(random.random() < 0.2),
    )


def the_slow_way(world: World, user_key: int, wanted: Wanted) -> list[tuple[str, str, str]]:
    """Ids, scores and sources of what must be in the list, in order."""
    scored = world.recommender.predict(user_id(user_key), world.item_ids)
    live = world.live.current()
    rule, policy = world.rule, live.served.policy
    includes_seen = wanted.include_seen
    if includes_seen is None:
        includes_seen = policy.repeats is not None if world.repeats_included is None else world.repeats_included
    hidden, seen = set(), set()
    for row in world.rows_of(user_key):
        young = rule.days is None or row.occurred_us >= NOW_US - rule.days * DAY_US
        if row.event_type in rule.hidden_types:
            hidden.add(row.item_key)
        elif (rule.event_types is None or row.event_type in rule.event_types) and young:
            seen.add(row.item_key)
    left_out = hidden | {item_key(each) for each in wanted.exclude_items if each != "never heard of"}
    if not includes_seen:
        left_out |= seen
    fitting = []
    for name, score in zip(scored.item_ids, scored.scores, strict=True):
        key = item_key(name)
        each = world.records.get(key) or record(key)
        categories = set(each.categories)
        if (
            score is not None
            and key not in left_out
            and not each.hidden
            and not each.deleted
            and (each.available_from_us is None or each.available_from_us <= NOW_US)
            and (each.available_until_us is None or each.available_until_us > NOW_US)
            and categories.issuperset(wanted.categories)
            and (not wanted.categories_any or not categories.isdisjoint(wanted.categories_any))
            and categories.isdisjoint(wanted.exclude_categories)
        ):
            fitting.append((name, score, categories))
    number = dict(
        zip(world.item_ids, live.candidates.numbers(np.array(list(map(item_key, world.item_ids)))), strict=True)
    )
    fitting.sort(key=lambda each: (-each[1], number[each[0]]))
    counts: Counter[str] = Counter()
    listed = []
    for name, score, categories in fitting:
        if wanted.max_per_category is None or all(counts[one] < wanted.max_per_category for one in categories):
            counts.update(categories)
            source = "new" if item_key(name) > world.items else scored.source
            listed.append((name, score.hex(), "repeat" if includes_seen and item_key(name) in seen else source))
    return listed[: wanted.limit]


def check(world: World, user_keys: Sequence[int], wanted: Wanted, lists: Sequence[Ranked]) -> None:
    for user_key, ranked in zip(user_keys, lists, strict=True):
        expected = the_slow_way(world, user_key, wanted)
        assert [(item.item_id, item.score.hex(), item.source) for item in ranked.items] == expected
        assert [item.rank for item in ranked.items] == list(range(1, len(expected) + 1))
        titles = [(world.records.get(item_key(name)) or record(0)).title for name, _, _ in expected]
        assert [item.title for item in ranked.items] == titles


def compare(items: int, seed: int, *, lists: int) -> None:
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("model.products.ITEMS_OF_A_STEP", int(random.choice([1, 7, ITEMS_OF_A_STEP])))
        compare_all(items, random, lists=lists)


def compare_all(items: int, random: np.random.Generator, *, lists: int) -> None:
    world = random_world(items, random)
    user_keys = [*range(1, USERS + 1), *NEWCOMERS, 99]
    for _ in range(lists):
        wanted = random_wanted(items, random)
        check(world, user_keys, wanted, world.recommender.for_users(list(map(user_id, user_keys)), wanted))
        one = int(random.choice(user_keys))
        check(world, [one], wanted, [world.recommender.for_user(user_id(one), wanted)])


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(items=st.sampled_from([1, 4, 30, 150]), seed=SEEDS)
def test_a_filtered_list_is_what_the_slow_way_gives(items: int, seed: int) -> None:
    compare(items, seed, lists=5)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.sampled_from([3, 30, 700, 6000]), seed=SEEDS)
def test_a_filtered_list_of_many_items_is_what_the_slow_way_gives(items: int, seed: int) -> None:
    compare(items, seed, lists=3)


def test_a_list_is_full_when_only_one_item_in_a_hundred_fits() -> None:
    random = np.random.default_rng(8)
    rare = set(range(7, 3001, 100))
    world = World(items=3000, records=[record(key, "rare" if key in rare else "common") for key in range(1, 3001)])
    wanted = Wanted(limit=20, categories=["rare"], exclude_items=[item_id(key) for key in random.choice(3000, 200)])
    user_keys = [1, 2, 99]
    lists = world.recommender.for_users(list(map(user_id, user_keys)), wanted)
    assert [len(ranked.items) for ranked in lists] == [20, 20, 20]
    check(world, user_keys, wanted, lists)


def test_an_unknown_category_gives_an_empty_list() -> None:
    world = World(records=[record(1, "tea")])
    for user in ("user-1", "nobody"):
        assert world.recommender.for_user(user, Wanted(categories=["of nobody"])).items == []
        assert world.recommender.for_user(user, Wanted(categories_any=["of nobody"])).items == []
        assert len(world.recommender.for_user(user, Wanted(exclude_categories=["of nobody"])).items) == 10


def test_a_list_is_full_however_many_items_of_one_category_come_before_the_others() -> None:
    # All tea is more popular, better liked by everybody, and points where item 1 does.
    tea = np.arange(1, 401) < 380
    vectors = np.where(tea[:, np.newaxis], [1.0, 0.1, 0.0], [0.0, 0.1, 1.0]).astype(np.float32)
    world = World(
        items=400,
        records=[record(key, "tea") for key in range(1, 380)],
        item_vectors=vectors,
        item_biases=np.where(tea, 9.0, 0.0).astype(np.float32),
        popularity=np.where(tea, 9.0, 0.0),
        fold_in_matrices=np.eye(WIDTH, dtype=np.float32),
        fold_in_offsets=np.zeros((1, WIDTH), dtype=np.float32),
    )
    wanted = Wanted(limit=4, max_per_category=1)
    user_keys = [1, 99]
    check(world, user_keys, wanted, world.recommender.for_users(list(map(user_id, user_keys)), wanted))
    similar = world.recommender.similar("item-1", wanted)
    assert [item.item_id for item in similar.items] == ["item-2", "item-380", "item-381", "item-382"]


def test_items_that_share_no_category_do_not_crowd_each_other_out() -> None:
    world = World(records=[record(key, "tea") for key in range(1, 39)])
    ranked = world.recommender.for_user("nobody", Wanted(limit=40, max_per_category=2))
    tea = [item for item in ranked.items if item_key(item.item_id) < 39]
    assert len(tea) == 2
    assert len(ranked.items) == 4
