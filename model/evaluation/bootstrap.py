"""How sure a difference between two rankings is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.evaluation.ranking import at_least_one

# Random numbers drawn at once: bounds the memory to some tens of megabytes.
BOOTSTRAP_BLOCK = 2**22


class Interval(NamedTuple):
    """A mean and the interval it lies in."""

    mean: float
    low: float
    high: float


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
    Raises: ValueError if the shapes differ, there are no users, or samples or level are outside their limits.
    """
    at_least_one("samples", samples)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be above 0 and below 1")
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
