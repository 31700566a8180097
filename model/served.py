"""A model version as it is stored: vectors, biases, popularity, and the rules by which histories become scores.

What is served now, with the interactions and items that came since, is `model.candidates`.

Letters used for shapes: U users, I items, D dimensions, G groups, P terms of the fold-in's map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.fold_in import FoldIn, check_half_life
from model.policy import GROUPS, Repeats
from model.positives import HIDE, EventWeights, TypeWeights
from model.products import Scratch
from model.ranking import max_norm, one_over_norms


@dataclass(frozen=True)
class ServedPolicy:
    """What a version was trained with besides arrays; times in microseconds.

    Attributes:
        popularity_now_us: the moment that `popularity` counts back from; popularity_half_life_us: None counts all
            interactions alike.
        fold_in_length, fold_in_half_life_us: see `model.fold_in.FoldIn`.
        repeats: None where lists leave out what their user had.
        event_weights: of the types that have one. value_caps: the largest value that counts, of those that have one.
    """

    popularity_now_us: float
    popularity_half_life_us: float | None
    fold_in_length: float
    fold_in_half_life_us: float | None
    repeats: Repeats | None
    event_weights: EventWeights
    value_caps: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for what no score can be made of."""
        for half_life in (self.popularity_half_life_us, self.fold_in_half_life_us):
            check_half_life(half_life)
        if self.repeats is not None:
            check_half_life(self.repeats.half_life)
            if not math.isfinite(self.repeats.weight):
                raise ValueError("the weight of repeats must be finite")
        if not (all(map(math.isfinite, (self.popularity_now_us, self.fold_in_length))) and self.fold_in_length >= 0):
            raise ValueError("popularity_now_us and fold_in_length must be finite, the length 0 or more")
        for name, weight in self.event_weights.items():
            if weight != HIDE and not (math.isfinite(weight) and weight > 0):
                raise ValueError(f"the weight of {name} is {weight}; it must be finite and above 0, or hide")
        for name, cap in self.value_caps.items():
            if not (math.isfinite(cap) and cap > 0):
                raise ValueError(f"the cap of {name} is {cap}; it must be finite and above 0")

    def weights_of(self, event_types: Sequence[str]) -> TypeWeights:
        """What events of some types count."""
        return TypeWeights.of(event_types, self.event_weights, self.value_caps)

    def facts(self) -> dict[str, Any]:
        """Plain values that `from_facts` reads."""
        repeats = None if self.repeats is None else dict(self.repeats._asdict())
        weights, caps = dict(self.event_weights), dict(self.value_caps)
        return vars(self) | {"repeats": repeats, "event_weights": weights, "value_caps": caps}

    @classmethod
    def from_facts(cls, facts: object) -> ServedPolicy:
        """Raises: ValueError for anything that `facts` did not make."""
        try:
            given = dict(facts)  # type: ignore[call-overload]  # whatever it is: a wrong type is refused like a wrong value
            repeats = given.pop("repeats")
            given["repeats"] = None if repeats is None else Repeats(**repeats)
            return cls(**given)
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"the policy is not one: {error}") from error


@dataclass(frozen=True, eq=False)
class ServedModel:
    """Arrays of one model version, read-only and shared by all requests.

    Args:
        user_keys: the store's keys of the users, strictly ascending, int64, shape (U,).
        item_keys: the store's keys of the items, each once, int64, shape (I,). Their order is that of the item numbers;
            lists take the less time the better it is an order of falling popularity (`model.candidates`).
        items_by_key: the item numbers in the order of ascending keys, int64, shape (I,).
        user_vectors: x, folded in from what the training knew, float32, shape (U, D).
        user_groups: g, which of the betas a user has, uint8, shape (U,).
        history_sizes: how many interactions of a user the training knew, int32, shape (U,).
        item_vectors: q, float32, shape (I, D).
        item_biases: c, float32, shape (I,).
        popularity: r, how often items were chosen lately, >= 0, float64, shape (I,).
        betas: weights of the logarithm of popularity, one for each of `model.policy.GROUPS`, float64, shape (G,).
        fold_in_matrices: A_p one below the other, float32, shape (P * D, D).
        fold_in_offsets: a_p, float32, shape (P, D).
        policy: the rest.
        pause: see `model.ranking.max_norm`.
    Attributes:
        fold_in: the map from histories to vectors.
        max_item_norm, max_user_norm: the largest Euclidean norms of an item's vector, and of one of a user, folded in
            or not.
        scratch: memory for the scores of items.
        serial: another number for each; whoever keeps it does not keep the arrays.
    Raises: ValueError naming the array with a wrong shape, dtype or order, or values that could overflow a score.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    items_by_key: NDArray[np.int64]
    user_vectors: NDArray[np.float32]
    user_groups: NDArray[np.uint8]
    history_sizes: NDArray[np.int32]
    item_vectors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    popularity: NDArray[np.float64]
    betas: NDArray[np.float64]
    fold_in_matrices: NDArray[np.float32]
    fold_in_offsets: NDArray[np.float32]
    policy: ServedPolicy
    pause: InitVar[Callable[[], object]] = lambda: None
    fold_in: FoldIn = field(init=False, repr=False)
    max_item_norm: float = field(init=False, repr=False)
    max_user_norm: float = field(init=False, repr=False)
    scratch: Scratch = field(init=False, repr=False, default_factory=Scratch)
    serial: int = field(init=False, repr=False, default_factory=itertools.count().__next__)

    def __post_init__(self, pause: Callable[[], object]) -> None:
        self._check_shapes()
        max_item_norm = max_norm(self.item_vectors, pause)
        # What a map gives has its length but for rounding.
        max_user_norm = max(max_norm(self.user_vectors, pause), self.policy.fold_in_length) * (1 + 1e-5)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
            # Popularity grows with what comes; 40 more than its logarithm is beyond any number of interactions.
            log_popularity = float(np.log1p(self.popularity).max(initial=0.0)) + 40
            max_prior = float(np.abs(self.item_biases).max(initial=0.0)) + np.abs(self.betas).max() * log_popularity
            largest = max_user_norm * max_item_norm + max_prior
        # Written so that NaN fails too.
        if not largest < float(np.finfo(np.float32).max) / 2:
            raise ValueError(
                "user_vectors, item_vectors, item_biases or popularity hold values too large or not finite"
            )
        matrices = self.fold_in_matrices.reshape(-1, self.dimensions, self.dimensions)
        policy = self.policy
        fold_in = FoldIn(matrices, self.fold_in_offsets, policy.fold_in_length, policy.fold_in_half_life_us)
        object.__setattr__(self, "fold_in", fold_in)
        object.__setattr__(self, "max_item_norm", max_item_norm)
        object.__setattr__(self, "max_user_norm", max_user_norm)

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        facts: Mapping[str, Any],
        *,
        pause: Callable[[], object] = lambda: None,
    ) -> ServedModel:
        """The model whose `arrays()` and `facts()` these are; nothing is copied. Raises ValueError naming the fault."""
        missing = [name for name in ARRAY_DTYPES if name not in arrays]
        if missing:
            raise ValueError(f"missing arrays: {', '.join(missing)}")
        policy = ServedPolicy.from_facts(facts.get("policy"))
        return cls(**{name: arrays[name] for name in ARRAY_DTYPES}, policy=policy, pause=pause)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to be stored, by name."""
        return {name: getattr(self, name) for name in ARRAY_DTYPES}

    def facts(self) -> dict[str, Any]:
        """What is stored beside the arrays."""
        return {"policy": self.policy.facts()}

    @property
    def num_users(self) -> int:
        return len(self.user_keys)

    @property
    def num_items(self) -> int:
        return len(self.item_keys)

    @property
    def dimensions(self) -> int:
        return int(self.item_vectors.shape[1])

    @cached_property
    def sorted_item_keys(self) -> NDArray[np.int64]:
        """The store's keys of the items, ascending, int64, shape (I,)."""
        return self.item_keys[self.items_by_key]

    @cached_property
    def one_over_norms(self) -> NDArray[np.float32]:
        """1 / |q|, 0 where it has no direction, float32, shape (I,)."""
        return one_over_norms(self.item_vectors)

    @cached_property
    def mean_item(self) -> tuple[NDArray[np.float64], float]:
        """The mean of the items' vectors, shape (D,), and of their biases; there must be items."""
        return self.item_vectors.mean(axis=0, dtype=np.float64), float(self.item_biases.mean(dtype=np.float64))

    def without_users(self, user_keys: Collection[int]) -> ServedModel:
        """The same version for the other users."""
        kept = ~np.isin(self.user_keys, list(user_keys))
        left = {name: getattr(self, name)[kept] for name in ("user_keys", *USER_ARRAYS)}
        return replace(self, pause=lambda: None, **left)

    def user_number(self, user_key: int) -> int | None:
        """The row of a user, or None if this version does not know the user."""
        place = int(self.user_keys.searchsorted(user_key))
        return place if place < self.num_users and self.user_keys[place] == user_key else None

    def item_numbers(self, item_keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of items, int64, shape of item_keys; -1 where this version does not know the item."""
        if not self.num_items:
            return np.full(len(item_keys), -1, dtype=np.int64)
        places = self.sorted_item_keys.searchsorted(item_keys)
        if len(places) and places.max() == self.num_items:
            places = np.minimum(places, self.num_items - 1)
        numbers = self.items_by_key[places]
        wrong = self.sorted_item_keys[places] != item_keys
        if wrong.any():
            numbers[wrong] = -1
        return numbers

    def _check_shapes(self) -> None:
        for name, (dtype, dimensions) in ARRAY_DTYPES.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} of {dimensions} dimensions, not {array.dtype} of {array.ndim}"
                )
        of_users = ((name, self.num_users) for name in USER_ARRAYS)
        for name, rows in (*of_users, *((name, self.num_items) for name in ITEM_ARRAYS)):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows; its keys are {rows}")
        if self.user_vectors.shape[1] != self.dimensions or not self.dimensions:
            raise ValueError(
                f"user_vectors have {self.user_vectors.shape[1]} dimensions and item_vectors {self.dimensions}"
            )
        if (self.user_keys[1:] <= self.user_keys[:-1]).any():
            raise ValueError("user_keys must be strictly ascending")
        order = self.items_by_key
        if len(order) and (order.min() < 0 or order.max() >= self.num_items):
            raise ValueError(f"items_by_key holds a number outside 0..{self.num_items - 1}")
        if (self.sorted_item_keys[1:] <= self.sorted_item_keys[:-1]).any():
            raise ValueError("items_by_key must lead through item_keys in ascending order, each of them once")
        if not (self.popularity >= 0).all():
            raise ValueError("popularity must be 0 or more")
        self._check_fold_in()
        if not (len(self.betas) == len(GROUPS) and np.isfinite(self.betas).all()):
            raise ValueError(f"betas are {self.betas}; there must be {len(GROUPS)}, all finite")
        if (self.history_sizes < 0).any():
            raise ValueError("history_sizes must be 0 or more")
        if (self.user_groups >= len(self.betas)).any():
            raise ValueError(f"user_groups has a group {self.user_groups.max()}, and there are {len(self.betas)} betas")

    def _check_fold_in(self) -> None:
        terms = len(self.fold_in_offsets)
        if not terms or self.fold_in_offsets.shape[1] != self.dimensions:
            raise ValueError(f"fold_in_offsets have the shape {self.fold_in_offsets.shape}")
        if self.fold_in_matrices.shape != (terms * self.dimensions, self.dimensions):
            raise ValueError(f"fold_in_matrices have the shape {self.fold_in_matrices.shape}")
        if not (np.isfinite(self.fold_in_matrices).all() and np.isfinite(self.fold_in_offsets).all()):
            raise ValueError("fold_in_matrices and fold_in_offsets must be finite")


ARRAY_DTYPES: Mapping[str, tuple[type[np.generic], int]] = {
    "user_keys": (np.int64, 1),
    "item_keys": (np.int64, 1),
    "items_by_key": (np.int64, 1),
    "user_vectors": (np.float32, 2),
    "user_groups": (np.uint8, 1),
    "history_sizes": (np.int32, 1),
    "item_vectors": (np.float32, 2),
    "item_biases": (np.float32, 1),
    "popularity": (np.float64, 1),
    "betas": (np.float64, 1),
    "fold_in_matrices": (np.float32, 2),
    "fold_in_offsets": (np.float32, 2),
}
USER_ARRAYS = ("user_vectors", "user_groups", "history_sizes")
ITEM_ARRAYS = ("items_by_key", "item_vectors", "item_biases", "popularity")
