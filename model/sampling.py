"""Sources of randomness, and the items a training contrasts with the observed ones (negatives).

Shapes: N interactions, B batch, K negatives of one positive, U users, I items.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

RandomSource = np.random.RandomState | np.random.Generator

_BIT_GENERATORS = {
    kind.__name__: kind
    for kind in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64)
}


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


def drawn_seed(source: RandomSource) -> int:
    """Take one integer out of -10**8..10**8 - 1 from the source."""
    if isinstance(source, np.random.Generator):
        return int(source.integers(-(10**8), 10**8))
    return int(source.randint(-(10**8), 10**8))


def plain_random_state(source: RandomSource) -> dict[str, Any]:
    """Return the state of a RandomState or Generator as plain values.

    Raises: TypeError for a bit generator that is not one of numpy's.
    """
    legacy = isinstance(source, np.random.RandomState)
    state = source.get_state(legacy=False) if isinstance(source, np.random.RandomState) else source.bit_generator.state
    if state["bit_generator"] not in _BIT_GENERATORS:
        raise TypeError(
            f"the state of a {state['bit_generator']} cannot be written: it is not one of numpy's generators"
        )
    return {"source": "RandomState" if legacy else "Generator", "state": _without_arrays(state)}


def restored_random_state(plain: Mapping[str, Any]) -> RandomSource:
    """Return a source that goes on from what ``plain_random_state`` returned."""
    state = _with_arrays(plain["state"])
    bit_generator = _BIT_GENERATORS[state["bit_generator"]]()
    if plain["source"] == "RandomState":
        source = np.random.RandomState(bit_generator)
        source.set_state(state)
        return source
    bit_generator.state = state
    return np.random.Generator(bit_generator)


def _without_arrays(value: Any) -> Any:  # noqa: ANN401 - nested plain values
    if isinstance(value, dict):
        return {key: _without_arrays(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return (value.dtype.name, value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any) -> Any:  # noqa: ANN401 - nested plain values
    if isinstance(value, dict):
        return {key: _with_arrays(entry) for key, entry in value.items()}
    return np.array(value[1], dtype=value[0]) if isinstance(value, tuple) else value


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


class PopularNegatives:
    """Items with a chance in proportion to their weights, the user's own positives among them.

    Args:
        weights_I: whole numbers of 0 or more, at least one of them above 0, int64: see ``popularity_weights``.
    """

    def __init__(self, weights_I: NDArray[np.int64]) -> None:
        self._ends = np.cumsum(weights_I)

    def draw(self, users_B: NDArray[np.int64], per_positive: int, source: RandomSource) -> NDArray[np.int64]:
        points = sample_items(int(self._ends[-1]), len(users_B) * per_positive, source)
        return _items_at(self._ends, points)


class UnseenNegatives:
    """Every item with equal chance, or one in proportion to weights, except those the user has interacted with.

    Drawing and rejecting would take a growing number of rounds for users who have nearly everything. Instead a point r
    on the line of the free items is drawn, and r is mapped to the line of all: with the user's items p_0 < p_1 < ...,
    W(i) the weight of the items before i and w_k that of p_k, r moves on by the w_k of all k for which
    W(p_k) - (w_0 + ... + w_(k-1)) <= r. That is one binary search. With equal weights of 1, r is a rank.

    Args:
        user_ids: shape (N,), int64.   item_ids: shape (N,), int64.   num_users, num_items: U and I.
        weights_I: as for ``PopularNegatives``, with a sum times U below 2**63; None weighs all items alike.
    """

    def __init__(
        self,
        user_ids: NDArray[np.int64],
        item_ids: NDArray[np.int64],
        *,
        num_users: int,
        num_items: int,
        weights_I: NDArray[np.int64] | None = None,
    ) -> None:
        users, items = np.divmod(np.unique(user_ids * num_items + item_ids), num_items)
        self._starts = np.searchsorted(users, np.arange(num_users + 1))
        own = np.ones(len(items), dtype=np.int64) if weights_I is None else weights_I[items]
        self._ends = None if weights_I is None else np.cumsum(weights_I)
        total = num_items if self._ends is None else int(self._ends[-1])
        before = items if self._ends is None else self._ends[items] - own
        self._passed = np.concatenate([[0], np.cumsum(own)])
        self._stride = total + 1
        self._keys = users * self._stride + before - (self._passed[:-1] - self._passed[self._starts[users]])
        self._free = total - np.diff(self._passed[self._starts])

    def has_any(self, user_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each user has a free item of some weight left, shape of user_ids."""
        return self._free[user_ids] > 0

    def draw(self, users_B: NDArray[np.int64], per_positive: int, source: RandomSource) -> NDArray[np.int64]:
        """As ``Negatives.draw``. Raises ValueError if one of the users has interacted with every item."""
        users = np.repeat(users_B, per_positive)
        free = self._free[users]
        if isinstance(source, np.random.Generator):
            points = source.integers(0, free, dtype=np.int64)
        else:
            points = source.randint(0, free, dtype=np.int64)
        passed = np.searchsorted(self._keys, users * self._stride + points, side="right")
        points = points + self._passed[passed] - self._passed[self._starts[users]]
        return points if self._ends is None else _items_at(self._ends, points)


def popularity_weights(counts_I: NDArray[np.integer[Any]], alpha: float, *, num_users: int) -> NDArray[np.int64]:
    """Return counts^alpha in whole numbers, which a draw adds up without rounding.

    They are scaled to a sum of about 2**62 / U, 2**50 at most, so that a user's number and a point fit one int64; an
    item of a count above 0 weighs at least 1, one of count 0 is never drawn (with alpha 0 as often as any).

    Args:
        counts_I: how often each item occurs, shape (I,), not all 0.
        alpha: 0 for equal chances, 1 for chances in proportion to the counts.
        num_users: U.
    """
    powers = counts_I.astype(np.float64) ** alpha
    largest_sum = min(2**50, 2**62 // max(num_users, 1) - len(powers))
    weights: NDArray[np.int64] = np.floor(powers * (largest_sum / powers.sum())).astype(np.int64)
    return np.maximum(weights, (powers > 0).astype(np.int64))


def _items_at(ends_I: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
    items: NDArray[np.int64] = np.searchsorted(ends_I, points, side="right")
    return items
