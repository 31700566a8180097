"""What can be asked of a list, and what it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

Source = Literal["model", "fold_in", "popular"]
"""Where a list comes from."""

ItemSource = Literal["model", "fold_in", "popular", "new", "repeat"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks of a list.

    Attributes:
        categories: an item must have all of them; categories_any: one of them, if there are any; exclude_categories:
            none of them.
        include_seen: None leaves it to the service's setting.
        max_per_category: no more items than this that share a category.
        explain: with the share that each item of the user's history has in a score.
    """

    limit: int = 10
    exclude_items: Sequence[str] = ()
    include_seen: bool | None = None
    categories: Sequence[str] = ()
    categories_any: Sequence[str] = ()
    exclude_categories: Sequence[str] = ()
    max_per_category: int | None = None
    explain: bool = False

    @property
    def chooses_categories(self) -> bool:
        """Whether the categories of an item matter."""
        return bool(self.categories or self.categories_any or self.exclude_categories)


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What an anonymous visitor did just now."""

    item_id: str
    event_type: str
    value: float


class Share(Struct, frozen=True, gc=False):
    """An item of a history, and its share in a score."""

    item_id: str
    contribution: float


class RankedItem(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a list, in the form that callers see: what an item does not have is left out.

    Attributes:
        because: shares of the user's items, the largest first; because_remainder: the rest of the score.
    """

    item_id: str
    rank: int
    score: float
    source: ItemSource
    title: str | None = None
    because: Sequence[Share] | None = None
    because_remainder: float | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list and where it came from; `model_version` is None before the first model."""

    model_version: int | None
    source: Source
    items: list[RankedItem]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order asked; None for an item that has none."""

    model_version: int
    source: Source
    item_ids: Sequence[str]
    scores: list[float | None]


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a filter left of the candidates."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a user gets the list that they get.

    Attributes:
        reason: a stable word; sentence: the same for people.
        interactions_used: how many of the user's interactions shaped the list.
        candidates: how many items there are to choose from, before `filters`, in the order they are applied.
        model_created_us: when the model in use was made.
    """

    source: Source
    reason: str
    sentence: str
    interactions_used: int
    candidates: int
    filters: Sequence[Filtered]
    model_version: int | None
    model_created_us: int | None


class NoModelError(LookupError):
    """No model is live yet."""


class UnknownUserError(LookupError):
    """Nothing is known of the user."""


class UnknownItemError(LookupError):
    """Nothing ever named the item, or it was deleted."""
