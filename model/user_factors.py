"""What scores need of a user, made of a history and a version alone: the same rule as in its training.

Letters used for shapes: N events of one user, D dimensions, n items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.policy import group_of
from model.positives import TypeWeights, speaking
from model.served import ServedModel
from model.user_items import damped

_NO_NUMBERS: NDArray[np.int64] = np.empty(0, dtype=np.int64)
_NO_SCORES: NDArray[np.float32] = np.empty(0, dtype=np.float32)


class UserFactors(NamedTuple):
    """A user as scores see them.

    Attributes:
        vector: x, float32, shape (D,).
        group: which of the betas.
        own: numbers of the items that have a part of their own in the user's scores, ascending, int64, shape (n,).
        own_scores: that part, float32, shape (n,).
        max_own: the largest of own_scores in size; 0 without any.
    """

    vector: NDArray[np.float32]
    group: int
    own: NDArray[np.int64] = _NO_NUMBERS
    own_scores: NDArray[np.float32] = _NO_SCORES
    max_own: float = 0.0


class UserEvents(NamedTuple):
    """What one user did; all of shape (N,).

    Attributes:
        item_keys: the store's keys, int64.
        event_codes: index into the types that `TypeWeights` were made for.
        times_us: microseconds since the epoch, int64.
        values: float32.
    """

    item_keys: NDArray[np.int64]
    event_codes: NDArray[np.integer]
    times_us: NDArray[np.int64]
    values: NDArray[np.float32]

    def take(self, kept: NDArray[np.bool_]) -> UserEvents:
        """Some of the events."""
        return UserEvents(self.item_keys[kept], self.event_codes[kept], self.times_us[kept], self.values[kept])


class ChosenItems(NamedTuple):
    """The items of a version that somebody's events speak for.

    Attributes:
        items: numbers, ascending, int64, shape (n,).
        weights: how much each says, with the user's newest item as the measure of age, float64, shape (n,).
        counts: how often each was chosen, every event halved with each half-life of its age, float64, shape (n,).
        events: how many events that were.
    """

    items: NDArray[np.int64]
    weights: NDArray[np.float64]
    counts: NDArray[np.float64]
    events: int

    @classmethod
    def none(cls) -> ChosenItems:
        """Nothing was chosen."""
        return cls(_NO_NUMBERS, np.empty(0), np.empty(0), 0)


def chosen_items(served: ServedModel, events: UserEvents, *, types: TypeWeights, now_us: float) -> ChosenItems:
    """What the events say, as `model.user_items` has it of all users at a training.

    The outcome does not depend on the order of the events.

    Args:
        now_us: the moment that `counts` count back from.
    """
    keys = events.item_keys
    found = speaking(
        np.zeros(len(keys), dtype=np.int64),
        keys,
        event_codes=events.event_codes,
        values=events.values,
        times_us=events.times_us,
        types=types,
    )
    numbers = served.item_numbers(keys[found.rows])
    # As in training, an event without weight (a value too small for float32) says nothing.
    known = (numbers >= 0) & (found.weights > 0)
    numbers, times_us, weights = numbers[known], events.times_us[found.rows[known]], found.weights[known]
    if not len(numbers):
        return ChosenItems.none()
    order = np.lexsort((weights, times_us, numbers))
    numbers, times_us = numbers[order], times_us[order].astype(np.float64)
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    said = damped(np.add.reduceat(weights[order], starts))
    half_life = served.policy.fold_in_half_life_us
    if half_life is not None:
        last_us = np.maximum.reduceat(times_us, starts)
        said *= np.exp2((last_us - last_us.max()) / half_life)
    counts = np.ones(len(numbers))
    if served.policy.repeats is not None and served.policy.repeats.half_life is not None:
        counts = np.exp2(-np.maximum(now_us - times_us, 0) / served.policy.repeats.half_life)
    return ChosenItems(numbers[starts], said, np.add.reduceat(counts, starts), len(numbers))


def folded_in(served: ServedModel, chosen: ChosenItems) -> UserFactors:
    """The factors of whoever chose these items, at least one."""
    vector = served.fold_in.user_vector(served.item_vectors, chosen.items, chosen.weights)
    return _factors(served, chosen, vector, int(group_of(np.array([len(chosen.items)]))[0]))


def as_trained(served: ServedModel, number: int, chosen: ChosenItems | None) -> UserFactors:
    """The factors of a user whose history is the one of the training; `chosen` matters where items come back."""
    # A copy: whoever keeps a user must not keep the arrays of a version that is over.
    return _factors(served, chosen, served.user_vectors[number].copy(), int(served.user_groups[number]))


def _factors(served: ServedModel, chosen: ChosenItems | None, vector: NDArray[np.float32], group: int) -> UserFactors:
    if served.policy.repeats is None or chosen is None:
        return UserFactors(vector, group)
    own_scores = np.float32(served.policy.repeats.weight) * np.log1p(chosen.counts).astype(np.float32)
    return UserFactors(vector, group, chosen.items, own_scores, float(np.abs(own_scores).max(initial=0.0)))
