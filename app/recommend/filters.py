"""Which items may stand in a list: what is taken away before the best are taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from app.live.catalogue import Catalogue
from app.live.history import History
from app.recommend.lists import Filtered, Wanted
from model.candidates import Candidates

# Item numbers of so many categories are kept.
MOST_CATEGORIES = 512


_State = tuple[Candidates, Catalogue, int]
"""What item numbers hold for: the candidates, the catalogue and its version."""


class Filters:
    """The filters that are the same for everybody, by item numbers; what they need is kept while it holds."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._withheld: tuple[_State, int, int, NDArray[np.int64]] | None = None
        self._categories: tuple[_State | None, dict[str, NDArray[np.int64]]] = (None, {})

    def withheld(self, candidates: Candidates, *, now_us: int) -> NDArray[np.int64]:
        """Numbers of the items that are hidden, deleted or not available now, ascending."""
        kept, state = self._withheld, self._state(candidates)
        # A clock may be set back.
        if kept is not None and kept[0] == state and kept[1] <= now_us < kept[2]:
            return kept[3]
        catalogue = state[1]
        until_us = catalogue.withheld_until_us(now_us)
        numbers = np.sort(candidates.known_numbers(catalogue.withheld_keys(now_us)))
        self._withheld = (state, now_us, until_us, numbers)
        return numbers

    def among(self, candidates: Candidates, wanted: Wanted) -> NDArray[np.int64] | None:
        """Numbers of the items that fit the wanted categories, ascending; None for all."""
        if not wanted.chooses_categories:
            return None
        found: NDArray[np.int64] | None = None
        if wanted.categories:
            found = reduce(np.intersect1d, [self._of(candidates, name) for name in wanted.categories])
        if wanted.categories_any:
            some = self._union(candidates, wanted.categories_any)
            found = some if found is None else np.intersect1d(found, some)
        if found is None:
            found = np.arange(len(candidates))
        if wanted.exclude_categories:
            found = np.setdiff1d(found, self._union(candidates, wanted.exclude_categories), assume_unique=True)
        return found

    def excluded(self, candidates: Candidates, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the items that the caller leaves out."""
        return candidates.known_numbers(self._history.catalogue.item_keys(item_ids))

    def _union(self, candidates: Candidates, names: Iterable[str]) -> NDArray[np.int64]:
        return reduce(np.union1d, [self._of(candidates, name) for name in names])

    def _of(self, candidates: Candidates, category: str) -> NDArray[np.int64]:
        """Numbers of a category's items, ascending."""
        state = self._state(candidates)
        of, kept = self._categories
        if of != state or len(kept) >= MOST_CATEGORIES:
            kept = {}
            self._categories = (state, kept)
        found = kept.get(category)
        if found is None:
            found = kept[category] = np.sort(candidates.known_numbers(state[1].in_category(category)))
        return found

    def _state(self, candidates: Candidates) -> _State:
        catalogue = self._history.catalogue
        return candidates, catalogue, catalogue.version


def counted(
    total: int,
    among: NDArray[np.int64] | None,
    parts: Sequence[tuple[str, NDArray[np.int64]]],
) -> list[Filtered]:
    """What each filter leaves of items 0..total-1, one after the other.

    Args:
        among: the items of the wanted categories; None for all.
        parts: names of filters and the numbers of the items that they take away.
    """
    left = np.ones(total, dtype=np.bool_)
    found: list[Filtered] = []

    def note(name: str, before: int) -> int:
        after = int(left.sum())
        found.append(Filtered(name, before, after))
        return after

    before = total
    for name, numbers in parts:
        left[numbers[numbers < total]] = False
        before = note(name, before)
    if among is not None:
        fits = np.zeros(total, dtype=np.bool_)
        fits[among[among < total]] = True
        left &= fits
        note("category", before)
    return found


def most_per_category(item_keys: NDArray[np.int64], catalogue: Catalogue, *, most: int, limit: int) -> list[int]:
    """Places of the first `limit` items of which no category has more than `most`, in their order."""
    counts: dict[str, int] = {}
    kept: list[int] = []
    for place, key in enumerate(item_keys.tolist()):
        categories = catalogue.categories_of(key)
        if all(counts.get(name, 0) < most for name in categories):
            for name in categories:
                counts[name] = counts.get(name, 0) + 1
            kept.append(place)
            if len(kept) == limit:
                break
    return kept
