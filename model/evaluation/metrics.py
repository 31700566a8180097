"""How good lists are: metrics of each user, binary relevance.

Letters used for shapes: B users of a batch, k places of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.ranking import NO_ITEM


def ndcg_at_k(ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain with binary relevance, k being the length of the lists.

    NDCG = sum of 1 / log2(p + 1) over the places p (from 1) of relevant items, divided by that sum for the best list.

    Args:
        ranked: item numbers, best first, shape (B, k); -1 where a list ends early.
        relevant: the relevant items of each user, B arrays; duplicates count once.
    Returns: float64, shape (B,).
    Raises: ValueError if B differs or nothing is relevant to some user: such a user has no NDCG and is left out before.
    """
    hits_BK, counts_B = _hits(ranked, relevant)
    discounts_K = 1 / np.log2(np.arange(2, ranked.shape[1] + 2))
    best_K = np.concatenate(([0.0], np.cumsum(discounts_K)))
    gained: NDArray[np.float64] = (hits_BK * discounts_K).sum(axis=1)
    return gained / best_K[np.minimum(counts_B, ranked.shape[1])]


def recall_at_k(ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.float64]:
    """Share of a user's relevant items that are in the list; arguments, result and errors as for `ndcg_at_k`."""
    hits_BK, counts_B = _hits(ranked, relevant)
    found: NDArray[np.float64] = hits_BK.sum(axis=1) / counts_B
    return found


def _hits(
    ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each listed item is relevant (B, k), and how many relevant items each user has (B,)."""
    if ranked.shape[0] != len(relevant) or not ranked.shape[1]:
        raise ValueError(f"lists of shape {ranked.shape} for {len(relevant)} users")
    lengths = np.fromiter(map(len, relevant), dtype=np.int64, count=len(relevant))
    if not lengths.all():
        raise ValueError(f"nothing is relevant to the user of row {np.flatnonzero(lengths == 0)[0]}")
    wanted = ItemsByUser.from_pairs(
        np.repeat(np.arange(len(relevant)), lengths),
        np.concatenate([*relevant, np.empty(0, dtype=np.int64)]),
        num_users=len(relevant),
    )
    counts = np.diff(wanted.indptr)
    # One number for each (user, item), so that a single sorted search answers for all users.
    width = max(int(ranked.max(initial=0)), int(wanted.items.max(initial=0))) + 1
    pairs = np.repeat(np.arange(len(counts)), counts) * width + wanted.items
    listed = np.arange(len(counts))[:, np.newaxis] * width + ranked
    return np.isin(listed, pairs) & (ranked != NO_ITEM), counts
