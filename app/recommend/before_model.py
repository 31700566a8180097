"""Lists before the first model: what is popular lately, of all items there are.

Letters used for shapes: M items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.live.history import History
from app.recommend.filters import most_per_category
from app.recommend.lists import Ranked, RankedItem, Wanted

Places = NDArray[np.int64]


class Chosen(NamedTuple):
    """All items, by their keys, and which of them a list may hold.

    Attributes:
        keys: those that somebody chose first, int64, shape (M,).
        counts: how often lately, float64, shape (M,).
        parts: names of filters and places in `keys` of the items that they take away.
        among: places of the items of the wanted categories; None for all.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.float64]
    parts: Sequence[tuple[str, Places]]
    among: Places | None

    def left(self) -> Places:
        """Places of the items that no filter takes away."""
        left = np.ones(len(self.keys), dtype=np.bool_)
        for _, places in self.parts:
            left[places] = False
        if self.among is not None:
            fits = np.zeros(len(left), dtype=np.bool_)
            fits[self.among] = True
            left &= fits
        return np.flatnonzero(left)


def choose(history: History, wanted: Wanted, left_out: dict[str, NDArray[np.int64]], *, now_us: int) -> Chosen:
    """Every item and every filter.

    Args:
        left_out: further filters by name: keys of the items that the list must not hold.
    """
    catalogue = history.catalogue
    counted, counts = history.recent_popularity()
    others = catalogue.keys_beyond(counted)
    keys = np.concatenate((counted, others))
    filters = {"unavailable": catalogue.withheld_keys(now_us), **left_out}
    if wanted.exclude_items:
        filters["exclude_item"] = catalogue.item_keys(wanted.exclude_items)
    parts = [(name, np.flatnonzero(np.isin(keys, of_filter))) for name, of_filter in filters.items()]
    fits = np.ones(len(keys), dtype=np.bool_)
    for category in wanted.categories:
        fits &= np.isin(keys, catalogue.in_category(category))
    if wanted.categories_any:
        fits &= np.isin(keys, np.concatenate([catalogue.in_category(name) for name in wanted.categories_any]))
    for category in wanted.exclude_categories:
        fits &= ~np.isin(keys, catalogue.in_category(category))
    among = np.flatnonzero(fits) if wanted.chooses_categories else None
    return Chosen(keys, np.concatenate((counts, np.zeros(len(others)))), parts, among)


def popular_before_model(
    history: History, wanted: Wanted, left_out: dict[str, NDArray[np.int64]], *, now_us: int
) -> Ranked:
    """The most popular items, then those that nobody chose yet, in the order they came to the store.

    Args:
        left_out: as for `choose`.
    """
    catalogue = history.catalogue
    chosen = choose(history, wanted, left_out, now_us=now_us)
    left = chosen.left()
    keys, counts = chosen.keys[left], chosen.counts[left]
    # By the counts: among very old events, whose scores all round to 0, they still tell more from less.
    best = np.lexsort((keys, -counts))
    if wanted.max_per_category is not None:
        best = best[most_per_category(keys[best], catalogue, most=wanted.max_per_category, limit=wanted.limit)]
    best = best[: wanted.limit]
    scores = np.log1p(counts[best]).astype(np.float32).tolist()
    names = catalogue.names(keys[best])
    named = [(*each, score) for each, score in zip(names, scores, strict=True) if each[0] is not None]
    told: tuple[()] | None = () if wanted.explain else None
    items = [
        RankedItem(item_id, rank, score, "popular", title, told, score if wanted.explain else None)
        for rank, (item_id, title, score) in enumerate(named, 1)
        if item_id is not None
    ]
    return Ranked(None, "popular", items)
