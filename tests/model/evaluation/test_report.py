"""A report against sorting each user's items."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import ItemsByUser, evaluate, evaluate_rows

NOBODY = np.array([], dtype=np.int64)


def by_user(pairs, users):
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return ItemsByUser.from_pairs(found[:, 0], found[:, 1], num_users=users)


def slow(scores, wanted, seen, k):
    """Recall, NDCG, AP and reciprocal rank of one user, and the list."""
    left = [item for item in range(len(scores)) if item not in seen]
    order = sorted(left, key=lambda item: (-scores[item], item))
    hits = [rank for rank, item in enumerate(order, start=1) if item in wanted]
    early = [rank for rank in hits if rank <= k]
    best = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(wanted)) + 1))
    return (
        len(early) / len(wanted),
        sum(1 / math.log2(1 + rank) for rank in early) / best,
        sum(count / rank for count, rank in enumerate(early, start=1)) / min(k, len(wanted)),
        1 / hits[0] if hits else 0.0,
    ), order[:k]


@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 7),
    items=st.integers(1, 12),
    k=st.integers(1, 14),
    batch=st.integers(1, 8),
)
def test_every_number_equals_a_full_sort(seed, users, items, k, batch):
    generator = np.random.default_rng(seed)
    scores = generator.choice(np.array([-1, 0, 0, 0.5], dtype=np.float32), (users, items))  # ties everywhere
    seen = by_user(np.argwhere(generator.random((users, items)) < 0.3), users)
    test = by_user(np.argwhere(generator.random((users, items + 1)) < 0.4), users)  # one item has no score

    report = evaluate(lambda numbers: scores[numbers], test, seen=seen, k=k, batch=batch)

    assert report.users.tolist() == [user for user in range(users) if len(test.of(user))]
    listed = set()
    columns = (report.recall, report.ndcg, report.average_precision, report.reciprocal_rank)
    for row, user in enumerate(report.users.tolist()):
        expected, best = slow(scores[user], set(test.of(user).tolist()), set(seen.of(user).tolist()), k)
        np.testing.assert_allclose([column[row] for column in columns], expected, rtol=1e-12)
        listed |= set(best)
    assert report.coverage == len(listed) / items


def test_scores_are_asked_for_once():
    asked = []

    def score(users):
        asked.extend(users.tolist())
        return np.zeros((len(users), 3), dtype=np.float32)

    evaluate(score, by_user([(0, 1), (2, 1), (3, 0)], 4), batch=2)

    assert asked == [0, 2, 3]


def test_the_users_may_be_named_in_any_order():
    scores = np.array([[1, 2, 3], [3, 2, 1]])
    test = by_user([(0, 0), (1, 0)], 2)

    report = evaluate(lambda users: scores[users], test, users=np.array([1, 0]), k=1)

    assert report.users.tolist() == [1, 0]
    assert report.recall.tolist() == [1, 0]
    assert report.reciprocal_rank.tolist() == [1, 1 / 3]


def test_means_carry_the_length_of_the_lists():
    scores = np.array([[1, 2, 3], [3, 2, 1]])
    test = by_user([(0, 0), (1, 0)], 2)

    means = evaluate(lambda users: scores[users], test, k=1).means()

    assert means == {"recall@1": 0.5, "ndcg@1": 0.5, "map@1": 0.5, "mrr": pytest.approx(2 / 3), "coverage@1": 2 / 3}


def test_a_user_number_may_stand_in_several_rows():
    report = evaluate_rows(
        lambda users: np.tile([2.0, 1.0], (len(users), 1)), np.array([-1, -1]), [np.array([0]), np.array([1])], k=1
    )

    assert report.recall.tolist() == [1, 0]


def test_a_user_without_items_to_find_is_refused():
    with pytest.raises(ValueError, match="row 1"):
        evaluate(lambda users: np.zeros((len(users), 2)), by_user([(0, 1)], 2), users=np.arange(2))


def test_a_list_of_no_items_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        evaluate(lambda users: np.zeros((len(users), 2)), by_user([(0, 1)], 1), k=0)


def test_nobody_to_judge_has_no_means():
    report = evaluate(lambda users: np.zeros((len(users), 2)), by_user([], 3))

    assert len(report.recall) == 0
    assert math.isnan(report.means()["ndcg@20"])
    assert report.coverage == 0


@pytest.mark.parametrize("number", [-2, 3])
def test_a_user_that_nobody_knows_is_refused(number):
    test = ItemsByUser.from_pairs(np.arange(3), np.arange(3), num_users=3)
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        evaluate(lambda users: np.zeros((len(users), 3)), test, users=np.array([number]))


def test_a_batch_of_nobody_is_refused():
    with pytest.raises(ValueError, match="batch is -1"):
        evaluate(lambda users: np.zeros((len(users), 2)), by_user([(0, 1)], 1), batch=-1)


@pytest.mark.parametrize("kind", [np.int64, np.uint32])
def test_counts_are_judged_as_any_score_is(kind):
    report = evaluate(lambda users: np.array([[2, 1, 0]], dtype=kind), by_user([(0, 0)], 1))

    assert report.reciprocal_rank.tolist() == report.ndcg.tolist() == [1]
