"""From scores to the best k items, exactly.

A matrix product is the fast way to score every item, but its sums depend on how many rows it is given and on the CPU:
the same pair would get slightly different numbers in different calls. It is therefore used to find candidates only, and
every score that leaves the service comes from `exact_scores`.

Letters used for shapes: I items, D dimensions, n pairs, B rows, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Exact = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Gives the exact scores of item numbers."""

ExactPairs = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Gives the exact scores of pairs of a row and an item number."""

EXCLUDED = np.float32(-np.inf)
"""The approximate score of an item that must not be listed."""

FLOAT32_UNIT_ROUNDOFF = 2.0**-24
# Rows gathered at once: bounds the memory of scoring a million pairs without slowing it down.
BLOCK_ROWS = 16_384
# Into how many blocks scores are cut to find the best: at least so many, and so many for each item wanted; one for so
# many items, up to a number. With fewer scores in a block than FEWEST_OF_A_BLOCK, all of them are looked through at
# once. Of many scores not all are compared with what the blocks say, only those in the best blocks.
BLOCKS = 64
BLOCKS_OF_ONE = 4
ITEMS_OF_A_BLOCK = 32
BLOCKS_OF_MANY = 2048
FEWEST_OF_A_BLOCK = 8
MANY_SCORES = 2**12
# So many times the number wanted are few enough to be scored exactly without another look.
ENOUGH = 4
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


def max_norm(vectors: NDArray[np.float32]) -> float:
    """Largest Euclidean norm of the rows, in float64 and in blocks; NaN or infinite if a value is."""
    largest = 0.0
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS].astype(np.float64)
        # Not max(): it would drop a NaN.
        largest = float(np.maximum(largest, np.einsum("ij,ij->i", block, block).max()))
    return float(np.sqrt(largest))


def top_k(
    scores: NDArray[np.float32],
    *,
    k: int,
    exact: Exact,
    error: float,
    excluded: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best items by exact score, the same as sorting the exact scores of all items.

    Args:
        scores: of every item one within `error` of its exact score, finite, contiguous, shape (I,). Those of excluded
            items are overwritten.
        k: how many items to return; fewer are returned when fewer are left.
        exact: gives the exact scores of item numbers.
        error: largest distance between an approximate and an exact score.
        excluded: item numbers to leave out; duplicates and negative numbers do no harm.
    Returns: item numbers (int64) and exact scores (float32), by falling score and then by item number.
    Raises: ValueError if k is negative or an excluded number is not below I.
    """
    excluded = excluded[excluded >= 0]
    if len(excluded) and excluded.max() >= len(scores):
        raise ValueError(f"item number {excluded.max()} is outside 0..{len(scores) - 1}")
    scores[excluded] = EXCLUDED
    return best_of_rows(scores[np.newaxis], k=k, exact=lambda _, numbers: exact(numbers), errors_B=np.array([error]))[0]


def top_k_among(
    among: NDArray[np.int64],
    scores: NDArray[np.float32],
    *,
    k: int,
    exact: Exact | None,
    error: float,
    excluded: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`top_k` of a part of the items.

    Args:
        among: their numbers, ascending, shape (n,).
        scores: as in `top_k`, of these items, shape (n,).
        exact: None where the scores are exact already.
        excluded: item numbers; those that are not in `among` do no harm.
    """
    known = scores.copy() if exact is None else scores

    def exact_of(places: NDArray[np.int64]) -> NDArray[np.float32]:
        return known[places] if exact is None else exact(among[places])

    left_out = np.flatnonzero(np.isin(among, excluded))
    places, found = top_k(scores, k=k, exact=exact_of, error=error, excluded=left_out)
    return among[places], found


def best_of_rows(
    scores_BI: NDArray[np.float32], *, k: int, exact: ExactPairs, errors_B: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The k best items of each row by exact score, the same as sorting the exact scores of all items.

    Args:
        scores_BI: of every item one within the row's error of its exact score, finite, or EXCLUDED; contiguous within a
            row, float32, shape (B, I).
        k: how many items to return; fewer are returned when fewer are left.
        exact: gives the exact scores of pairs of a row and an item number.
        errors_B: largest distance between an approximate and an exact score, float64, shape (B,).
    Returns: for each row item numbers (int64) and exact scores (float32), by falling score and then by item number.
    Raises: ValueError if k is negative.
    """
    if k < 0:
        raise ValueError(f"k is {k}; it must not be negative")
    num_rows, num_items = scores_BI.shape
    k = min(k, num_items)
    if k == 0:
        return [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))] * num_rows
    rows, numbers = _candidates(scores_BI, k, errors_B)
    rescored = exact(rows, numbers)
    order = np.lexsort((numbers, -rescored, rows))
    numbers, rescored = numbers[order], rescored[order]
    if num_rows == 1:
        return [(numbers[:k], rescored[:k])]
    ends = np.bincount(rows, minlength=num_rows).cumsum().tolist()
    starts = [0, *ends[:-1]]
    return [
        (numbers[start : min(end, start + k)], rescored[start : min(end, start + k)])
        for start, end in zip(starts, ends, strict=True)
    ]


def _candidates(
    scores_BI: NDArray[np.float32], k: int, errors_B: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and numbers of all items whose exact score may be among the k best of their row; no excluded ones."""
    num_rows, num_items = scores_BI.shape
    columns = max(BLOCKS, BLOCKS_OF_ONE * k, min(BLOCKS_OF_MANY, num_items // ITEMS_OF_A_BLOCK))
    if num_items < FEWEST_OF_A_BLOCK * columns:
        cutoffs_B1 = _cutoffs(scores_BI, k, errors_B)
        rows, numbers = (scores_BI >= cutoffs_B1).nonzero()
    else:
        # Block c holds the items c, c + columns, c + 2 columns, ...: its maximum is one pass of vector instructions.
        # The k best maxima are scores of k different items, so no item of the k best lies below the k-th of them.
        whole = num_items // columns * columns
        table = scores_BI[:, :whole].reshape(num_rows, -1, columns)
        maxima = np.maximum.reduce(table, axis=1)
        cutoffs_B1 = _cutoffs(maxima, k, errors_B)
        if num_items < MANY_SCORES:
            rows, numbers = (scores_BI >= cutoffs_B1).nonzero()
        else:
            rows, numbers = _in_blocks(scores_BI, table, maxima >= cutoffs_B1, cutoffs_B1)
    if len(numbers) > ENOUGH * k * num_rows or (cutoffs_B1 == EXCLUDED).any():
        return _fewer(scores_BI, rows, numbers, k=k, errors_B=errors_B)
    return rows, numbers


def _in_blocks(
    scores_BI: NDArray[np.float32],
    table: NDArray[np.float32],
    good: NDArray[np.bool_],
    cutoffs_B1: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The scores that reach their row's cutoff, looked for in the good blocks and beyond the last block."""
    columns = table.shape[2]
    block_rows, blocks = good.nonzero()
    found, places = (table[block_rows, :, blocks] >= cutoffs_B1[block_rows]).nonzero()
    whole = table.shape[1] * columns
    rest_rows, rest = (scores_BI[:, whole:] >= cutoffs_B1).nonzero()
    rows = np.concatenate((block_rows[found], rest_rows))
    return rows, np.concatenate((places * columns + blocks[found], whole + rest))


def _fewer(
    scores_BI: NDArray[np.float32],
    rows: NDArray[np.int64],
    numbers: NDArray[np.int64],
    *,
    k: int,
    errors_B: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The candidates without excluded ones and those that the k-th of the others rules out."""
    scores = scores_BI[rows, numbers]
    kept = scores > EXCLUDED
    for row in range(len(scores_BI)):
        own = np.flatnonzero(kept & (rows == row))
        if len(own) > k:
            cutoff = _cutoffs(scores[own][np.newaxis], k, errors_B[row : row + 1])[0, 0]
            kept[own[scores[own] < cutoff]] = False
    return rows[kept], numbers[kept]


def _cutoffs(scores_BC: NDArray[np.float32], k: int, errors_B: NDArray[np.float64]) -> NDArray[np.float32]:
    """What an approximate score must reach for its exact one to be among the k best of its row, shape (B, 1).

    The k items at or above the k-th have exact scores of at least k-th - error, so the best k exact scores have too,
    and an item with such an exact score has an approximate one of at least k-th - 2 * error.
    """
    place = scores_BC.shape[1] - k
    kth = np.partition(scores_BC, place, axis=1)[:, place]
    cutoffs = np.nextafter((kth - 2 * errors_B).astype(np.float32), EXCLUDED)
    return cutoffs[:, np.newaxis]
