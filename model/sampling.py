"""Sources of randomness, and the items a training contrasts with the observed ones (negatives).

Shapes: N interactions, B batch, K negatives of one positive, U users, I items.
"""

from __future__ import annotations

import operator
from typing import Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

RandomSource = np.random.RandomState | np.random.Generator


def as_random_source(random_state: RandomSource | SupportsIndex | None) -> RandomSource:
    """Return a source of random numbers: the one given, one seeded by an integer, or a fresh one for None.

    Raises: ValueError for a seed outside 0..2**32-1; TypeError for anything else.
    """
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    if isinstance(random_state, bool) or not isinstance(random_state, SupportsIndex):
        kind = type(random_state).__name__
        raise TypeError(f"random_state must be a RandomState, a Generator, an integer or None, not {kind}")
    seed = operator.index(random_state)
    if not 0 <= seed < 2**32:
        raise ValueError(f"random_state {seed} is outside 0..{2**32 - 1}")
    return np.random.RandomState(seed)


def sample_items(
    num_items: int,
    shape: int | tuple[int, ...],
    random_state: RandomSource | SupportsIndex | None = None,
) -> NDArray[np.int64]:
    """Draw items uniformly and with replacement out of 0..num_items-1; one draw from the source.

    Returns: int64 array of the given shape.   Raises: ValueError if num_items is below 1.
    """
    if num_items < 1:
        raise ValueError(f"num_items is {num_items}; it must be at least 1")
    source = as_random_source(random_state)
    if isinstance(source, np.random.Generator):
        return source.integers(0, num_items, shape, dtype=np.int64)
    return source.randint(0, num_items, shape, dtype=np.int64)


class Negatives(Protocol):
    """How a solver draws negatives."""

    def draw(self, users_B: NDArray[np.int64], per_positive: int, source: RandomSource) -> NDArray[np.int64]:
        """Return items, shape (B * per_positive,): first those of users_B[0], then those of users_B[1], ..."""
        ...


class UniformNegatives:
    """Every item with equal chance, the user's own positives among them."""

    def __init__(self, num_items: int) -> None:
        self._num_items = num_items

    def draw(self, users_B: NDArray[np.int64], per_positive: int, source: RandomSource) -> NDArray[np.int64]:
        return sample_items(self._num_items, len(users_B) * per_positive, source)


class UnseenNegatives:
    """Every item with equal chance except those the user has interacted with.

    Drawing and rejecting would take a growing number of rounds for users who have nearly everything. Instead the rank
    r of a free item is drawn, and r is mapped to that item: with the user's items p_0 < p_1 < ..., the r-th free item
    is r + #{k : p_k - k <= r}, one binary search.

    Args:
        user_ids: shape (N,), int64.   item_ids: shape (N,), int64.   num_users, num_items: U and I.
    """

    def __init__(
        self, user_ids: NDArray[np.int64], item_ids: NDArray[np.int64], *, num_users: int, num_items: int
    ) -> None:
        users, items = np.divmod(np.unique(user_ids * num_items + item_ids), num_items)
        self._starts = np.searchsorted(users, np.arange(num_users + 1))
        rank_of_item = np.arange(len(users)) - self._starts[users]
        self._stride = num_items + 1
        self._keys = users * self._stride + (items - rank_of_item)
        self._free = num_items - np.diff(self._starts)

    def has_any(self, user_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each user has a free item left, shape of user_ids."""
        return self._free[user_ids] > 0

    def draw(self, users_B: NDArray[np.int64], per_positive: int, source: RandomSource) -> NDArray[np.int64]:
        """As ``Negatives.draw``. Raises ValueError if one of the users has interacted with every item."""
        users = np.repeat(users_B, per_positive)
        free = self._free[users]
        if isinstance(source, np.random.Generator):
            ranks = source.integers(0, free, dtype=np.int64)
        else:
            ranks = source.randint(0, free, dtype=np.int64)
        below = np.searchsorted(self._keys, users * self._stride + ranks, side="right") - self._starts[users]
        return ranks + below
