"""The one kernel that scores leave the service by, and how far a faster one may be from it.

A matrix product is the fast way to score every item, but its sums depend on how many rows it is given and on the CPU:
the same pair would get slightly different numbers in different calls. It is therefore used to find candidates only
(`model.shortlist`), and every score that leaves the service comes from `exact_scores`.

Letters used for shapes: D dimensions, n pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FLOAT32_UNIT_ROUNDOFF = 2.0**-24
# Rows gathered at once: bounds the memory of scoring a million pairs without slowing it down.
BLOCK_ROWS = 16_384
# Norms are taken of so many rows at a time: their float64 copies stay in the cache, and are not asked of the system.
NORM_ROWS = 1_024
# A shorter vector has no direction.
SHORTEST = 1e-12
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
    """How far two float32 computations of (<x, q> + prior) + own can lie apart, in whatever order <x, q> is summed.

    With u = 2^-24 and gamma = D u / (1 - D u), any order of summation, with fused multiply-add or without, is within
    gamma * sum_d |x_d q_d| of the true product, and sum_d |x_d q_d| <= |x| |q| (Cauchy-Schwarz). Each of the two
    additions rounds once more, by at most u times the size of the sum. Two computations lie apart by at most twice all
    that.

    Args:
        dimensions: D.
        user_norm: Euclidean norm of x.
        max_item_norm: largest Euclidean norm of an item vector.
        max_prior: largest absolute prior + own.
    Returns: a bound >= 0.  Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1.
    """
    gamma = dimensions * FLOAT32_UNIT_ROUNDOFF / (1 - dimensions * FLOAT32_UNIT_ROUNDOFF)
    product = user_norm * max_item_norm
    one_sum = gamma * product + dimensions * FLOAT32_SMALLEST_NORMAL
    additions = 2 * FLOAT32_UNIT_ROUNDOFF * (product + one_sum + max_prior)
    # The norms are themselves rounded, and so is the first sum before the second (a millionth is far more than enough).
    return 2 * (one_sum + additions) * (1 + 1e-6)


def max_norm(vectors: NDArray[np.float32], pause: Callable[[], object] = lambda: None) -> float:
    """Largest Euclidean norm of the rows, in float64 and in blocks; NaN or infinite if a value is.

    Args:
        pause: called after every BLOCK_ROWS rows, for whoever has to let others run in between.
    """
    largest = 0.0
    for start in range(0, len(vectors), NORM_ROWS):
        if start and start % BLOCK_ROWS == 0:
            pause()
        block = vectors[start : start + NORM_ROWS].astype(np.float64)
        # Not max(): it would drop a NaN.
        largest = float(np.maximum(largest, np.einsum("ij,ij->i", block, block).max()))
    return float(np.sqrt(largest))


def one_over_norms(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / the Euclidean norm of each row, by float64 and in blocks; 0 for one too short to have a direction."""
    found = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), NORM_ROWS):
        block = vectors[start : start + NORM_ROWS].astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        found[start : start + NORM_ROWS] = np.where(norms > SHORTEST, 1 / np.maximum(norms, SHORTEST), 0.0)
    return found
