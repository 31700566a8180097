"""What a demonstration is made of: interactions in the order of their times, and the catalogue they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoRating:
    """One rating: external ids, `value` (0.5 to 5), `seconds` since the epoch."""

    user_id: str
    item_id: str
    value: float
    seconds: int


@dataclass(frozen=True, slots=True)
class DemoItem:
    """One item of the catalogue, as people name it."""

    item_id: str
    title: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Landmark:
    """What is known of a demonstration beforehand: its first rating, how many there are, and whom to show."""

    event_id: str
    user_id: str
    item_id: str
    rows: int
    shown_user_id: str


@dataclass(frozen=True)
class DemoDataset:
    """A whole demonstration.

    Attributes:
        name: stands at the head of every event id (`name:1`, ...), so that an import can be repeated or resumed.
        label: how it is called on the screen.
        ratings: oldest first; event k is ratings[k - 1].
        items: the catalogue.
        shown_user_id: whose recommendations are worth looking at.
    """

    name: str
    label: str
    ratings: Sequence[DemoRating]
    items: Sequence[DemoItem]
    shown_user_id: str

    def event_id(self, number: int) -> str:
        """The event id of ratings[number - 1]."""
        return f"{self.name}:{number}"

    @property
    def landmark(self) -> Landmark:
        """How to recognise it."""
        first = self.ratings[0]
        return Landmark(self.event_id(1), first.user_id, first.item_id, len(self.ratings), self.shown_user_id)
