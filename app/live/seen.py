"""Which events keep an item out of its user's lists, and the numbers that types of events have in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.positives import TypeWeights
from model.served import ServedPolicy
from model.user_factors import UserEvents

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class SeenRule:
    """Which events keep an item out of its user's lists.

    `event_types` None means all; `days` None means for ever; `hidden_types` keep the item out whatever is asked for.
    """

    event_types: frozenset[str] | None = None
    days: float | None = None
    hidden_types: frozenset[str] = frozenset()

    @property
    def sees_everything(self) -> bool:
        """Whether every event makes its item a seen one, for ever."""
        return self.event_types is None and self.days is None

    def sees(self, event_type: str) -> bool:
        """Whether an event of this type makes its item a seen one."""
        return self.event_types is None or event_type in self.event_types or event_type in self.hidden_types


class EventTypes:
    """The types of events that were met so far, numbered in the order they came, and what the rule says of each.

    Attributes:
        names: by number.
        sees, hides: whether an event of the type counts as seen, and whether it hides its item, bool, shape (T,).
    """

    def __init__(self, rule: SeenRule) -> None:
        self._rule = rule
        self._naming = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._weights: tuple[ServedPolicy, TypeWeights] | None = None
        self.names: list[str] = []
        self.sees: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self.hides: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def number(self, name: str) -> int:
        """The number of a type; one that is out never changes."""
        found = self._numbers.get(name)
        return self.numbers([name])[0] if found is None else found

    def numbers(self, names: Iterable[str]) -> list[int]:
        """The numbers of some types; as `number`."""
        known = self._numbers
        with self._naming:
            found = [known.setdefault(name, len(known)) for name in names]
            if len(known) > len(self.names):
                # The flags before the numbers are out: whoever has a number finds its flag.
                self.names = list(known)
                self.sees = np.array([self._rule.sees(name) for name in self.names], dtype=np.bool_)
                self.hides = np.array([name in self._rule.hidden_types for name in self.names], dtype=np.bool_)
        return found

    def weights(self, policy: ServedPolicy) -> TypeWeights:
        """What events of the types count for a version."""
        made = self._weights
        names = self.names
        if made is None or made[0] is not policy or len(made[1].factors) < len(names):
            made = self._weights = (policy, policy.weights_of(names))
        return made[1]

    def seen_mask(self, events: UserEvents, *, now_us: int, only_hidden: bool) -> NDArray[np.bool_]:
        """Which events, of one user or several, keep their item out of the user's lists, bool, shape (N,).

        With `only_hidden`, just those of types that hide, for which no age counts.
        """
        seen: NDArray[np.bool_] = self.hides[events.event_codes]
        if not only_hidden:
            sees = self.sees[events.event_codes]
            if self._rule.days is not None:
                sees &= events.times_us >= now_us - int(self._rule.days * _DAY_US)
            seen |= sees
        return seen
