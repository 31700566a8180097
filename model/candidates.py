"""The items that may stand in a list now, and their scores: a version's own, and those that came after it.

    score(u, i) = <x_u, q_i> + c_i + beta_g * log(1 + r_i) + own_ui

A version's items keep their numbers 0..I-1. New items follow: those with a place among the version's vectors, then
those of which nothing is known yet; the latter have a popularity and no personal score.

Letters used for shapes: I items of the version, M new items, K places, D dimensions, G groups, S steps of items,
B users, W columns of a product, n items of a call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import policy
from model.new_items import NewItems
from model.products import padded_width, products, step_maxima
from model.ranking import BLOCK_ROWS, exact_scores, max_norm, one_over_norms, score_error
from model.served import ServedModel
from model.user_factors import UserFactors


@dataclass(frozen=True, eq=False)
class Candidates:
    """What can be listed, frozen: another one is made when popularity or the new items change.

    Args:
        served: the version.
        popularity: r of its items as of now, float64, shape (I,).
        now_us: the moment popularity counts back from.
        new: the items that came after it.
    Attributes:
        priors: c + beta * log(1 + r), float32, shape (G, I + M'), M' placed new items.
        popular_scores: log(1 + r), float32, shape (I + M,).
        serial: another number for each; whoever keeps it does not keep the arrays.
    """

    served: ServedModel
    popularity: NDArray[np.float64]
    now_us: float
    new: NewItems
    priors: NDArray[np.float32] = field(init=False, repr=False)
    popular_scores: NDArray[np.float32] = field(init=False, repr=False)
    serial: int = field(init=False, default_factory=itertools.count().__next__)
    _max_norm: float = field(init=False, repr=False)
    _max_prior: float = field(init=False, repr=False)
    _step_priors: NDArray[np.float32] = field(init=False, repr=False)
    _new_order: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        new, served = self.new, self.served
        placed = len(new.places)
        popularity = np.concatenate((self.popularity, new.popularity)) if len(new.keys) else self.popularity
        biases = np.concatenate((served.item_biases, new.biases[new.places])) if placed else served.item_biases
        priors = policy.priors(served.betas, popularity[: self.num_scored], biases)
        popular_scores = np.log1p(popularity).astype(np.float32)
        priors.flags.writeable = popular_scores.flags.writeable = False
        for name, value in (
            ("priors", priors),
            ("popular_scores", popular_scores),
            ("_max_norm", max(served.max_item_norm, max_norm(new.vectors))),
            ("_max_prior", float(np.abs(priors).max(initial=0.0))),
            ("_step_priors", step_maxima(priors[:, : served.num_items])),
            ("_new_order", np.argsort(new.keys, kind="stable")),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def as_trained(cls, served: ServedModel) -> Candidates:
        """Those of a version when nothing has come since."""
        return cls(served, served.popularity, served.policy.popularity_now_us, new=NewItems.none(served.dimensions))

    def __len__(self) -> int:
        return self.served.num_items + len(self.new.keys)

    @property
    def num_scored(self) -> int:
        """How many items, the first ones, have a personal score."""
        return self.served.num_items + len(self.new.places)

    def numbers(self, item_keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of items, int64, shape of item_keys; -1 for an item that is not here."""
        numbers = self.served.item_numbers(item_keys)
        if len(self._new_order):
            by_key = self.new.keys[self._new_order]
            places = np.minimum(np.searchsorted(by_key, item_keys), len(by_key) - 1)
            numbers = np.where(by_key[places] == item_keys, self.served.num_items + self._new_order[places], numbers)
        return numbers

    def known_numbers(self, item_keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of those items that are here, in their order."""
        numbers = self.numbers(item_keys)
        return numbers[numbers >= 0]

    def keys(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The store's keys of item numbers, of the same shape."""
        return self._gathered(numbers, self.served.item_keys, self.new.keys)

    def vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """q of items with a personal score, float32, shape (n, D)."""
        if not len(self.new.places):
            return self.served.item_vectors[numbers]
        return self._gathered(numbers, self.served.item_vectors, self.new.vectors, places=self.new.places)

    def scores(self, user: UserFactors, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of items for one user, float32, shape (n,). Raises IndexError for an item without a personal score."""
        check_range(numbers, self.num_scored)
        if len(numbers) <= BLOCK_ROWS:
            return self._scores(user, numbers)
        blocks = (numbers[start : start + BLOCK_ROWS] for start in range(0, len(numbers), BLOCK_ROWS))
        return np.concatenate([self._scores(user, block) for block in blocks])

    def _scores(self, user: UserFactors, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.pair_scores([user], np.zeros(len(numbers), dtype=np.int64), numbers)

    def pair_scores(
        self, users: Sequence[UserFactors], rows: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores of n pairs of a row of `users` and an item, float32, shape (n,)."""
        vectors_BD = np.array([user.vector for user in users])
        groups_B = np.array([user.group for user in users])
        scores = exact_scores(vectors_BD[rows], self.vectors(numbers), priors=self.priors[groups_B[rows], numbers])
        for row, user in enumerate(users):
            if user.max_own:
                pairs = np.flatnonzero(rows == row)
                places = np.minimum(np.searchsorted(user.own, numbers[pairs]), len(user.own) - 1)
                owned = user.own[places] == numbers[pairs]
                scores[pairs[owned]] += user.own_scores[places[owned]]
        return scores

    def parts(
        self,
        vectors_BD: NDArray[np.float32],
        groups_B: NDArray[np.integer] | None,
        within_reach: Callable[[], NDArray[np.bool_]] | None = None,
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """<x, q> + prior of the items with a personal score, as `model.products.products` gives them.

        Args:
            vectors_BD: x, float32, shape (B, D).
            groups_B: g, shape (B,); None for no priors.
            within_reach: which steps of the version's items are still worth it, shape (S,), by `limits`; None for all.
        Yields: first item and scores, float32, shape (n, W); the W - B last columns are nobody's
            (`model.products.padded_width`).
        """
        served, new = self.served, self.new
        width = padded_width(len(vectors_BD))
        vectors_WD = np.zeros((width, served.dimensions), dtype=np.float32)
        vectors_WD[: len(vectors_BD)] = vectors_BD
        priors, groups_W = None, None
        if groups_B is not None:
            priors, groups_W = self.priors, np.zeros(width, dtype=groups_B.dtype)
            groups_W[: len(groups_B)] = groups_B
        yield from products(
            served.item_vectors,
            vectors_WD,
            served.scratch,
            priors_GI=priors,
            groups_B=groups_W,
            within_reach=within_reach,
        )
        if len(new.places):
            first = served.num_items
            scores = (new.vectors @ vectors_WD.T)[new.places]
            if groups_W is not None:
                scores += self.priors[groups_W, first:].T
            yield first, scores

    def limits(
        self, vectors_BD: NDArray[np.float32], groups_B: NDArray[np.integer], *, max_own: float
    ) -> NDArray[np.float64]:
        """What no score of `parts` exceeds in a step of the version's items, with own parts up to `max_own` added.

        <x, q> <= |x| |q| (Cauchy-Schwarz): where popularity says much, most items are out of reach of most users.

        Args:
            vectors_BD: x, float32, shape (B, D).
            groups_B: g, shape (B,).
        Returns: float64, shape (B, S).  Source: LEMP (Teflioudi, Gemulla and Mykytiuk 2015).
        """
        vectors = vectors_BD.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        largest = norms * self.served.max_item_norm * (1 + 1e-6) + max_own + self.error(max_own=max_own)
        found: NDArray[np.float64] = largest[:, np.newaxis] + self._step_priors[groups_B]
        return found

    def error(self, *, max_own: float) -> float:
        """How far scores of `parts`, with own parts up to `max_own` added, may be from the exact ones."""
        return score_error(
            dimensions=self.served.dimensions,
            user_norm=self.served.max_user_norm,
            max_item_norm=self._max_norm,
            max_prior=self._max_prior + max_own,
        )

    @cached_property
    def one_over_norms(self) -> NDArray[np.float32]:
        """1 / |q|, 0 where it has no direction, float32, shape (I + M',)."""
        if not len(self.new.places):
            return self.served.one_over_norms
        return np.concatenate((self.served.one_over_norms, one_over_norms(self.new.vectors)[self.new.places]))

    def _gathered(
        self,
        numbers: NDArray[np.int64],
        own: NDArray[Any],
        new: NDArray[Any],
        places: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Rows of the version's array for its own items and of `new` for the others."""
        if not len(new) or not len(numbers) or numbers.max() < self.served.num_items:
            return own[numbers]
        found = np.empty((len(numbers), *own.shape[1:]), dtype=own.dtype)
        known = numbers < self.served.num_items
        found[known] = own[numbers[known]]
        rest = numbers[~known] - self.served.num_items
        found[~known] = new[rest if places is None else places[rest]]
        return found


def check_range(numbers: NDArray[np.int64], count: int) -> None:
    # numpy would count a negative number from the end and score another item.
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= count):
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise IndexError(f"item number {wrong} is outside 0..{count - 1}")
