"""Compiled loops over rows of float32 tables, as the compiled solvers share them. Needs numba (extra ``train``).

Every argument that is an array is C-contiguous; numbers of rows are int64 and within their tables: nothing checks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy"}

# What a loss has of a positive p and a negative q: its value, and its derivatives by p and by q.
POINTWISE, BPR, HINGE, LOG_BPR, LOGISTIC = range(5)


def compiled(function: Function) -> Function:
    """The function as machine code, made at its first call; it does not hold the GIL.

    The code is kept beside the source, or where NUMBA_CACHE_DIR says; where neither can be written to, each process
    makes its own. Sums may be taken in another order than written (fastmath), so that they can be vectorised.
    """
    made: Function
    try:
        made = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # numba's way to say that there is no such place.
        made = njit(**_OPTIONS)(function)
    return made


def inlined(function: Function) -> Function:
    """As `compiled`, for what is called from compiled code alone: nothing is kept, since that would be a real call."""
    made: Function = njit(**_OPTIONS)(function)
    return made


@inlined
def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)), without an exponential that overflows."""
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    grown = math.exp(score)
    return grown / (1.0 + grown)


@inlined
def loss_of(kind: int, positive: float, negative: float) -> tuple[float, float, float, float]:
    """A loss as value + log(factor), and its derivatives by the positive's and the negative's score.

    Apart from each other, since the logarithm of a product of factors is cheaper than the sum of their logarithms.
    """
    if kind == POINTWISE:
        p, q = sigmoid(positive), sigmoid(negative)
        return 1.0 - p + q, 1.0, -p * (1.0 - p), q * (1.0 - q)
    if kind == LOGISTIC:
        fallen, risen = math.exp(-abs(positive)), math.exp(-abs(negative))
        value = max(-positive, 0.0) + max(negative, 0.0)
        return value, (1.0 + fallen) * (1.0 + risen), sigmoid(positive) - 1.0, sigmoid(negative)
    if kind == BPR:
        right = sigmoid(positive - negative)
        slope = right * (1.0 - right)
        return 1.0 - right, 1.0, -slope, slope
    margin = negative - positive
    if kind == LOG_BPR:
        power = math.exp(-abs(margin))
        wrong = (1.0 if margin >= 0.0 else power) / (1.0 + power)
        return max(margin, 0.0), 1.0 + power, -wrong, wrong
    # Asked this way round, what is not a number stays so.
    if margin + 1.0 <= 0.0:
        return 0.0, 1.0, 0.0, 0.0
    return margin + 1.0, 1.0, -1.0, 1.0


@inlined
def dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """The product of two vectors."""
    total = np.float32(0.0)
    for column in range(left.shape[0]):
        total += left[column] * right[column]
    return total


@inlined
def add_scaled(into: NDArray[np.float32], vector: NDArray[np.float32], scale: np.float32) -> None:
    """into += scale * vector."""
    for column in range(into.shape[0]):
        into[column] += scale * vector[column]
