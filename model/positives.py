"""Which events speak for an item, and how much: one rule for a training and for a history that is folded in later.

Letters used for shapes: N events, T types of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

HIDE: Literal["hide"] = "hide"
DEFAULT_WEIGHT = 1.0
# The same user, item and type again within this time is the same event again.
REPEAT_US = 60_000_000

EventWeights = Mapping[str, float | Literal["hide"]]
NO_CAPS: Mapping[str, float] = {}
CAPPED_AT = 0.99
# Beyond so many numbers, pairs are numbered closely: there may be as many again for each type.
_MOST_NUMBERS = 2**43
# Of fewer values the 99th percentile is no more than one of the largest.
FEWEST_CAPPED = 1_000


class TypeWeights(NamedTuple):
    """What each type of event counts, all of shape (T,).

    Attributes:
        factors: float64.
        hides: whether it hides its item instead, bool.
        caps: the largest value that counts, float64.
    """

    factors: NDArray[np.float64]
    hides: NDArray[np.bool_]
    caps: NDArray[np.float64]

    @classmethod
    def of(cls, event_types: Sequence[str], weights: EventWeights, caps: Mapping[str, float] = NO_CAPS) -> TypeWeights:
        """Those of types by name; a type without a weight counts 1, and one without a cap has none."""
        given = [weights.get(name, DEFAULT_WEIGHT) for name in event_types]
        factors = np.array([0.0 if weight == HIDE else weight for weight in given], dtype=np.float64)
        hides = np.array([weight == HIDE for weight in given], dtype=np.bool_)
        return cls(factors, hides, np.array([caps.get(name, np.inf) for name in event_types], dtype=np.float64))

    def weighed(self, event_codes: NDArray[np.integer], values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weight of the type times the value, cut at its cap, float64, of the shape of both."""
        found: NDArray[np.float64] = self.factors[event_codes] * np.minimum(values, self.caps[event_codes])
        return found


def value_caps(
    event_types: Sequence[str], event_codes: NDArray[np.integer], values: NDArray[np.floating]
) -> dict[str, float]:
    """The 99th percentile of each type's values, of those with FEWEST_CAPPED events and a value above it.

    A quantity of ten thousand is a mistake or a dealer: neither says ten thousand times as much.

    Args:
        event_codes: index into the types, shape (N,). values: shape (N,).
    """
    counts = np.bincount(event_codes, minlength=len(event_types))
    found = {}
    for code in np.flatnonzero(counts >= FEWEST_CAPPED).tolist():
        own = values[event_codes == code]
        cap = float(np.quantile(own, CAPPED_AT, method="higher"))
        if own.max() > cap:
            found[event_types[code]] = cap
    return found


class Speaking(NamedTuple):
    """The events that speak for their item.

    Attributes:
        rows: which, ascending, int64.
        weights: weight of the type times the value, float64, of the same shape.
        left_out: how many of the others there are, by reason.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    left_out: Mapping[str, int]


def speaking(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    *,
    event_codes: NDArray[np.integer],
    values: NDArray[np.floating],
    times_us: NDArray[np.int64],
    types: TypeWeights,
) -> Speaking:
    """Leave out what says nothing for an item, and weigh the rest.

    Left out are events of a type that hides, events of a pair that was hidden at that moment or later, and an event of
    the same user, item and type as the one before it when it came less than 60 s after that one. Of several at the same
    moment the one of the largest value counts as the first, so that the order of the rows does not matter.

    Args:
        users, items: keys or numbers, shape (N,).
        event_codes: index into the types, shape (N,).
        values: shape (N,).
        times_us: microseconds since the epoch, shape (N,).
    """
    hiding = types.hides[event_codes]
    hidden = _hidden(users, items, times_us=times_us, hiding=hiding)
    repeated = _repeated(users, items, event_codes=event_codes, values=values, times_us=times_us) & ~hiding & ~hidden
    rows = np.flatnonzero(~(hiding | hidden | repeated))
    left_out = {
        "hiding_events": int(hiding.sum()),
        "hidden_by_them": int(hidden.sum()),
        "repeated_within_60_seconds": int(repeated.sum()),
    }
    return Speaking(rows, types.weighed(event_codes[rows], values[rows]), left_out)


def _hidden(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    *,
    times_us: NDArray[np.int64],
    hiding: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Whether a hiding event of the same pair came at the time of each (other) event or later."""
    if not hiding.any():
        return np.zeros(len(hiding), dtype=np.bool_)
    pair_numbers = _pair_numbers(users, items)
    hidden_pairs, row_of = np.unique(pair_numbers[hiding], return_inverse=True)
    last_us = np.full(len(hidden_pairs), np.iinfo(np.int64).min)
    np.maximum.at(last_us, row_of, times_us[hiding])
    places = np.minimum(np.searchsorted(hidden_pairs, pair_numbers), len(hidden_pairs) - 1)
    hidden: NDArray[np.bool_] = (hidden_pairs[places] == pair_numbers) & (times_us <= last_us[places]) & ~hiding
    return hidden


def _repeated(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    *,
    event_codes: NDArray[np.integer],
    values: NDArray[np.floating],
    times_us: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each event follows one of the same user, item and type by less than REPEAT_US."""
    if not len(users):
        return np.zeros(0, dtype=np.bool_)
    kinds = _pair_numbers(users, items) * (int(event_codes.max()) + 1) + event_codes
    # Events of a training lie in the order of their times; sorting by all three at once takes twenty times as long.
    order = np.argsort(kinds, kind="stable")
    same, passed = np.diff(kinds[order]) == 0, np.diff(times_us[order])
    first_is_less = values[order[:-1]] < values[order[1:]]
    if (same & ((passed < 0) | ((passed == 0) & first_is_less))).any():
        order = np.lexsort((-values, times_us, kinds))
        same, passed = np.diff(kinds[order]) == 0, np.diff(times_us[order])
    repeated = np.zeros(len(order), dtype=np.bool_)
    repeated[order[1:]] = same & (passed < REPEAT_US)
    return repeated


def _pair_numbers(users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair of a user and an item, shape (N,)."""
    width = int(items.max()) + 1
    if width * (int(users.max()) + 1) <= _MOST_NUMBERS:
        numbers: NDArray[np.int64] = users * width + items
        return numbers
    users, items = (np.unique(keys, return_inverse=True)[1] for keys in (users, items))
    closely: NDArray[np.int64] = np.unique(users * (int(items.max()) + 1) + items, return_inverse=True)[1]
    return closely
