"""A version's candidates as of now: popularity goes on with what came since the training, and new items find a place.

What comes out is a function of the version and of what is held, whatever order it came in: a restart gives the same.

Letters used for shapes: N rows, I items of the version, M new items, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.live.catalogue import Catalogue
from app.live.held import Held
from app.live.history import History
from app.live.rows import EventRows
from model.candidates import Candidates
from model.new_items import NewItems
from model.popularity import decayed_counts, newest_rows, settled_now
from model.positives import speaking
from model.served import ServedModel
from model.user_factors import chosen_items

# A new item's place is the mean of its users' tastes and of so many average ones of its categories.
USUAL_TASTES = 2.0
# More users tell no more about where an item belongs.
MOST_USERS = 50
# Of so many users at most the taste is looked up at a time: a flood of new items must not hold the process up.
MOST_TASTES = 2_000

_NO_KEYS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def fresh_candidates(served: ServedModel, name: str, history: History) -> Candidates:
    """The candidates of a version.

    Args:
        name: of the version and of the history that its training wrote.
    """
    held = history.held
    rows = held.rows_since(name)
    said = speaking(
        rows.user_keys,
        rows.item_keys,
        event_codes=rows.event_codes,
        values=rows.values,
        times_us=rows.times_us,
        types=history.types.weights(served.policy),
    )
    rows = rows.take(said.rows)
    # In an order that does not depend on how they came.
    rows = rows.take(np.lexsort((rows.user_keys, rows.times_us, rows.item_keys)))
    continues = held.base.name == name
    now_us = _now_us(served, rows, others=len(held.base_table) if continues else None)
    half_life = served.policy.popularity_half_life_us
    new_keys = history.catalogue.keys_beyond(served.sorted_item_keys)
    numbers = served.item_numbers(rows.item_keys)
    known = numbers >= 0

    def counts(numbers: NDArray[np.int64], times_us: NDArray[np.int64], num_items: int) -> NDArray[np.float64]:
        return decayed_counts(numbers, times_us, num_items=num_items, half_life_us=half_life, newest_us=now_us)

    popularity = counts(numbers[known], rows.times_us[known], served.num_items)
    if continues:
        aged_us = now_us - served.policy.popularity_now_us
        popularity += served.popularity * (1.0 if half_life is None else np.exp2(-aged_us / half_life))
    places = np.searchsorted(new_keys, rows.item_keys)
    is_new = ~known & (places < len(new_keys))
    is_new[is_new] = new_keys[places[is_new]] == rows.item_keys[is_new]
    new_popularity = counts(places[is_new], rows.times_us[is_new], len(new_keys))
    users = _NewestUsers.of(rows.take(is_new), places[is_new])
    placed = _placed(served, history.catalogue, new_keys, users, held=held, history=history, now_us=now_us)
    order = np.argsort(placed.places < 0, kind="stable")
    new = NewItems(
        new_keys[order],
        placed.places[order][: int((placed.places >= 0).sum())],
        placed.vectors,
        placed.biases,
        new_popularity[order],
    )
    return Candidates(served, popularity, now_us, new)


def _now_us(served: ServedModel, rows: EventRows, *, others: int | None) -> float:
    """About the newest time of all rows: the training's own, unless enough newer ones have come.

    Args:
        others: how many rows of the training there are beside these; None where these are all.
    """
    if others is None:
        return float(settled_now(rows.times_us)) if len(rows) else served.policy.popularity_now_us
    late = newest_rows(others + len(rows))
    if len(rows) < late:
        return served.policy.popularity_now_us
    return max(served.policy.popularity_now_us, float(np.partition(rows.times_us, -late)[-late]))


@dataclass(frozen=True, slots=True)
class _NewestUsers:
    """Who chose the new items last: pairs of a place among the new items, ascending, and a user, each once."""

    items: NDArray[np.int64]
    user_keys: NDArray[np.int64]

    @classmethod
    def of(cls, rows: EventRows, items: NDArray[np.int64]) -> _NewestUsers:
        if not len(rows):
            return cls(_NO_KEYS, _NO_KEYS)
        newest_first = np.lexsort((-rows.user_keys, -rows.times_us))
        pairs = np.stack((items, rows.user_keys), axis=1)[newest_first]
        pairs = pairs[np.sort(np.unique(pairs, axis=0, return_index=True)[1])]
        by_item = pairs[np.argsort(pairs[:, 0], kind="stable")]
        starts = np.searchsorted(by_item[:, 0], by_item[:, 0])
        kept = by_item[np.arange(len(by_item)) - starts < MOST_USERS]
        return cls(kept[:, 0], kept[:, 1])


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where new items belong: `places`, shape (M,), are rows of the vectors and biases, -1 where nothing tells."""

    places: NDArray[np.int64]
    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]


def _placed(
    served: ServedModel,
    catalogue: Catalogue,
    new_keys: NDArray[np.int64],
    users: _NewestUsers,
    *,
    held: Held,
    history: History,
    now_us: float,
) -> _Placed:
    set_of, sets = catalogue.category_sets(new_keys)
    means = {name: _mean_of(served, catalogue.in_category(name)) for name in {name for each in sets for name in each}}
    vectors: list[NDArray[np.float64]] = []
    biases: list[float] = []
    place_of_set = np.full(len(sets) + 1, -1, dtype=np.int64)  # the last one is for items without categories
    for number, names in enumerate(sets):
        found = [mean for name in names if (mean := means[name]) is not None]
        if found:
            place_of_set[number] = len(vectors)
            vectors.append(np.mean([vector for vector, _ in found], axis=0))
            biases.append(float(np.mean([bias for _, bias in found])))
    places = place_of_set[set_of]
    tastes = _tastes(served, users, held=held, history=history, now_us=now_us)
    chosen_ones, starts = np.unique(users.items, return_index=True)
    for item, user_keys in zip(chosen_ones.tolist(), np.split(users.user_keys, starts[1:]), strict=len(starts) > 0):
        own = [taste for key in user_keys.tolist() if (taste := tastes.get(key)) is not None]
        if own:
            placed = places[item] >= 0
            vector, bias = (vectors[places[item]], biases[places[item]]) if placed else served.mean_item
            places[item] = len(vectors)
            vectors.append((np.sum(own, axis=0) + USUAL_TASTES * vector) / (len(own) + USUAL_TASTES))
            biases.append(bias)
    shape = (len(vectors), served.dimensions)
    return _Placed(places, np.array(vectors, dtype=np.float32).reshape(shape), np.array(biases, dtype=np.float32))


def _mean_of(served: ServedModel, item_keys: NDArray[np.int64]) -> tuple[NDArray[np.float64], float] | None:
    """The mean vector and bias of a category's items; None where the version knows none of them."""
    numbers = served.item_numbers(item_keys)
    numbers = numbers[numbers >= 0]
    if not len(numbers):
        return None
    vector = served.item_vectors[numbers].mean(axis=0, dtype=np.float64)
    return vector, float(served.item_biases[numbers].mean(dtype=np.float64))


def _tastes(
    served: ServedModel, users: _NewestUsers, *, held: Held, history: History, now_us: float
) -> dict[int, NDArray[np.float64]]:
    """The weighted mean of each user's items, before any map: where among the items the user is at home."""
    found = {}
    for user_key in np.unique(users.user_keys)[:MOST_TASTES].tolist():
        events = held.events(user_key)
        # After the events: an own write may bring a type of its own at any time.
        types = history.types.weights(served.policy)
        chosen = chosen_items(served, events, types=types, now_us=now_us)
        if chosen.events:
            shares = chosen.weights / chosen.weights.sum()
            found[user_key] = shares @ served.item_vectors[chosen.items].astype(np.float64)
    return found
