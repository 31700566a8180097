"""Spotlight's metrics, by its definitions: for comparing with numbers that were measured with it.

They rank all items of a user, one user after another. The user's training items are sunk to the bottom of the ranking,
not removed from it, and ``mrr_score`` looks at every test item, not at the first hit. For new measurements prefer the
other metrics of this package.

Letters used for shapes: B users with test items, I items, N interactions, T lengths of lists.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.ranking import floats
from model.interactions import Interactions

FLOAT_MAX = np.finfo(np.float32).max


class Scorer(Protocol):
    """Whatever gives scores, higher being better: one user's of all items, or those of pairs."""

    def predict(self, user_ids: Any, item_ids: ArrayLike | None = None) -> NDArray[np.floating[Any]]: ...  # noqa: ANN401


def mrr_score(model: Scorer, test: Interactions, train: Interactions | None = None) -> NDArray[np.float64]:
    """Mean reciprocal rank of all of a user's test items.

    For each user the mean over the test items i of 1 / rank(i) among all items, tied items sharing the mean of their
    ranks. It is not the reciprocal rank of the first hit: with many test items it is far below 1 even at its best.

    Args:
        model: what is judged; asked once for each user.
        test: what should be found; a repeated pair counts once.
        train: items of these interactions are ranked below all others, also where they are test items.
    Returns: float64, shape (B,), by user number; users without test items are left out.
    Raises: ValueError for an item the model gives no score for, or a score that is NaN.
    """
    reciprocals = []
    for costs_I, targets in _ranked_users(model, test, train):
        ascending = np.sort(costs_I)
        wanted = costs_I[targets]
        below, up_to = (np.searchsorted(ascending, wanted, side=side) for side in ("left", "right"))
        reciprocals.append((2.0 / (below + up_to + 1)).mean())
    return np.array(reciprocals, dtype=np.float64)


def precision_recall_score(
    model: Scorer,
    test: Interactions,
    train: Interactions | None = None,
    k: SupportsIndex | Sequence[SupportsIndex] | NDArray[np.integer[Any]] = 10,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of each user's first k items.

    precision = hits / min(k, I); recall = hits / number of distinct test items. Tied items are taken by number.

    Args:
        model, test, train: as for ``mrr_score``.
        k: the length of a list, or several of them.
    Returns: precision and recall, float64, each of shape (B,) for one k and (B, T) for a sequence of T.
    Raises: as ``mrr_score``; ValueError for a k below 1, or a sequence without any.
    """
    lengths_T, several = _lengths(k)
    precision, recall = [], []
    for costs_I, targets in _ranked_users(model, test, train):
        best = np.argsort(costs_I, kind="stable")[: lengths_T.max()]
        hits_T = np.concatenate(([0], np.cumsum(np.isin(best, targets))))[np.minimum(lengths_T, len(best))]
        precision.append(hits_T / np.minimum(lengths_T, len(costs_I)))
        recall.append(hits_T / len(targets))
    if several:
        return np.array(precision), np.array(recall)
    return np.array(precision)[:, 0], np.array(recall)[:, 0]


def rmse_score(model: Scorer, test: Interactions) -> float:
    """Root of the mean squared error of the predicted ratings: sqrt(mean((rating - prediction)^2)).

    Raises: TypeError if the interactions have no ratings.
    """
    if test.ratings is None:
        raise TypeError("the test interactions have no ratings")
    predicted_N = model.predict(test.user_ids, test.item_ids)
    errors_N = test.ratings.astype(np.float64) - predicted_N
    return float(np.sqrt((errors_N**2).mean()))


def _ranked_users(
    model: Scorer, test: Interactions, train: Interactions | None
) -> Iterator[tuple[NDArray[np.floating[Any]], NDArray[np.int64]]]:
    """Negated scores (I,), training items at the largest float32, and the distinct test items, user by user."""
    num_users = max(test.num_users, 0 if train is None else train.num_users)
    wanted = ItemsByUser.from_pairs(test.user_ids, test.item_ids, num_users=num_users)
    seen = None if train is None else ItemsByUser.from_pairs(train.user_ids, train.item_ids, num_users=num_users)
    for user in np.flatnonzero(np.diff(wanted.indptr)).tolist():
        costs_I = -floats(model.predict(user))
        if np.isnan(costs_I).any():
            raise ValueError(f"the score of user {user} and item {np.flatnonzero(np.isnan(costs_I))[0]} is nan")
        targets = _held(wanted.of(user), costs_I, user)
        if seen is not None:
            costs_I[_held(seen.of(user), costs_I, user)] = FLOAT_MAX
        yield costs_I, targets


def _held(items: NDArray[np.int64], costs_I: NDArray[Any], user: int) -> NDArray[np.int64]:
    if len(items) and items[-1] >= len(costs_I):
        raise ValueError(f"item id {items[-1]} of user {user} is outside 0..{len(costs_I) - 1}: the model's items")
    return items


def _lengths(k: Any) -> tuple[NDArray[np.int64], bool]:  # noqa: ANN401 - told apart here
    several = np.ndim(k) > 0
    lengths = [operator.index(length) for length in (k if several else [k])]
    if not lengths or min(lengths) < 1:
        raise ValueError(f"k is {min(lengths, default='empty')}; it must be at least 1")
    return np.array(lengths, dtype=np.int64), several
