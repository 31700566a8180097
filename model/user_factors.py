"""What scores need of a user, made of a history and a version alone: the same rule as in its training.

Letters used for shapes: N events of one user, D dimensions, n items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.policy import group_of_one
from model.positives import TypeWeights, speaking
from model.served import ServedModel
from model.user_items import damped, share_left

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
    numbers = served.item_numbers(events.item_keys)
    order = numbers.argsort()
    numbers = numbers[order]
    if _hides_something(types, events) or ((numbers[1:] == numbers[:-1]) & (numbers[1:] >= 0)).any():
        return _of_several(served, events, types=types, now_us=now_us)
    # No item twice, and nothing hides: all events speak, each for an item of its own.
    weights = types.weighed(events.event_codes[order], events.values[order])
    times_us = events.times_us[order]
    known = _known(numbers, weights)
    if not known.all():
        numbers, times_us, weights = numbers[known], times_us[known], weights[known]
    if not len(numbers):
        return ChosenItems.none()
    counts = _counts(served, times_us, now_us)
    return ChosenItems(numbers, damped(weights) * _decay(served, times_us), counts, len(numbers))


def _of_several(served: ServedModel, events: UserEvents, *, types: TypeWeights, now_us: float) -> ChosenItems:
    """`chosen_items` where several events may be of one item, or say nothing."""
    keys = events.item_keys
    found = speaking(
        np.zeros(len(keys), dtype=np.int64),
        keys,
        event_codes=events.event_codes,
        values=events.values,
        times_us=events.times_us,
        types=types,
    )
    numbers, times_us, weights = served.item_numbers(keys[found.rows]), events.times_us[found.rows], found.weights
    known = _known(numbers, weights)
    numbers, times_us, weights = numbers[known], times_us[known], weights[known]
    if not len(numbers):
        return ChosenItems.none()
    order = np.lexsort((weights, times_us, numbers))
    numbers, times_us = numbers[order], times_us[order]
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    said = damped(np.add.reduceat(weights[order], starts))
    said = said * _decay(served, np.maximum.reduceat(times_us, starts))
    counts = np.add.reduceat(_counts(served, times_us, now_us), starts)
    return ChosenItems(numbers[starts], said, counts, len(numbers))


def _hides_something(types: TypeWeights, events: UserEvents) -> bool:
    return bool(types.hides.any()) and bool(types.hides[events.event_codes].any())


def _known(numbers: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    # As in training, an event without weight (a value too small for float32) says nothing.
    return (numbers >= 0) & (weights > 0)


def _decay(served: ServedModel, last_us: NDArray[np.int64]) -> NDArray[np.float64] | float:
    """What is left of items chosen last at these moments, shape (n,), against the newest one."""
    half_life = served.policy.fold_in_half_life_us
    return 1.0 if half_life is None else share_left(last_us.max() - last_us, half_life)


def _counts(served: ServedModel, times_us: NDArray[np.int64], now_us: float) -> NDArray[np.float64]:
    """What each event counts as a repeat, shape (n,)."""
    repeats = served.policy.repeats
    if repeats is None or repeats.half_life is None:
        return np.ones(len(times_us))
    counts: NDArray[np.float64] = np.exp2(-np.maximum(now_us - times_us, 0) / repeats.half_life)
    return counts


def folded_in(served: ServedModel, chosen: ChosenItems) -> UserFactors:
    """The factors of whoever chose these items, at least one."""
    vector = served.fold_in.user_vector(served.item_vectors, chosen.items, chosen.weights)
    return _factors(served, chosen, vector, group_of_one(len(chosen.items)))


def as_trained(served: ServedModel, number: int, chosen: ChosenItems | None) -> UserFactors:
    """The factors of a user whose history is the one of the training.

    The vector is the version's own: whoever keeps it keeps the version's arrays.

    Args:
        chosen: whose items have a part of their own in the scores, where the policy says so; None for no such part.
    """
    return _factors(served, chosen, served.user_vectors[number], int(served.user_groups[number]))


def _factors(served: ServedModel, chosen: ChosenItems | None, vector: NDArray[np.float32], group: int) -> UserFactors:
    if served.policy.repeats is None or chosen is None:
        return UserFactors(vector, group)
    own_scores = np.float32(served.policy.repeats.weight) * np.log1p(chosen.counts).astype(np.float32)
    return UserFactors(vector, group, chosen.items, own_scores, float(np.abs(own_scores).max(initial=0.0)))
