"""Small versions to be ranked, and the slow way to do it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from model.candidates import Candidates
from model.new_items import NewItems
from model.served import ServedModel, ServedPolicy
from model.user_factors import ChosenItems, UserFactors, as_trained

NOW_US = 1_738_324_800_000_000
NOTHING = np.array([], dtype=np.int64)


def served_policy(**changed: Any) -> ServedPolicy:
    """Popularity and histories that do not age, and no repeats."""
    given: dict[str, Any] = {
        "popularity_now_us": float(NOW_US),
        "popularity_half_life_us": None,
        "fold_in_length": 2.0,
        "fold_in_half_life_us": None,
        "repeats": None,
        "event_weights": {},
    }
    return ServedPolicy(**{**given, **changed})


def served_model(*, users=4, items=9, dimensions=3, seed=0, **changed: Any) -> ServedModel:
    """A version of random numbers; user n is in group n % 4, and the item keys are 1, 3, 5, ..."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "user_keys": np.arange(users) * 3 + 5,
        "item_keys": np.arange(items) * 2 + 1,
        "user_vectors": generator.standard_normal((users, dimensions), dtype=np.float32),
        "user_groups": (np.arange(users) % 4).astype(np.uint8),
        "history_sizes": np.ones(users, dtype=np.int32),
        "item_vectors": generator.standard_normal((items, dimensions), dtype=np.float32),
        "item_biases": generator.standard_normal(items, dtype=np.float32),
        "popularity": generator.integers(0, 50, items).astype(np.float64),
        "betas": np.array([0.3, 0.7, 0.0, -0.2]),
        "fold_in_matrices": np.eye(dimensions, dtype=np.float32),
        "fold_in_offsets": np.zeros((1, dimensions), dtype=np.float32),
        "policy": served_policy(),
    }
    arrays |= changed
    return ServedModel(**{"items_by_key": np.argsort(arrays["item_keys"]), **arrays})


def new_items(placed=2, unplaced=2, *, dimensions=3, places=2, seed=0, **changed: Any) -> NewItems:
    """Items with the keys 0, 2, 4, ..., so that they stand between those of a version."""
    generator = np.random.default_rng(seed)
    keys = generator.permutation(placed + unplaced) * 2
    arrays: dict[str, Any] = {
        "keys": np.concatenate((np.sort(keys[:placed]), np.sort(keys[placed:]))),
        "places": generator.integers(0, places, placed),
        "vectors": generator.standard_normal((places, dimensions), dtype=np.float32),
        "biases": generator.standard_normal(places, dtype=np.float32),
        "popularity": generator.integers(0, 50, placed + unplaced).astype(np.float64),
    }
    return NewItems(**{**arrays, **changed})


def with_new(served: ServedModel, new: NewItems) -> Candidates:
    """A version as trained, and items that came since."""
    return Candidates(served, served.popularity, float(NOW_US), new)


def factors(served: ServedModel, user: int, own: dict[int, float] | None = None) -> UserFactors:
    """A user as trained, with an own part for some items."""
    trained = as_trained(served, user, ChosenItems.none())
    if not own:
        return trained
    scores = np.array([own[number] for number in sorted(own)], dtype=np.float32)
    return trained._replace(own=np.array(sorted(own)), own_scores=scores, max_own=float(np.abs(scores).max()))


def bits(scores: np.ndarray) -> list[int]:
    """What tells two floats apart that compare equal."""
    return scores.view(np.uint32).tolist()


def full_sort(
    scores: Sequence[float], k: int, excluded: Collection[int] = (), among: Collection[int] | None = None
) -> list[int]:
    """The k best the slow way: every item that is left, sorted by falling score and then by number."""
    left = set(range(len(scores))) - set(excluded)
    if among is not None:
        left &= set(among)
    return sorted(left, key=lambda number: (-scores[number], number))[:k]
