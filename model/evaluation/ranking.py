"""The best items of each of many users, exactly: every item is ranked, nothing is sampled.

What a user has seen is removed, not sunk to the bottom of the list.

Letters used for shapes: B users of a batch, k places of a list, I items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.evaluation.items_by_user import ItemsByUser

ScoreBatch = Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]

NO_ITEM = -1


def rank_users(
    score_batch: ScoreBatch, users: NDArray[np.int64], *, seen: ItemsByUser, k: int, batch: int = 256
) -> NDArray[np.int64]:
    """The k best items of each user among those the user has not seen.

    Args:
        score_batch: gives finite scores (B, I) of all items for B user numbers; its result is not modified.
        users: user numbers, shape (B,).
        seen: items to leave out, by user number.
        k: length of a list.
        batch: users scored at once.
    Returns: item numbers by falling score and then by number, int64, shape (B, k); -1 where no item is left.
    Raises: ValueError if a score is not finite, for a user or an item seen that has no place, for k or batch below 1.
    """
    at_least_one("k", k)
    at_least_one("batch", batch)
    ranked = np.full((len(users), k), NO_ITEM, dtype=np.int64)
    for start in range(0, len(users), batch):
        scores_BI = scores_of_unseen(score_batch, users[start : start + batch], seen=seen)
        ranked[start : start + batch] = rank_rows(scores_BI, k=k)
    return ranked


def at_least_one(name: str, count: int) -> None:
    """Raise ValueError for a count below 1."""
    if count < 1:
        raise ValueError(f"{name} is {count}; it must be at least 1")


def scores_of_unseen(
    score_batch: ScoreBatch, users: NDArray[np.int64], *, seen: ItemsByUser | None
) -> NDArray[np.floating[Any]]:
    """A copy of the scores, shape (B, I), minus infinity where the user has seen the item.

    Raises: ValueError if a score is not finite, or for a user or an item seen that has no place.
    """
    scores_BI = floats(score_batch(users))
    if not np.isfinite(scores_BI).all():
        raise ValueError("score_batch gave a score that is not finite")
    if seen is not None:
        of_users = seen.of_each(users)
        rows = np.repeat(np.arange(len(users)), [len(of_user) for of_user in of_users])
        items = np.concatenate([*of_users, np.empty(0, dtype=np.int64)])
        if len(items) and items.max() >= scores_BI.shape[1]:
            raise ValueError(f"item {items.max()} was seen, but score_batch gave scores of {scores_BI.shape[1]} items")
        scores_BI[rows, items] = -np.inf
    return scores_BI


def floats(scores: ArrayLike) -> NDArray[np.floating[Any]]:
    """A copy of scores that can be negated and be infinite: whole numbers become float64."""
    found = np.array(scores)
    return found if found.dtype.kind == "f" else found.astype(np.float64)


def rank_rows(scores_BI: NDArray[np.floating[Any]], *, k: int) -> NDArray[np.int64]:
    """The k best items of each row, by falling score and then by number; minus infinity is no item.

    Returns: item numbers, int64, shape (B, k); -1 where no item is left.
    """
    num_items, length = scores_BI.shape[1], min(k, scores_BI.shape[1])
    ranked = np.full((len(scores_BI), k), NO_ITEM, dtype=np.int64)
    if not length:
        return ranked
    # Everything that ties with the k-th best is a candidate, so that ties are resolved by number and not by chance.
    kth_B1 = np.partition(scores_BI, num_items - length, axis=1)[:, num_items - length, np.newaxis]
    # Found in the flat array: numpy looks for the places of a matrix several times as slowly.
    rows, items = np.divmod(np.flatnonzero((scores_BI >= kth_B1) & (scores_BI > -np.inf)), num_items)
    order = np.lexsort((items, -scores_BI[rows, items], rows))
    starts = np.searchsorted(rows, np.arange(len(scores_BI)))
    places = np.arange(len(rows)) - starts[rows]
    kept = places < length
    ranked[rows[kept], places[kept]] = items[order][kept]
    return ranked
