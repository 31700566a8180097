from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import (
    average_precision_at_k,
    coverage,
    first_hit_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

NOBODY = np.array([], dtype=np.int64)


def slow_ndcg(ranked, relevant):
    gained = sum(1 / math.log2(place + 1) for place, item in enumerate(ranked, start=1) if item in relevant)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(len(ranked), len(relevant)) + 1))
    return gained / best


def slow_recall(ranked, relevant):
    return len(set(ranked) & relevant) / len(relevant)


def slow_precision(ranked, relevant):
    return len(set(ranked) & relevant) / len(ranked)


def slow_average_precision(ranked, relevant):
    total = 0.0
    for place, item in enumerate(ranked, start=1):
        if item in relevant:
            total += len(set(ranked[:place]) & relevant) / place
    return total / min(len(relevant), len(ranked))


def slow_first_hit(scores, relevant):
    left = [item for item in range(len(scores)) if scores[item] > -math.inf]
    for rank, item in enumerate(sorted(left, key=lambda item: (-scores[item], item)), start=1):
        if item in relevant:
            return 1 / rank
    return 0.0


METRICS = {
    ndcg_at_k: slow_ndcg,
    recall_at_k: slow_recall,
    precision_at_k: slow_precision,
    average_precision_at_k: slow_average_precision,
}


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

    for metric, slow in METRICS.items():
        expected = [slow(row, set(items)) for row, items in zip(ranked, relevant, strict=True)]
        np.testing.assert_allclose(metric(np.array(ranked), arrays), expected, rtol=1e-12, err_msg=metric.__name__)


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


@pytest.mark.parametrize("metric", METRICS)
def test_a_user_nothing_is_relevant_to_is_refused(metric):
    with pytest.raises(ValueError, match="row 1"):
        metric(np.array([[1], [2]]), [np.array([1]), NOBODY])


@pytest.mark.parametrize("metric", METRICS)
def test_lists_and_users_that_disagree_are_refused(metric):
    with pytest.raises(ValueError, match="1 users"):
        metric(np.array([[1], [2]]), [np.array([1])])


@pytest.mark.parametrize("metric", METRICS)
def test_the_metrics_of_nobody_are_empty(metric):
    assert metric(np.empty((0, 5), dtype=np.int64), []).tolist() == []


def test_average_precision_of_a_case_worked_by_hand():
    # Relevant at places 1 and 3 of 3, out of five: (1/1 + 2/3) / 3.
    found = average_precision_at_k(np.array([[5, 0, 7]]), [np.array([5, 7, 1, 2, 3])])

    assert found[0] == pytest.approx((1 + 2 / 3) / 3)


@given(seed=st.integers(0, 2**32 - 1), users=st.integers(1, 6), items=st.integers(1, 9))
def test_the_first_hit_equals_a_full_sort(seed, users, items):
    generator = np.random.default_rng(seed)
    scores = generator.choice(np.array([-np.inf, -1, 0, 0, 0.5], dtype=np.float32), (users, items))  # ties everywhere
    relevant = [generator.integers(0, items + 2, generator.integers(1, 6)) for _ in range(users)]

    expected = [
        slow_first_hit(row, set(wanted.tolist())) for row, wanted in zip(scores.tolist(), relevant, strict=True)
    ]
    np.testing.assert_allclose(first_hit_reciprocal_rank(scores, relevant), expected, rtol=1e-12)


def test_a_removed_item_takes_no_rank_and_is_missed():
    scores = np.array([[-np.inf, 3, 2, 1]])

    assert first_hit_reciprocal_rank(scores, [np.array([0, 2])]).tolist() == [1 / 2]
    assert first_hit_reciprocal_rank(scores, [np.array([0])]).tolist() == [0]


def test_a_first_hit_needs_as_many_users_and_something_relevant_to_each():
    with pytest.raises(ValueError, match="scores of 1 users"):
        first_hit_reciprocal_rank(np.zeros((1, 2)), [np.array([1]), np.array([1])])
    with pytest.raises(ValueError, match="row 0"):
        first_hit_reciprocal_rank(np.zeros((1, 2)), [NOBODY])


def test_coverage_is_the_share_of_items_that_somebody_is_shown():
    assert coverage(np.array([[0, 3, -1], [3, -1, -1]]), num_items=8) == 2 / 8
    assert coverage(np.array([[-1]]), num_items=8) == 0
