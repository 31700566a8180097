"""From what was looked up for lists to the lists: those of one version share a matrix product."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from app.live.history import History
from app.live.live_model import ActiveModel
from app.recommend.explained import explained
from app.recommend.filters import most_per_category
from app.recommend.lists import ItemSource, Ranked, RankedItem, Source, Wanted
from model import queries
from model.queries import Query
from model.shortlist import Best
from model.user_factors import ChosenItems

# Where a category may have so many items at most, that many more are asked for, and more again if they do not suffice.
MORE_FOR_CATEGORIES = 4


class Prepared(NamedTuple):
    """A list that only has to be ranked: everything that was looked up for it, at one moment and for one version.

    Attributes:
        own: numbers of the user's items that the list may hold.
        to: the item whose neighbours are asked for.
        chosen: what shaped the user's vector, where the list is to be explained by it.
    """

    model: ActiveModel
    query: Query
    wanted: Wanted
    source: Source
    own: Collection[int] = ()
    to: int | None = None
    chosen: ChosenItems | None = None


class Ranking:
    """Ranks lists, and names their items."""

    def __init__(self, history: History) -> None:
        self._history = history

    def rank(self, lists: Sequence[Prepared]) -> list[Ranked]:
        """The lists, in the order given."""
        groups: dict[int, list[int]] = {}
        for place, each in enumerate(lists):
            groups.setdefault(id(each.model.candidates), []).append(place)
        ranked: dict[int, Ranked] = {}
        for places in groups.values():
            ranked |= zip(places, self._rank([lists[place] for place in places]), strict=True)
        return [ranked[place] for place in range(len(lists))]

    def told(
        self, model: ActiveModel, lists: Sequence[Best], about: Sequence[tuple[Source, Collection[int]]]
    ) -> list[Ranked]:
        """The lists of some items, by their names: looked up for all at once.

        Args:
            about: where each list comes from, and the numbers of its user's own items that it may hold.
        """
        names = iter(self._history.catalogue.names(model.candidates.keys(np.concatenate([best[0] for best in lists]))))
        first_new = model.served.num_items
        told: list[Ranked] = []
        for (numbers, scores), (source, own) in zip(lists, about, strict=True):
            items: list[RankedItem] = []
            for number, score, (item_id, title) in zip(numbers.tolist(), scores.tolist(), names, strict=False):
                # An item that nothing names any more cannot be shown; a list that is one short is better than none.
                if item_id is not None:
                    own_source: ItemSource = "repeat" if number in own else "new" if number >= first_new else source
                    items.append(RankedItem(item_id, len(items) + 1, score, own_source, title))
            told.append(Ranked(model.version, source, items))
        return told

    def _rank(self, lists: Sequence[Prepared]) -> list[Ranked]:
        """Lists of one version and one moment."""
        model = lists[0].model
        alike = [place for place, each in enumerate(lists) if each.to is None]
        found = dict(zip(alike, queries.best(model.candidates, [lists[place].query for place in alike]), strict=True))
        for place, each in enumerate(lists):
            if each.to is not None:
                found[place] = queries.similar(model.candidates, each.to, each.query)
            if each.wanted.max_per_category is not None:
                found[place] = self._spread(each, found[place])
        best = [found[place] for place in range(len(lists))]
        ranked = self.told(model, best, [(each.source, each.own) for each in lists])
        for place, each in enumerate(lists):
            if each.wanted.explain:
                ranked[place] = self._explained(each, ranked[place])
        return ranked

    def _spread(self, prepared: Prepared, found: Best) -> Best:
        """The best items of which no category has too many, out of as many as it takes."""
        candidates, wanted, query = prepared.model.candidates, prepared.wanted, prepared.query
        while True:
            numbers, scores = found
            kept = most_per_category(
                candidates.keys(numbers),
                self._history.catalogue,
                most=wanted.max_per_category or 1,
                limit=wanted.limit,
            )
            if len(kept) == wanted.limit or len(numbers) < query.k:
                return numbers[kept], scores[kept]
            query = query._replace(k=query.k * MORE_FOR_CATEGORIES)
            if prepared.to is None:
                (found,) = queries.best(candidates, [query])
            else:
                found = queries.similar(candidates, prepared.to, query)

    def _explained(self, prepared: Prepared, ranked: Ranked) -> Ranked:
        """The list with the shares that its user's items have in each score."""
        factors, model, catalogue = prepared.query.user, prepared.model, self._history.catalogue
        if factors is None or prepared.chosen is None:
            items = [replace(item, because=(), because_remainder=item.score) for item in ranked.items]
            return Ranked(ranked.model_version, ranked.source, items)
        numbers = model.candidates.numbers(catalogue.item_keys([item.item_id for item in ranked.items]))
        because = explained(
            model.candidates,
            catalogue,
            factors,
            prepared.chosen,
            numbers=numbers,
            scores=[item.score for item in ranked.items],
        )
        items = [
            replace(item, because=shares, because_remainder=rest)
            for item, (shares, rest) in zip(ranked.items, because, strict=True)
        ]
        return Ranked(ranked.model_version, ranked.source, items)
