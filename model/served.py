"""A model version as it is served: vectors, biases, recent popularity, and the score made of them.

    score(u, i) = <x_u, q_i> + c_i + beta_g * log(1 + r_i),   g the group of u by the size of the history

Letters used for shapes: U users, I items, D dimensions, G groups, n pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import policy
from model.ranking import exact_scores, score_error, top_k

# Rows gathered at once: bounds the memory of scoring a million pairs without slowing it down.
BLOCK_ROWS = 16_384


@dataclass(frozen=True, eq=False)
class ServedModel:
    """Arrays of one model version, read-only and shared by all requests.

    Args:
        user_keys: the store's keys of the users, strictly ascending, int64, shape (U,).
        item_keys: the store's keys of the items, strictly ascending, int64, shape (I,).
        user_vectors: x, float32, shape (U, D).
        user_groups: g, which of the betas a user has, uint8, shape (U,).
        item_vectors: q, float32, shape (I, D).
        item_biases: c, float32, shape (I,).
        popularity: r, how often items were chosen lately, >= 0, float64, shape (I,).
        betas: weights of the logarithm of popularity, one for each group, float64, shape (G,).
    Attributes:
        priors: c + beta * log(1 + r), float32, shape (G, I).
        popular_scores: log(1 + r), float32, shape (I,); the score of an item for a user nothing is known of.
    Raises: ValueError naming the array with a wrong shape, dtype or order, or values that could overflow a score.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    user_vectors: NDArray[np.float32]
    user_groups: NDArray[np.uint8]
    item_vectors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    popularity: NDArray[np.float64]
    betas: NDArray[np.float64]
    priors: NDArray[np.float32] = field(init=False, repr=False)
    popular_scores: NDArray[np.float32] = field(init=False, repr=False)
    _max_item_norm: float = field(init=False, repr=False)
    _max_prior: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_shapes()
        log_popularity = np.log1p(self.popularity)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
            made = policy.priors(self.betas, self.popularity, self.item_biases)
            popular_scores = log_popularity.astype(np.float32)
        max_item_norm, max_user_norm = _max_norm(self.item_vectors), _max_norm(self.user_vectors)
        max_prior = float(np.abs(made).max(initial=0.0))
        largest = max_user_norm * max_item_norm + max_prior
        # Written so that NaN fails too.
        if not largest < float(np.finfo(np.float32).max) / 2:
            raise ValueError(
                "user_vectors, item_vectors, item_biases or popularity hold values too large or not finite"
            )
        made.flags.writeable = popular_scores.flags.writeable = False
        object.__setattr__(self, "priors", made)
        object.__setattr__(self, "popular_scores", popular_scores)
        object.__setattr__(self, "_max_item_norm", max_item_norm)
        object.__setattr__(self, "_max_prior", max_prior)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ServedModel:
        """The model whose `arrays()` these are; nothing is copied. Raises ValueError naming what is wrong."""
        missing = [name for name in ARRAY_DTYPES if name not in arrays]
        if missing:
            raise ValueError(f"missing arrays: {', '.join(missing)}")
        return cls(**{name: arrays[name] for name in ARRAY_DTYPES})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to be stored, by name."""
        return {name: getattr(self, name) for name in ARRAY_DTYPES}

    @property
    def num_users(self) -> int:
        return len(self.user_keys)

    @property
    def num_items(self) -> int:
        return len(self.item_keys)

    @property
    def dimensions(self) -> int:
        return int(self.item_vectors.shape[1])

    def user_number(self, user_key: int) -> int | None:
        """The row of a user, or None if this version does not know the user."""
        place = int(np.searchsorted(self.user_keys, user_key))
        return place if place < self.num_users and self.user_keys[place] == user_key else None

    def item_numbers(self, item_keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of items, int64, shape of item_keys; -1 where this version does not know the item."""
        if not self.num_items:
            return np.full(len(item_keys), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.item_keys, item_keys), self.num_items - 1)
        return np.where(self.item_keys[places] == item_keys, places, -1)

    def scores(self, user_number: int, item_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Scores of items for one user, float32, shape (n,). Raises IndexError for a number out of range."""
        return self.pair_scores(np.full(len(item_numbers), user_number, dtype=np.int64), item_numbers)

    def pair_scores(
        self, user_numbers: NDArray[np.integer[Any]], item_numbers: NDArray[np.integer[Any]]
    ) -> NDArray[np.float32]:
        """Scores of n (user, item) pairs, float32, shape (n,). Raises IndexError for a number out of range."""
        _check_range("user", user_numbers, self.num_users)
        _check_range("item", item_numbers, self.num_items)
        scores = np.empty(len(item_numbers), dtype=np.float32)
        for start in range(0, len(scores), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            users, items = user_numbers[block], item_numbers[block]
            priors = self.priors[self.user_groups[users], items]
            scores[block] = exact_scores(self.user_vectors[users], self.item_vectors[items], priors=priors)
        return scores

    def recommend(
        self, user_number: int, *, k: int, excluded: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best items for a user, as `model.ranking.top_k` returns them.

        Raises: IndexError for a user number out of range.
        """
        _check_range("user", np.array([user_number]), self.num_users)
        user_vector = self.user_vectors[user_number]
        error = score_error(
            dimensions=self.dimensions,
            user_norm=_max_norm(user_vector[np.newaxis]),
            max_item_norm=self._max_item_norm,
            max_prior=self._max_prior,
        )
        return top_k(
            self.item_vectors @ user_vector + self.priors[self.user_groups[user_number]],
            k=k,
            exact=lambda numbers: self.scores(user_number, numbers),
            error=error,
            excluded=excluded,
        )

    def popular(self, *, k: int, excluded: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k most popular items with `popular_scores`, as `model.ranking.top_k` returns them."""
        scores = self.popular_scores
        return top_k(scores, k=k, exact=lambda numbers: scores[numbers], error=0.0, excluded=excluded)

    def _check_shapes(self) -> None:
        for name, (dtype, dimensions) in ARRAY_DTYPES.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} of {dimensions} dimensions, not {array.dtype} of {array.ndim}"
                )
        of_users = (("user_vectors", self.num_users), ("user_groups", self.num_users))
        for name, rows in (*of_users, *((name, self.num_items) for name in ITEM_ARRAYS)):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows; its keys are {rows}")
        if self.user_vectors.shape[1] != self.dimensions or not self.dimensions:
            raise ValueError(
                f"user_vectors have {self.user_vectors.shape[1]} dimensions and item_vectors {self.dimensions}"
            )
        for name in ("user_keys", "item_keys"):
            keys = getattr(self, name)
            if (keys[1:] <= keys[:-1]).any():
                raise ValueError(f"{name} must be strictly ascending")
        if not (self.popularity >= 0).all():
            raise ValueError("popularity must be 0 or more")
        if not (len(self.betas) and np.isfinite(self.betas).all()):
            raise ValueError(f"betas are {self.betas}; there must be some, all finite")
        if (self.user_groups >= len(self.betas)).any():
            raise ValueError(f"user_groups has a group {self.user_groups.max()}, and there are {len(self.betas)} betas")


ARRAY_DTYPES: Mapping[str, tuple[type[np.generic], int]] = {
    "user_keys": (np.int64, 1),
    "item_keys": (np.int64, 1),
    "user_vectors": (np.float32, 2),
    "user_groups": (np.uint8, 1),
    "item_vectors": (np.float32, 2),
    "item_biases": (np.float32, 1),
    "popularity": (np.float64, 1),
    "betas": (np.float64, 1),
}
ITEM_ARRAYS = ("item_vectors", "item_biases", "popularity")


def _max_norm(vectors: NDArray[np.float32]) -> float:
    """Largest Euclidean norm of the rows, in float64 and in blocks; NaN or infinite if a value is."""
    largest = 0.0
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS].astype(np.float64)
        # Not max(): it would drop a NaN.
        largest = float(np.maximum(largest, np.einsum("ij,ij->i", block, block).max()))
    return float(np.sqrt(largest))


def _check_range(noun: str, numbers: NDArray[np.integer[Any]], count: int) -> None:
    # numpy would count a negative number from the end and score somebody else.
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= count):
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise IndexError(f"{noun} number {wrong} is outside 0..{count - 1}")
