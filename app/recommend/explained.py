"""How scores came about: which of the user's items speak for an item, and how much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.live.catalogue import Catalogue
from app.recommend.lists import Share
from model.candidates import Candidates
from model.user_factors import ChosenItems, UserFactors

# So many items of a history are named; what the others add is in the remainder.
MOST_SHARES = 5


def explained(
    candidates: Candidates,
    catalogue: Catalogue,
    factors: UserFactors,
    chosen: ChosenItems,
    *,
    numbers: NDArray[np.int64],
    scores: Sequence[float],
) -> list[tuple[list[Share], float]]:
    """The largest shares of each of some items' scores; with the remainder they sum to the score."""
    served = candidates.served
    shares_KN, _ = served.fold_in.contributions(
        served.item_vectors[chosen.items], chosen.weights, explained=candidates.vectors(numbers)
    )
    own = dict(zip(factors.own.tolist(), factors.own_scores.tolist(), strict=True))
    places = {number: place for place, number in enumerate(chosen.items.tolist()) if number in own}
    for row, number in enumerate(numbers.tolist()):
        if number in places:
            shares_KN[row, places[number]] += own[number]
    ids = catalogue.item_ids(served.item_keys[chosen.items])
    found = []
    for shares, score in zip(shares_KN, scores, strict=True):
        best = np.argsort(-shares, kind="stable")[:MOST_SHARES]
        told = [Share(item_id, float(shares[at])) for at in best.tolist() if shares[at] > 0 and (item_id := ids[at])]
        found.append((told, score - sum(share.contribution for share in told)))
    return found
