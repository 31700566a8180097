"""How good a ranking is: metrics over all items, a cut in time, and intervals for differences.

Nothing is sampled and what a user has seen is removed, not sunk to the bottom of the list.

Letters used for shapes: B users of a batch, k places of a list, I items, N interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ScoreBatch = Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]

NO_ITEM = -1
# Random numbers drawn at once by the bootstrap: bounds its memory to some tens of megabytes.
BOOTSTRAP_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class ItemsByUser:
    """Which items belong to which user, each once and in ascending order.

    Args:
        indptr: the items of user u are items[indptr[u]:indptr[u + 1]], int64, shape (U + 1,).
        items: item numbers, int64.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]

    @classmethod
    def from_pairs(
        cls, user_numbers: NDArray[np.integer[Any]], item_numbers: NDArray[np.integer[Any]], *, num_users: int
    ) -> ItemsByUser:
        """Group pairs by user; a pair that is there several times counts once."""
        order = np.lexsort((item_numbers, user_numbers))
        users = user_numbers[order].astype(np.int64)
        items = item_numbers[order].astype(np.int64)
        if len(users) and (users[0] < 0 or users[-1] >= num_users):
            raise ValueError(f"user number {users[0] if users[0] < 0 else users[-1]} is outside 0..{num_users - 1}")
        first = np.ones(len(users), dtype=np.bool_)
        first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        indptr = np.zeros(num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users[first], minlength=num_users), out=indptr[1:])
        return cls(indptr, items[first])

    def of(self, user_number: int) -> NDArray[np.int64]:
        """The items of one user."""
        return self.items[self.indptr[user_number] : self.indptr[user_number + 1]]

    def of_each(self, user_numbers: NDArray[np.integer[Any]]) -> list[NDArray[np.int64]]:
        """The items of each of several users."""
        return [self.of(user_number) for user_number in user_numbers.tolist()]


class TimeCut(NamedTuple):
    """Rows before and after a moment, as positions in the arrays cut; both in the order of time."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]


class Interval(NamedTuple):
    """A mean and the interval it lies in."""

    mean: float
    low: float
    high: float


def temporal_cut(times_us: NDArray[np.int64], fraction: float) -> TimeCut:
    """Set the newest rows apart, by number of rows, not by duration.

    Args:
        times_us: when each row happened, shape (N,), in the order of the rows' ids; of two rows of the same time the
            one with the lower id is the earlier.
        fraction: share of the rows that goes into `later`, between 0 and 1.
    Returns: positions of the rows, int64; round(N * fraction) of them in `later`.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be between 0 and 1")
    order = np.argsort(times_us, kind="stable").astype(np.int64, copy=False)
    first_later = len(order) - round(len(order) * fraction)
    return TimeCut(order[:first_later], order[first_later:])


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
    Raises: ValueError if a score is not finite.
    """
    ranked = np.full((len(users), k), NO_ITEM, dtype=np.int64)
    for start in range(0, len(users), batch):
        chosen = users[start : start + batch]
        scores = np.array(score_batch(chosen))
        if not np.isfinite(scores).all():
            raise ValueError("score_batch gave a score that is not finite")
        items = seen.of_each(chosen)
        rows = np.repeat(np.arange(len(chosen)), [len(of_user) for of_user in items])
        scores[rows, np.concatenate([*items, np.empty(0, dtype=np.int64)])] = -np.inf
        _rank(scores, out=ranked[start : start + batch])
    return ranked


def _rank(scores_BI: NDArray[np.floating[Any]], *, out: NDArray[np.int64]) -> None:
    """Fill `out` (B, k) with the best items of each row; minus infinity is no item."""
    num_items, k = scores_BI.shape[1], min(out.shape[1], scores_BI.shape[1])
    if not k:
        return
    # Everything that ties with the k-th best is a candidate, so that ties are resolved by number and not by chance.
    kth_B1 = np.partition(scores_BI, num_items - k, axis=1)[:, num_items - k, np.newaxis]
    rows, items = np.nonzero((scores_BI >= kth_B1) & (scores_BI > -np.inf))
    order = np.lexsort((items, -scores_BI[rows, items], rows))
    starts = np.searchsorted(rows, np.arange(len(scores_BI)))
    places = np.arange(len(rows)) - starts[rows]
    kept = places < k
    out[rows[kept], places[kept]] = items[order][kept]


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


def bootstrap_interval(
    ours: NDArray[np.floating[Any]],
    theirs: NDArray[np.floating[Any]],
    *,
    generator: np.random.Generator,
    samples: int = 2_000,
    level: float = 0.95,
) -> Interval:
    """How much better `ours` is on average than `theirs`, the same users drawn for both (paired bootstrap).

    Args:
        ours: a metric of each user, shape (B,).
        theirs: the same metric of the same users under the rival, shape (B,).
        generator: source of the draws.
        samples: number of draws, each of B users with replacement.
        level: share of the draws inside the interval.
    Returns: mean of ours - theirs and the percentile interval of that mean.
    Raises: ValueError if the shapes differ or there are no users.
    """
    if ours.shape != theirs.shape or not len(ours):
        raise ValueError(f"metrics of shapes {ours.shape} and {theirs.shape} cannot be compared user by user")
    differences = ours.astype(np.float64) - theirs
    means = np.empty(samples)
    block = max(1, BOOTSTRAP_BLOCK // len(differences))
    for start in range(0, samples, block):
        size = (min(block, samples - start), len(differences))
        means[start : start + block] = differences[generator.integers(len(differences), size=size)].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(differences.mean()), float(low), float(high))
