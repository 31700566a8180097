"""From scores to the best k items, exactly.

A matrix product is the fast way to score every item, but its sums depend on how many rows it is given and on the CPU:
the same pair would get slightly different numbers in different calls. It is therefore used to find candidates only, and
every score that leaves the service comes from `exact_scores`.

Letters used for shapes: I items, D dimensions, n pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32_UNIT_ROUNDOFF = 2.0**-24
# A product below the normal range loses up to this much more, or all of itself where tiny numbers are flushed to zero.
FLOAT32_SMALLEST_NORMAL = 2.0**-126


def exact_scores(
    user_rows: NDArray[np.float32], item_rows: NDArray[np.float32], *, priors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Score n pairs, <user_rows[n], item_rows[n]> + priors[n]; a pair's bits do not depend on the other pairs.

    Args:
        user_rows: float32, shape (n, D).
        item_rows: float32, shape (n, D).
        priors: float32, shape (n,).
    Returns: float32, shape (n,).
    """
    # einsum picks its inner loop from the strides: broadcast or sliced rows would be summed in another order.
    users, items = np.ascontiguousarray(user_rows), np.ascontiguousarray(item_rows)
    products: NDArray[np.float32] = np.einsum("ij,ij->i", users, items)
    return products + priors


def score_error(*, dimensions: int, user_norm: float, max_item_norm: float, max_prior: float) -> float:
    """How far two float32 computations of <x, q> + prior can lie apart, whatever the order of their sums.

    With u = 2^-24 and gamma = D u / (1 - D u), any order of summation, with fused multiply-add or without, is within
    gamma * sum_d |x_d q_d| of the true product, and sum_d |x_d q_d| <= |x| |q| (Cauchy-Schwarz). Adding the prior
    rounds once more, by at most u times the size of the sum. Two computations lie apart by at most twice all that.

    Args:
        dimensions: D.
        user_norm: Euclidean norm of x.
        max_item_norm: largest Euclidean norm of an item vector.
        max_prior: largest absolute prior.
    Returns: a bound >= 0.  Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1.
    """
    gamma = dimensions * FLOAT32_UNIT_ROUNDOFF / (1 - dimensions * FLOAT32_UNIT_ROUNDOFF)
    product = user_norm * max_item_norm
    one_sum = gamma * product + dimensions * FLOAT32_SMALLEST_NORMAL
    one_addition = FLOAT32_UNIT_ROUNDOFF * (product + one_sum + max_prior)
    # The norms are themselves rounded (in float64, where a millionth is far more than enough).
    return 2 * (one_sum + one_addition) * (1 + 1e-6)


def top_k(
    approximate: NDArray[np.float32],
    *,
    k: int,
    exact: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    error: float,
    excluded: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best items by exact score, the same as sorting the exact scores of all items.

    Args:
        approximate: a score of every item within `error` of its exact one, finite, shape (I,). Not modified.
        k: how many items to return; fewer are returned when fewer are left.
        exact: gives the exact scores of item numbers.
        error: largest distance between an approximate and an exact score.
        excluded: item numbers to leave out; duplicates and negative numbers do no harm.
    Returns: item numbers (int64) and exact scores (float32), by falling score and then by item number.
    Raises: ValueError if k is negative or an excluded number is not below I.
    """
    if k < 0:
        raise ValueError(f"k is {k}; it must not be negative")
    scores = approximate.copy()
    left = len(scores) - _exclude(scores, excluded)
    k = min(k, left)
    if k == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)

    # The k items at or above `kth` have exact scores of at least kth - error, so the best k exact scores have too, and
    # an item with such an exact score has an approximate one of at least kth - 2 * error.
    kth = float(np.partition(scores, len(scores) - k)[len(scores) - k])
    cutoff = np.nextafter(np.float32(kth - 2 * error), np.float32(-np.inf))
    candidates = np.flatnonzero((scores >= cutoff) & (scores > -np.inf))
    rescored = exact(candidates)
    # Candidates are in the order of their numbers, which a stable sort keeps among equal scores.
    best = np.argsort(-rescored, kind="stable")[:k]
    return candidates[best], rescored[best]


def _exclude(scores: NDArray[np.float32], excluded: NDArray[np.integer[Any]]) -> int:
    """Sink the excluded items and return how many there are. Finite scores cannot be mistaken for them."""
    numbers = np.unique(excluded)
    numbers = numbers[numbers >= 0]
    if not len(numbers):
        return 0
    if numbers[-1] >= len(scores):
        raise ValueError(f"item number {numbers[-1]} is outside 0..{len(scores) - 1}")
    scores[numbers] = -np.inf
    return len(numbers)
