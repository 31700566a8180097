from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import ndcg_at_k, recall_at_k

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
