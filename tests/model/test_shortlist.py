from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.shortlist import EXCLUDED, ITEMS_OF_A_BLOCK, Shortlist, top_k
from tests.model.small_models import bits, full_sort


def in_parts(scores_IB, sizes):
    """Cuts of these sizes, again and again until all items are in one."""
    first, turn = 0, 0
    while first < len(scores_IB):
        size = sizes[turn % len(sizes)]
        yield first, np.ascontiguousarray(scores_IB[first : first + size])
        first, turn = first + size, turn + 1


def best_of(exact_IB, *, k, error=0.0, noise_IB=None, excluded=(), sizes=(10**9,), asked=None):
    """What a shortlist finds; `excluded`: pairs of an item and a user."""
    # 0.999: the float32 rounding of the noisy score must not take it past the error.
    noise = 0.0 if noise_IB is None else noise_IB * error * 0.999
    approximate_IB = (exact_IB + noise).astype(np.float32)
    for item, user in excluded:
        approximate_IB[item, user] = EXCLUDED
    shortlist = Shortlist(k, np.full(exact_IB.shape[1], error))
    for first, part in in_parts(approximate_IB, sizes):
        shortlist.add(first, part)

    def exact(users, numbers):
        if asked is not None:
            asked.extend(zip(users.tolist(), numbers.tolist(), strict=True))
        return exact_IB[numbers, users]

    return shortlist.best(exact)


def check(found, exact_IB, *, k, excluded=()):
    assert len(found) == exact_IB.shape[1]
    for user, (numbers, scores) in enumerate(found):
        left_out = [item for item, whose in excluded if whose == user]
        assert numbers.tolist() == full_sort(exact_IB[:, user].tolist(), k, left_out)
        assert bits(scores) == bits(exact_IB[numbers, user])
        assert (numbers.dtype, scores.dtype) == (np.int64, np.float32)


# Few different values, so that ties are everywhere, and noise as large as the error allows.
@given(data=st.data(), users=st.integers(1, 3), items=st.integers(1, 25), error=st.sampled_from([0.0, 1e-6, 0.3, 2.0]))
def test_it_equals_a_full_sort_by_exact_score_and_number(data, users, items, error):
    values = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.25000003, 0.5])
    cells = items * users
    exact = data.draw(st.lists(values, min_size=cells, max_size=cells))
    noise = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=cells, max_size=cells))
    excluded = data.draw(st.lists(st.tuples(st.integers(0, items - 1), st.integers(0, users - 1)), max_size=30))
    k = data.draw(st.integers(1, 30))
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    exact_IB = np.array(exact, dtype=np.float32).reshape(items, users)
    noise_IB = np.array(noise).reshape(items, users)

    found = best_of(exact_IB, k=k, error=error, noise_IB=noise_IB, excluded=excluded, sizes=sizes)

    check(found, exact_IB, k=k, excluded=excluded)


# Parts that are cut into blocks: of 32 items and of two, with a rest and without one.
@pytest.mark.parametrize("sizes", [[64 * ITEMS_OF_A_BLOCK], [2500], [5000], [131, 3000], [7, 2049, 64]], ids=str)
@pytest.mark.parametrize(("users", "k"), [(1, 1), (1, 10), (3, 10), (16, 10), (5, 300)])
@pytest.mark.parametrize(
    "order",
    [lambda exact: exact, lambda exact: np.sort(exact, axis=0), lambda exact: -np.sort(-exact, axis=0)],
    ids=["any order", "rising", "falling"],
)
def test_blocks_change_nothing(sizes, users, k, order):
    generator = np.random.default_rng(users * 1000 + k)
    exact_IB = generator.choice(np.linspace(-1, 1, 700).astype(np.float32), (5_000, users))
    exact_IB = order(exact_IB)
    noise_IB = generator.uniform(-1, 1, exact_IB.shape)
    excluded = [(int(item), int(user)) for user in range(users) for item in np.argsort(-exact_IB[:, user])[: 2 * user]]

    found = best_of(exact_IB, k=k, error=0.01, noise_IB=noise_IB, excluded=excluded, sizes=sizes)

    check(found, exact_IB, k=k, excluded=excluded)


@pytest.mark.parametrize("blocks", [True, False])
def test_columns_beyond_the_users_are_not_looked_at(blocks):
    items = 5_000 if blocks else 50
    exact_IB = np.random.default_rng(4).standard_normal((items, 3)).astype(np.float32)
    shortlist = Shortlist(10, np.zeros(3), width=4)

    shortlist.add(0, np.hstack([exact_IB, np.full((items, 1), 1e30, dtype=np.float32)]))

    check(shortlist.best(lambda users, numbers: exact_IB[numbers, users]), exact_IB, k=10)


def test_users_with_few_items_left_get_all_of_them():
    exact_IB = np.arange(6_000, dtype=np.float32).reshape(3_000, 2)
    excluded = [(item, 1) for item in range(3_000) if item not in {5, 1_700, 2_999}]

    found = best_of(exact_IB, k=10, error=0.5, excluded=excluded, sizes=[1_000])

    check(found, exact_IB, k=10, excluded=excluded)
    assert found[1][0].tolist() == [2_999, 1_700, 5]


def test_only_items_near_the_top_are_scored_exactly():
    asked = []
    scores = np.random.default_rng(1).permutation(10_000).astype(np.float32)[:, np.newaxis]

    best_of(scores, k=10, error=1.0, sizes=[4_000], asked=asked)

    assert sorted(scores[number, 0] for _, number in asked) == list(range(9_988, 10_000))


def test_it_stays_short_where_every_part_is_better_than_the_ones_before():
    shortlist = Shortlist(5, np.zeros(2))
    for first in range(0, 40_000, 4_000):
        shortlist.add(first, np.arange(2 * first, 2 * first + 8_000, dtype=np.float32).reshape(4_000, 2))
        assert len(shortlist) <= 4 * 5 * 2

    assert [numbers.tolist() for numbers, _ in shortlist.best(lambda users, numbers: numbers.astype(np.float32))] == [
        [39_999, 39_998, 39_997, 39_996, 39_995]
    ] * 2


def test_scores_of_the_smallest_size_are_no_excluded_ones():
    exact_IB = np.array([[np.finfo(np.float32).min / 2], [0.0]], dtype=np.float32)

    check(best_of(exact_IB, k=5, error=1.0), exact_IB, k=5)


def test_nothing_left_gives_nothing():
    exact_IB = np.ones((3, 2), dtype=np.float32)

    found = best_of(exact_IB, k=5, excluded=[(item, user) for item in range(3) for user in range(2)])

    assert [(numbers.tolist(), scores.tolist()) for numbers, scores in found] == [([], []), ([], [])]


def test_no_part_gives_nothing():
    found = Shortlist(5, np.zeros(2)).best(lambda users, numbers: numbers.astype(np.float32))

    assert [(numbers.tolist(), scores.dtype) for numbers, scores in found] == [([], np.float32)] * 2


@given(
    scores=st.lists(st.sampled_from([-1.0, 0.0, 0.5, -np.inf]), max_size=200),
    k=st.integers(0, 250),
)
@example(scores=[0.0] * 200, k=3)
def test_the_best_of_exact_scores_leave_out_what_is_excluded(scores, k):
    numbers, found = top_k(np.array(scores, dtype=np.float32), k=k)

    excluded = [number for number, score in enumerate(scores) if score == -np.inf]
    assert numbers.tolist() == full_sort(scores, k, excluded)
    assert found.tolist() == [scores[number] for number in numbers]
