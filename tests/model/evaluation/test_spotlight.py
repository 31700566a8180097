"""Spotlight's metrics against their definitions written out user by user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from model import Interactions
from model.evaluation import FLOAT_MAX, mrr_score, precision_recall_score, rmse_score

USERS, ITEMS = 4, 6


class Table:
    """A model whose scores are written down."""

    def __init__(self, scores: ArrayLike) -> None:
        self.scores = np.asarray(scores, dtype=np.float32)
        self.asked: list[int] = []

    def predict(self, user_ids: Any, item_ids: ArrayLike | None = None) -> NDArray[np.float32]:
        if item_ids is None:
            self.asked.append(user_ids)
            return self.scores[user_ids].copy()
        return self.scores[user_ids, np.asarray(item_ids)]


def slow_ranks(model: Table, user: int, train: set[int]) -> list[float]:
    costs = -model.scores[user]
    for item in train:
        costs[item] = FLOAT_MAX
    ranks: list[float] = rankdata(costs).tolist()
    return ranks


pairs = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), min_size=1, max_size=15)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Table, Interactions, Interactions | None]:
    # Few distinct scores, so that many are tied.
    scores = draw(
        st.lists(st.lists(st.integers(-2, 2), min_size=ITEMS, max_size=ITEMS), min_size=USERS, max_size=USERS)
    )
    test, train = draw(pairs), draw(st.none() | pairs)

    def interactions(rows: list[tuple[int, int]]) -> Interactions:
        users, items = np.array(rows).T
        return Interactions(users, items, num_users=USERS, num_items=ITEMS)

    return Table(scores), interactions(test), None if train is None else interactions(train)


def by_user(interactions: Interactions | None) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {user: set() for user in range(USERS)}
    if interactions is not None:
        for user, item in zip(interactions.user_ids.tolist(), interactions.item_ids.tolist(), strict=True):
            found[user].add(item)
    return found


@given(case=cases())
def test_mrr_is_the_mean_over_all_test_items_of_their_reciprocal_tied_ranks(case: Any) -> None:
    model, test, train = case
    wanted, seen = by_user(test), by_user(train)
    expected = []
    for user in range(USERS):
        if wanted[user]:
            ranks = slow_ranks(model, user, seen[user])
            expected.append(sum(1 / ranks[item] for item in wanted[user]) / len(wanted[user]))
    result = mrr_score(model, test, train)
    assert result.dtype == np.float64
    assert result.tolist() == pytest.approx(expected, rel=1e-12)


@given(case=cases(), ks=st.lists(st.integers(1, ITEMS + 3), min_size=1, max_size=4))
def test_precision_and_recall_count_the_hits_of_the_first_k(case: Any, ks: list[int]) -> None:
    model, test, train = case
    wanted, seen = by_user(test), by_user(train)
    expected = []
    for user in range(USERS):
        if wanted[user]:
            costs = [FLOAT_MAX if item in seen[user] else -model.scores[user][item] for item in range(ITEMS)]
            listed = sorted(range(ITEMS), key=lambda item: (costs[item], item))
            hits = [len(wanted[user] & set(listed[:k])) for k in ks]
            expected.append([(hit / min(k, ITEMS), hit / len(wanted[user])) for hit, k in zip(hits, ks, strict=True)])
    result = np.stack(precision_recall_score(model, test, train, k=ks), axis=-1)
    np.testing.assert_allclose(result, expected)
    alone = np.stack(precision_recall_score(model, test, train, k=ks[0]), axis=-1)
    assert np.array_equal(alone, result[:, 0])


def test_a_case_worked_by_hand() -> None:
    model = Table([[5, 4, 3, 2], [1, 1, 1, 1]])
    test = Interactions([0, 0, 1], [1, 3, 2], num_items=4)
    # Ranks 2 and 4; four items tied at the mean of 1 to 4.
    assert mrr_score(model, test).tolist() == [(1 / 2 + 1 / 4) / 2, 1 / 2.5]
    # Item 0 sinks below all others: ranks 1 and 3.
    assert mrr_score(model, test, Interactions([0], [0]))[0] == (1 + 1 / 3) / 2
    # A test item that is a training item as well sinks too, to the tied ranks 3 and 4.
    assert mrr_score(model, test, Interactions([0, 0], [1, 0]))[0] == pytest.approx((1 / 3.5 + 1 / 2) / 2)


def test_the_shape_says_how_k_was_given_even_for_one_user_and_one_k() -> None:
    model, test = Table([[3, 2, 1]]), Interactions([0], [1], num_items=3)
    shapes = [[part.shape for part in precision_recall_score(model, test, k=k)] for k in (2, np.int64(2), [2], [1, 2])]
    assert shapes == [[(1,)] * 2, [(1,)] * 2, [(1, 1)] * 2, [(1, 2)] * 2]
    assert precision_recall_score(model, test, k=np.array([1, 2]))[1].tolist() == [[0.0, 1.0]]


def test_a_user_is_asked_for_once_and_only_with_test_items() -> None:
    model = Table(np.zeros((USERS, ITEMS)))
    mrr_score(model, Interactions([3, 1, 3], [0, 1, 2], num_users=USERS), Interactions([0], [0]))
    assert model.asked == [1, 3]


def test_training_interactions_may_know_more_or_fewer_users() -> None:
    model = Table(np.arange(12).reshape(2, 6))
    test = Interactions([0, 1], [5, 5])
    assert mrr_score(model, test, Interactions([0], [0])).tolist() == [1, 1]
    assert mrr_score(model, test, Interactions([8], [0])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("test", "train"), [(Interactions([0], [3]), None), (Interactions([0], [0]), Interactions([0], [3]))]
)
def test_an_item_the_model_does_not_score_is_refused(test: Interactions, train: Interactions | None) -> None:
    with pytest.raises(ValueError, match=r"item id 3 of user 0 is outside 0\.\.2"):
        mrr_score(Table([[1, 2, 3]]), test, train)


def test_a_score_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="the score of user 0 and item 1 is nan"):
        precision_recall_score(Table([[1, np.nan, 3]]), Interactions([0], [0]))


@pytest.mark.parametrize("k", [0, -3, [5, 0], []])
def test_a_list_without_length_is_refused(k: Any) -> None:
    with pytest.raises(ValueError, match=r"k is .*; it must be at least 1"):
        precision_recall_score(Table([[1, 2]]), Interactions([0], [0]), k=k)


def test_rmse_is_the_root_of_the_mean_squared_difference() -> None:
    model = Table([[1, 2], [3, 4]])
    assert rmse_score(model, Interactions([0, 1, 1], [1, 0, 1], ratings=[5, 3, 4])) == pytest.approx(3**0.5)
    assert rmse_score(model, Interactions([0], [1], ratings=np.array([1], dtype=np.int8))) == 1.0


def test_rmse_without_ratings_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no ratings"):
        rmse_score(Table([[1]]), Interactions([0], [0]))


def test_training_items_come_last_among_whole_numbers_too() -> None:
    class Counts(Table):
        def predict(self, user_ids: Any, item_ids: ArrayLike | None = None) -> Any:
            return super().predict(user_ids, item_ids).astype(np.int64)

    model, test, train = Counts([[3, 2, 1]]), Interactions([0], [1], num_items=3), Interactions([0], [0])
    assert mrr_score(model, test, train).tolist() == [1]
    assert precision_recall_score(model, test, train, k=1)[0].tolist() == [1]
