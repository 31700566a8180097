"""What users chose, one entry for each user and item, with how much it says and when it was chosen last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.interactions import Interactions, checked_times, checked_weights

_LOG_2 = float(np.log(2))
# An item never says less than this share of what it said when it was the newest. Without, who comes back after years
# would be known by the first click alone.
LEAST_SHARE = 2.0**-7


@dataclass(frozen=True, eq=False)
class UserItems:
    """Items by user.

    Letters used for shapes: U users, P entries.

    Attributes:
        indptr: the entries of user u are indptr[u] to indptr[u + 1], int64, shape (U + 1,).
        items: item numbers, ascending within a user, int64, shape (P,).
        weights: log2(1 + summed weights of the pair's interactions), float64, shape (P,).
        times: of the pair's newest interaction, float64, shape (P,); zeros where nobody knows.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float64]
    times: NDArray[np.float64]

    @classmethod
    def of(cls, interactions: Interactions) -> UserItems:
        """The pairs of some interactions; without weights each counts 1, and one of weight 0 says nothing.

        Raises: ValueError for a weight that is not finite or negative, or a timestamp that is no finite number.
        """
        counted = np.ones(len(interactions)) if interactions.weights is None else checked_weights(interactions.weights)
        said = counted > 0
        pairs, pair_of_N = _pairs(interactions, said)
        weights = damped(np.bincount(pair_of_N, weights=counted[said], minlength=len(pairs)))
        times = np.zeros(len(pairs))
        if interactions.timestamps is not None:
            times[:] = -np.inf
            np.maximum.at(times, pair_of_N, checked_times(interactions.timestamps)[said].astype(np.float64))
        users, items = pairs // interactions.num_items, pairs % interactions.num_items
        return cls(_indptr(users, interactions.num_users), items, weights, times)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Entries of each user, int64, shape (U,)."""
        return np.diff(self.indptr)

    def take(self, users: NDArray[np.int64]) -> UserItems:
        """Some users, in the order given."""
        counts = self.sizes[users]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[users] - indptr[:-1], counts)
        return UserItems(indptr, self.items[places], self.weights[places], self.times[places])

    def decayed(self, half_life: float | None) -> NDArray[np.float64]:
        """Weights times what is left of each entry at its age, shape (P,).

        Age is counted against the user's newest entry, so that nothing but the own history matters: no clock, nobody
        else's newest interaction.
        """
        if half_life is None or not len(self.items):
            return self.weights
        filled = self.indptr[:-1] < self.indptr[1:]
        newest = np.zeros(len(self))
        newest[filled] = np.maximum.reduceat(self.times, self.indptr[:-1][filled])
        return self.weights * share_left(np.repeat(newest, self.sizes) - self.times, half_life)


def share_left(ages: NDArray[Any], half_life: float) -> NDArray[np.float64]:
    """What is left of items of a history at these ages, 0 or more: half with every half-life, down to LEAST_SHARE."""
    found: NDArray[np.float64] = np.maximum(np.exp2(-ages / half_life), LEAST_SHARE)
    return found


def damped(weights: NDArray[Any]) -> NDArray[np.float64]:
    """log2(1 + w): how much a pair says whose interactions weigh w together; also a w that 1 + w would lose.

    A user of such weights alone would have no vector otherwise.
    """
    found: NDArray[np.float64] = np.log1p(weights) / _LOG_2
    return found


def own_counts(
    interactions: Interactions, *, half_life: float | None, newest: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """How often users chose each of their items, every interaction halved with each half-life of its age at `newest`.

    Returns: indptr (U + 1,) and items (P,), as in `UserItems` but whatever the weights, and the counts (P,).
    """
    pairs, pair_of_N = _pairs(interactions, np.ones(len(interactions), dtype=np.bool_))
    decay: NDArray[Any] | None = None
    if half_life is not None and interactions.timestamps is not None:
        decay = np.exp2(-np.maximum(newest - interactions.timestamps, 0) / half_life)
    counts = np.bincount(pair_of_N, weights=decay, minlength=len(pairs)).astype(np.float64)
    users = pairs // interactions.num_items
    return _indptr(users, interactions.num_users), pairs % interactions.num_items, counts


def _pairs(interactions: Interactions, counted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct pairs as user * num_items + item, ascending, and which of them each counted interaction is of."""
    users, items = (ids[counted].astype(np.int64) for ids in (interactions.user_ids, interactions.item_ids))
    numbers = users * interactions.num_items + items
    pairs, pair_of_N = np.unique(numbers, return_inverse=True)
    return pairs, pair_of_N


def _indptr(users: NDArray[np.int64], num_users: int) -> NDArray[np.int64]:
    return np.searchsorted(users, np.arange(num_users + 1)).astype(np.int64)
