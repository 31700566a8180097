"""How good lists are: metrics of each user, binary relevance.

The metrics "at k" look at lists of k items, -1 where a list ends early; `first_hit_reciprocal_rank` looks at all items.

Letters used for shapes: B users of a batch, k places of a list, I items.
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


def precision_at_k(ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.float64]:
    """Share of the k places that hold a relevant item; arguments, result and errors as for `ndcg_at_k`.

    A place without an item is a miss.
    """
    hits_BK, _ = _hits(ranked, relevant)
    precision: NDArray[np.float64] = hits_BK.mean(axis=1)
    return precision


def average_precision_at_k(
    ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]
) -> NDArray[np.float64]:
    """Average precision, whose mean over the users is MAP@k; arguments, result and errors as for `ndcg_at_k`.

    AP = sum of (hits among the first p places) / p over the places p (from 1) of relevant items, divided by
    min(number of relevant items, k): a list that holds nothing else, or all of them first, has 1.
    """
    hits_BK, counts_B = _hits(ranked, relevant)
    places_K = np.arange(1, ranked.shape[1] + 1)
    gained: NDArray[np.float64] = (hits_BK * np.cumsum(hits_BK, axis=1) / places_K).sum(axis=1)
    return gained / np.minimum(counts_B, ranked.shape[1])


def first_hit_reciprocal_rank(
    scores_BI: NDArray[np.floating[Any]], relevant: Sequence[NDArray[np.integer[Any]]]
) -> NDArray[np.float64]:
    """1 / rank of the relevant item that is placed best among all items; its mean over the users is MRR.

    Ranks count from 1, by falling score and then by item number.

    Args:
        scores_BI: shape (B, I); minus infinity for an item that is removed and takes no rank.
        relevant: the relevant items of each user, B arrays. Those that are removed or have no score (numbers from I on)
            are missed; a user who has no other gets 0.
    Returns: float64, shape (B,).
    Raises: ValueError if B differs or nothing is relevant to some user.
    """
    if len(scores_BI) != len(relevant):
        raise ValueError(f"scores of {len(scores_BI)} users, relevant items of {len(relevant)}")
    wanted, num_items = _grouped(relevant), scores_BI.shape[1]
    rows = np.repeat(np.arange(len(relevant)), np.diff(wanted.indptr))
    scored = wanted.items < num_items
    rows, items = rows[scored], wanted.items[scored]
    scores = scores_BI[rows, items]
    # Per row the best score first and then the lowest number; users whose items all have no score have no row here.
    order = np.lexsort((items, -scores, rows))
    found, first = np.unique(rows[order], return_index=True)
    best_items, best = items[order][first], scores[order][first]
    found, best_items, best = (each[best > -np.inf] for each in (found, best_items, best))

    reciprocal_B = np.zeros(len(relevant))
    above = np.count_nonzero(scores_BI[found] > best[:, np.newaxis], axis=1)
    tied = np.flatnonzero(scores_BI[found] == best[:, np.newaxis])
    tied_rows, tied_items = np.divmod(tied, max(num_items, 1))
    before = np.bincount(tied_rows[tied_items < best_items[tied_rows]], minlength=len(found))
    reciprocal_B[found] = 1 / (1 + above + before)
    return reciprocal_B


def coverage(ranked: NDArray[np.int64], *, num_items: int) -> float:
    """Share of the catalogue of `num_items` items that occurs in at least one of the lists, shape (B, k)."""
    return float(np.count_nonzero(np.bincount(ranked[ranked != NO_ITEM], minlength=num_items)) / num_items)


def _hits(
    ranked: NDArray[np.int64], relevant: Sequence[NDArray[np.integer[Any]]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each listed item is relevant (B, k), and how many relevant items each user has (B,)."""
    if ranked.shape[0] != len(relevant) or not ranked.shape[1]:
        raise ValueError(f"lists of shape {ranked.shape} for {len(relevant)} users")
    wanted = _grouped(relevant)
    counts = np.diff(wanted.indptr)
    # One number for each (user, item), so that a single sorted search answers for all users.
    width = max(int(ranked.max(initial=0)), int(wanted.items.max(initial=0))) + 1
    pairs = np.repeat(np.arange(len(counts)), counts) * width + wanted.items
    listed = np.arange(len(counts))[:, np.newaxis] * width + ranked
    places = np.minimum(np.searchsorted(pairs, listed), max(len(pairs) - 1, 0))
    return (pairs[places] == listed) & (ranked != NO_ITEM), counts


def _grouped(relevant: Sequence[NDArray[np.integer[Any]]]) -> ItemsByUser:
    """The relevant items by row, each once."""
    lengths = np.fromiter(map(len, relevant), dtype=np.int64, count=len(relevant))
    if not lengths.all():
        raise ValueError(f"nothing is relevant to the user of row {np.flatnonzero(lengths == 0)[0]}")
    return ItemsByUser.from_pairs(
        np.repeat(np.arange(len(relevant)), lengths),
        np.concatenate([*relevant, np.empty(0, dtype=np.int64)]),
        num_users=len(relevant),
    )
