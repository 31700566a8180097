"""Lists before the first model: what is popular lately, of all items there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.live.history import History
from app.recommend.filters import most_per_category
from app.recommend.lists import Ranked, RankedItem, Wanted


def popular_before_model(history: History, wanted: Wanted, left_out: NDArray[np.int64], *, now_us: int) -> Ranked:
    """The most popular items, then those that nobody chose yet, in the order they came to the store.

    Args:
        left_out: keys of the items that the list must not hold.
    """
    catalogue = history.catalogue
    counted, counts = history.recent_popularity()
    others = catalogue.keys_beyond(counted)
    keys = np.concatenate((counted, others))
    counts = np.concatenate((counts, np.zeros(len(others))))
    left = ~np.isin(keys, np.concatenate((left_out, catalogue.withheld_keys(now_us), _excluded(history, wanted))))
    for category in wanted.categories:
        left &= np.isin(keys, catalogue.in_category(category))
    if wanted.categories_any:
        left &= np.isin(keys, np.concatenate([catalogue.in_category(name) for name in wanted.categories_any]))
    for category in wanted.exclude_categories:
        left &= ~np.isin(keys, catalogue.in_category(category))
    keys, counts = keys[left], counts[left]
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


def _excluded(history: History, wanted: Wanted) -> NDArray[np.int64]:
    return history.catalogue.item_keys(wanted.exclude_items)
