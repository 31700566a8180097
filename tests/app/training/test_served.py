"""A fitted policy as the version that is served: the same scores, and the same vectors from the same history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from app.db.watermark import START
from app.training.dataset import Events, pairs, positives
from app.training.served import served_model
from app.training.window import by_number
from model.candidates import Candidates
from model.fold_in import FoldInSettings
from model.policy import FittedPolicy, Learnt, Policy, Repeats
from model.positives import EventWeights
from model.served import ServedModel
from model.user_factors import UserEvents, as_trained, chosen_items, folded_in
from tests.app.training.conftest import START_US

HOUR_US = 3_600_000_000
TYPES = ("click", "dislike", "purchase")
WEIGHTS: EventWeights = {"purchase": 4.0, "dislike": "hide"}
POLICIES = {
    "plain": Policy((0.5, 0.4, 0.3, 0.2)),
    "aged, whitened": Policy((0.5, 0.4, 0.3, 0.2), 50.0 * HOUR_US, FoldInSettings("whitened", 0.3, 30.0 * HOUR_US)),
    "affine, with repeats": Policy((0.1,) * 4, 9.0 * HOUR_US, FoldInSettings("affine"), Repeats(2.0, 20.0 * HOUR_US)),
}


class Trained(NamedTuple):
    """What a training made, and of what."""

    served: ServedModel
    fitted: FittedPolicy
    events: Events


def some_events(*, users: int = 9, items: int = 14, count: int = 4_000) -> Events:
    """Users have the keys 5, 8, 11, ..., items 2, 4, 6, ...; the first user does nothing but dislike."""
    generator = np.random.default_rng(4)
    codes = generator.integers(0, 3, count)
    user_numbers = generator.integers(0, users, count)
    codes[user_numbers == 0] = TYPES.index("dislike")
    return Events(
        user_keys=user_numbers * 3 + 5,
        item_keys=generator.integers(1, items + 1, count) * 2,
        event_codes=codes.astype(np.uint16),
        event_types=TYPES,
        values=np.where(np.arange(count) % 500 == 0, 1_000, generator.uniform(0.5, 3.0, count)).astype(np.float32),
        times_us=START_US + generator.integers(0, 200, count) * HOUR_US,
        watermark=START,
    )


def trained(policy: Policy) -> Trained:
    events = some_events()
    rows = positives(events, WEIGHTS)
    numbered = pairs(rows)
    generator = np.random.default_rng(1)
    sizes = (len(numbered.user_keys), 6), (len(numbered.item_keys), 6), (len(numbered.item_keys),)
    learnt = Learnt(*(generator.standard_normal(size, dtype=np.float32) for size in sizes))
    fitted = FittedPolicy(policy, learnt, by_number(rows, numbered))
    served = served_model(fitted, learnt, numbered, rows=rows, events=events, event_weights=WEIGHTS)
    return Trained(served, fitted, events)


def of_user(events: Events, user_key: int) -> UserEvents:
    mine = events.user_keys == user_key
    return UserEvents(events.item_keys, events.event_codes, events.times_us, events.values).take(mine)


@pytest.mark.parametrize("name", POLICIES)
def test_the_version_gives_the_scores_that_the_policy_was_judged_by(name: str) -> None:
    served, fitted, events = trained(POLICIES[name])
    # The training numbered the items by key.
    candidates, every = Candidates.as_trained(served), served.items_by_key
    types = served.policy.weights_of(TYPES)
    for number, key in enumerate(served.user_keys.tolist()):
        chosen = chosen_items(served, of_user(events, key), types=types, now_us=candidates.now_us)
        expected = fitted.scores(np.array([number]), repeats=POLICIES[name].repeats is not None)[0]
        scores = candidates.scores(as_trained(served, number, chosen), every)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
def test_a_history_that_is_folded_in_later_gives_the_vector_of_the_training(name: str) -> None:
    served, _, events = trained(POLICIES[name])
    types = served.policy.weights_of(TYPES)
    for number, key in enumerate(served.user_keys.tolist()):
        factors = folded_in(served, chosen_items(served, of_user(events, key), types=types, now_us=0.0))
        np.testing.assert_allclose(factors.vector, served.user_vectors[number], rtol=1e-4, atol=1e-5)
        assert factors.group == served.user_groups[number]


def test_a_users_history_counts_what_says_nothing_for_an_item_too() -> None:
    served, _, events = trained(POLICIES["plain"])
    rows = positives(events, WEIGHTS)
    assert len(rows) < len(events)
    for key, size in zip(served.user_keys.tolist(), served.history_sizes.tolist(), strict=True):
        assert size == np.count_nonzero(events.user_keys == key)


@pytest.mark.parametrize("name", POLICIES)
def test_the_most_popular_items_come_first(name: str) -> None:
    served = trained(POLICIES[name]).served
    by_hand = sorted(zip((-served.popularity).tolist(), served.item_keys.tolist(), strict=True))
    assert served.item_keys.tolist() == [key for _, key in by_hand]
    assert len(set(served.popularity.tolist())) > 3


def test_who_only_dislikes_is_no_user_of_the_version() -> None:
    served, _, events = trained(POLICIES["plain"])
    assert 5 in events.user_keys
    assert served.user_number(5) is None
    assert served.num_users == 8


@pytest.mark.parametrize("name", POLICIES)
def test_the_version_comes_back_from_its_arrays_and_facts(name: str) -> None:
    served = trained(POLICIES[name]).served
    again = ServedModel.from_arrays(served.arrays(), served.facts())
    assert again.policy == served.policy
    assert again.policy.repeats == POLICIES[name].repeats
    assert again.policy.popularity_half_life_us == POLICIES[name].half_life
    assert dict(again.policy.event_weights) == WEIGHTS
    for array, stored in served.arrays().items():
        np.testing.assert_array_equal(again.arrays()[array], stored)
