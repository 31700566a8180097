from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation import ItemsByUser, rank_users

NOBODY = np.array([], dtype=np.int64)


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


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([0, 2], r"user number 2 is outside -1\.\.1"),
        ([-2, 0], r"user number -2 is outside -1\.\.1"),
        ([0, 1], "item 4 was seen, but score_batch gave scores of 4 items"),
    ],
)
def test_what_was_seen_must_have_a_place_among_the_scores(users, problem):
    seen = ItemsByUser.from_pairs(np.array([0, 1]), np.array([3, 4]), num_users=2)

    with pytest.raises(ValueError, match=problem):
        rank_users(lambda some: np.zeros((len(some), 4)), np.array(users), seen=seen, k=2)


@pytest.mark.parametrize(("limits", "problem"), [({"k": 0}, "k is 0"), ({"k": 1, "batch": -1}, "batch is -1")])
def test_lists_and_batches_have_an_item_and_a_user_at_least(limits, problem):
    nothing = ItemsByUser.from_pairs(np.array([], dtype=int), np.array([], dtype=int), num_users=1)

    with pytest.raises(ValueError, match=problem):
        rank_users(lambda users: np.zeros((len(users), 2)), np.array([0]), seen=nothing, **limits)


@pytest.mark.parametrize("kind", [np.int8, np.uint32, np.bool_])
def test_counts_are_ranked_as_any_score_is(kind):
    seen = ItemsByUser.from_pairs(np.array([0]), np.array([0]), num_users=1)
    counts = np.array([[1, 0, 1]], dtype=kind)

    assert rank_users(lambda users: counts, np.array([0]), seen=seen, k=2).tolist() == [[2, 1]]
