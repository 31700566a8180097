"""The prior that held out users choose."""

from __future__ import annotations

import numpy as np
import pytest

from app.training.dataset import Pairs, Positives, pairs
from app.training.prior import LARGEST_GIVEN, Prior, choose, half_lives, judge, popularity
from app.training.recipe import Factors
from model.evaluation import ItemsByUser
from model.evaluation.temporal import Window

NUM_USERS, NUM_ITEMS = 120, 60
DAY = 1_000


def rows(items: list[int], times: list[int]) -> Positives:
    count = len(items)
    return Positives(np.arange(count) % NUM_USERS, np.array(items), np.array(times), np.ones(count), left_out={})


def world() -> tuple[Positives, Pairs]:
    """Items 0-29 were popular long ago, items 30-59 are popular now."""
    old = [item for item in range(30) for _ in range(6)]
    new = [item for item in range(30, 60) for _ in range(4)]
    times = [*range(len(old)), *(100 * DAY + place for place in range(len(new)))]
    found = rows(old + new, times)
    return found, pairs(found)


def factors(personal: np.ndarray) -> Factors:
    """Vectors whose products are the given scores (users, items)."""
    user_vectors = np.eye(NUM_USERS, dtype=np.float32)
    return Factors(user_vectors, personal.T.astype(np.float32), np.zeros(NUM_ITEMS, dtype=np.float32), 1, 0.0)


def window(relevant: list[int]) -> Window:
    nothing_seen = ItemsByUser(np.zeros(NUM_USERS + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    wanted = [np.array([item]) for item in relevant]
    return Window(np.arange(NUM_USERS), nothing_seen, wanted, NUM_ITEMS)


def chosen(relevant: list[int], personal: np.ndarray) -> Prior:
    found, numbered = world()
    return choose(
        window(relevant), factors(personal), found, numbered, candidates=half_lives(found), check=lambda: None
    )


def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(NUM_USERS, NUM_ITEMS))


def test_personal_scores_that_know_nothing_lose_to_recent_popularity() -> None:
    lately = [30 + user % 30 for user in range(NUM_USERS)]

    beta, half_life_us = chosen(lately, 5 * noise())

    assert beta >= LARGEST_GIVEN
    assert half_life_us is not None


def test_personal_scores_that_know_everything_are_not_drowned_by_the_prior() -> None:
    wanted = [user % NUM_ITEMS for user in range(NUM_USERS)]
    personal = np.zeros((NUM_USERS, NUM_ITEMS))
    personal[np.arange(NUM_USERS), wanted] = 0.5

    assert chosen(wanted, personal).beta <= 2.0


def test_the_judge_scores_policy_and_rivals_for_the_same_users() -> None:
    found, numbered = world()
    wanted = [30 + user % 20 for user in range(NUM_USERS)]
    only_popularity = Prior(1000.0, 10.0 * DAY)

    verdict = judge(
        window(wanted),
        factors(np.zeros((NUM_USERS, NUM_ITEMS))),
        found,
        numbered,
        prior=only_popularity,
        check=lambda: None,
    )

    np.testing.assert_array_equal(verdict.policy, verdict.popular_recent)
    assert verdict.popular_all_time.mean() < verdict.popular_recent.mean()


def test_half_lives_follow_the_span_of_the_data() -> None:
    assert half_lives(rows([1, 2], [0, 1024]))[:3] == [None, 512.0, 256.0]
    assert half_lives(rows([1, 2], [7, 7])) == [None]


def test_popularity_is_by_number_and_counts_back_from_the_newest_row() -> None:
    found = rows([5, 5, 9], [0, 100, 100])

    np.testing.assert_allclose(popularity(found, pairs(found), 100.0), [1.5, 1.0])


def test_a_few_rows_far_ahead_of_all_others_do_not_age_everything_else() -> None:
    items, times = [item for item in range(30) for _ in range(10)], list(range(300))
    plain = rows(items, times)
    with_stray = rows([*items, 0], [*times, 10**12])

    before = popularity(plain, pairs(plain), 50.0)
    after = popularity(with_stray, pairs(with_stray), 50.0)

    assert before[29] > 8
    np.testing.assert_allclose(after[1:], before[1:], rtol=0.2)
    assert after[0] < before[0] + 1.1


def test_what_the_users_cannot_tell_apart_is_decided_for_popularity() -> None:
    # One user in forty gains by personal scores, another loses as much: no reason to leave popularity.
    lately = [30 + user % 30 for user in range(NUM_USERS)]
    personal = np.zeros((NUM_USERS, NUM_ITEMS))
    personal[0, lately[0]], personal[1, lately[1]] = 20.0, -20.0

    assert chosen(lately, personal).beta == LARGEST_GIVEN


def test_giving_up_is_possible_between_batches() -> None:
    def give_up() -> None:
        raise InterruptedError

    found, numbered = world()
    with pytest.raises(InterruptedError):
        choose(window([1] * NUM_USERS), factors(noise()), found, numbered, candidates=[None], check=give_up)
