from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import ItemsByUser, bootstrap_interval, ndcg_at_k, rank_users, recall_at_k, temporal_cut

NOBODY = np.array([], dtype=np.int64)


def slow_ndcg(ranked, relevant):
    gained = sum(1 / math.log2(place + 1) for place, item in enumerate(ranked, start=1) if item in relevant)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(len(ranked), len(relevant)) + 1))
    return gained / best


def slow_recall(ranked, relevant):
    return len(set(ranked) & relevant) / len(relevant)


@st.composite
def rankings(draw):
    k = draw(st.integers(1, 6))
    users = draw(st.integers(1, 6))
    ranked, relevant = [], []
    for _ in range(users):
        listed = draw(st.permutations(range(9)))[: draw(st.integers(0, k))]
        ranked.append(listed + [-1] * (k - len(listed)))
        relevant.append(draw(st.lists(st.integers(0, 12), min_size=1, max_size=10)))
    return ranked, relevant


@given(case=rankings())
def test_the_metrics_equal_their_definitions(case):
    ranked, relevant = case
    arrays = [np.array(items) for items in relevant]

    np.testing.assert_allclose(
        ndcg_at_k(np.array(ranked), arrays),
        [slow_ndcg(row, set(items)) for row, items in zip(ranked, relevant, strict=True)],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        recall_at_k(np.array(ranked), arrays),
        [slow_recall(row, set(items)) for row, items in zip(ranked, relevant, strict=True)],
        rtol=1e-12,
    )


def test_ndcg_of_a_case_worked_by_hand():
    # Relevant at places 1 and 3 of 3; the best list has them at 1 and 2.
    ndcg = ndcg_at_k(np.array([[5, 0, 7], [7, 5, 1]]), [np.array([7, 5]), np.array([5, 7])])

    assert ndcg[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))
    assert ndcg[1] == 1


def test_a_list_full_of_relevant_items_is_perfect_however_many_more_there_are():
    assert ndcg_at_k(np.array([[3, 1]]), [np.arange(10)]).tolist() == [1]
    assert recall_at_k(np.array([[3, 1]]), [np.arange(10)]).tolist() == [0.2]


def test_an_item_relevant_to_somebody_else_does_not_count():
    ranked = np.array([[1, 2], [3, 4]])

    assert recall_at_k(ranked, [np.array([3, 4]), np.array([1, 2])]).tolist() == [0, 0]


def test_places_without_an_item_hit_nothing():
    # Item 8 of user 0 stands next to the "no item" of user 1 once pairs are numbered in one row.
    ranked = np.array([[0, 1], [-1, -1]])

    assert recall_at_k(ranked, [np.array([8]), np.array([0])]).tolist() == [0, 0]
    assert ndcg_at_k(ranked, [np.array([8]), np.array([0])]).tolist() == [0, 0]


@pytest.mark.parametrize("metric", [ndcg_at_k, recall_at_k])
def test_a_user_nothing_is_relevant_to_is_refused(metric):
    with pytest.raises(ValueError, match="row 1"):
        metric(np.array([[1], [2]]), [np.array([1]), NOBODY])


@pytest.mark.parametrize("metric", [ndcg_at_k, recall_at_k])
def test_lists_and_users_that_disagree_are_refused(metric):
    with pytest.raises(ValueError, match="1 users"):
        metric(np.array([[1], [2]]), [np.array([1])])


def test_the_metrics_of_nobody_are_empty():
    assert ndcg_at_k(np.empty((0, 5), dtype=np.int64), []).tolist() == []
    assert recall_at_k(np.empty((0, 5), dtype=np.int64), []).tolist() == []


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=30),
)
def test_items_are_grouped_by_user_once_each(pairs):
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    grouped = ItemsByUser.from_pairs(users, items, num_users=5)

    expected = [sorted({item for user, item in pairs if user == number}) for number in range(5)]
    assert [items.tolist() for items in grouped.of_each(np.arange(5))] == expected
    assert [grouped.of(number).tolist() for number in range(5)] == expected


@pytest.mark.parametrize("number", [-1, 5])
def test_a_user_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=rf"user number {number} is outside 0\.\.4"):
        ItemsByUser.from_pairs(np.array([0, number]), np.array([0, 0]), num_users=5)


@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 7),
    items=st.integers(1, 12),
    k=st.integers(1, 14),
    batch=st.integers(1, 8),
)
def test_ranking_equals_a_full_sort_without_seen_items(seed, users, items, k, batch):
    generator = np.random.default_rng(seed)
    scores = generator.choice(np.array([-1, 0, 0, 0.5], dtype=np.float32), (users, items))  # ties everywhere
    pairs = np.argwhere(generator.random((users, items)) < generator.random())
    seen = ItemsByUser.from_pairs(*pairs.T, num_users=users)
    asked = generator.permutation(users)

    ranked = rank_users(lambda numbers: scores[numbers], asked, seen=seen, k=k, batch=batch)

    assert ranked.shape == (users, k)
    for row, user in zip(ranked.tolist(), asked, strict=True):
        left = [item for item in range(items) if item not in seen.of(user)]
        best = sorted(left, key=lambda item: (-scores[user, item], item))[:k]
        assert row == best + [-1] * (k - len(best))


def test_the_scores_of_the_scorer_are_left_alone():
    shared = np.array([[1.0, 3.0, 2.0]])
    shared.flags.writeable = False
    seen = ItemsByUser.from_pairs(np.array([1]), np.array([1]), num_users=2)

    ranked = rank_users(lambda users: np.broadcast_to(shared, (len(users), 3)), np.arange(2), seen=seen, k=2)

    assert ranked.tolist() == [[1, 2], [2, 0]]


def test_the_scorer_is_given_no_more_than_a_batch():
    sizes = []

    def score(users):
        sizes.append(len(users))
        return np.zeros((len(users), 3), dtype=np.float32)

    nothing_seen = ItemsByUser.from_pairs(NOBODY, NOBODY, num_users=7)
    rank_users(score, np.arange(7), seen=nothing_seen, k=1, batch=3)

    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(wrong):
    nothing_seen = ItemsByUser.from_pairs(NOBODY, NOBODY, num_users=1)

    with pytest.raises(ValueError, match="not finite"):
        rank_users(lambda users: np.array([[0.0, wrong]]), np.arange(1), seen=nothing_seen, k=1)


@given(times=st.lists(st.integers(0, 5), max_size=25), fraction=st.floats(0.01, 0.99))
def test_the_newest_share_of_the_rows_is_cut_off(times, fraction):
    earlier, later = temporal_cut(np.array(times, dtype=np.int64), fraction)

    in_order = sorted(range(len(times)), key=lambda row: (times[row], row))
    assert earlier.tolist() + later.tolist() == in_order
    assert len(later) == round(len(times) * fraction)


def test_rows_of_one_time_are_cut_by_position():
    earlier, later = temporal_cut(np.array([5, 5, 1, 5]), 0.5)

    assert earlier.tolist() == [2, 0]
    assert later.tolist() == [1, 3]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        temporal_cut(np.array([1]), fraction)


def test_the_interval_repeats_with_its_seed_and_equals_a_plain_loop():
    generator = np.random.default_rng(0)
    ours, theirs = generator.random(30), generator.random(30)

    interval = bootstrap_interval(ours, theirs, generator=np.random.default_rng(4), samples=200, level=0.9)

    draws = np.random.default_rng(4)
    means = [np.mean((ours - theirs)[draws.integers(30, size=30)]) for _ in range(200)]
    assert interval.mean == pytest.approx(np.mean(ours - theirs))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        ours, theirs = generator.normal(0.3, 1, 60), generator.normal(0.1, 1, 60)
        interval = bootstrap_interval(ours, theirs, generator=generator, samples=300, level=0.9)
        held += interval.low <= 0.2 <= interval.high

    # 90 % of 300 is 270, with a standard deviation of 5.2; the percentile interval runs a little narrow.
    assert 250 <= held <= 286


def test_users_are_paired():
    # Every user gains the same, so there is nothing to be unsure of although users differ widely.
    theirs = np.random.default_rng(0).random(50)

    interval = bootstrap_interval(theirs + 0.125, theirs, generator=np.random.default_rng(0))

    assert interval == pytest.approx((0.125, 0.125, 0.125))


@pytest.mark.parametrize(("ours", "theirs"), [(np.zeros(2), np.zeros(3)), (np.zeros(0), np.zeros(0))])
def test_metrics_that_cannot_be_compared_are_refused(ours, theirs):
    with pytest.raises(ValueError, match="cannot be compared"):
        bootstrap_interval(ours, theirs, generator=np.random.default_rng(0))
