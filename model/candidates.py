"""The items that may stand in a list now, and their scores: a version's own, and those that came after it.

    score(u, i) = <x_u, q_i> + c_i + beta_g * log(1 + r_i) + own_ui

A version's items keep their numbers 0..I-1. New items follow: those with a place among the version's vectors, then
those of which nothing is known yet; the latter have a popularity and no personal score.

Letters used for shapes: I items of the version, M new items, K places, D dimensions, G groups, B queries, n items of a
call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model import policy
from model.fold_in import SHORTEST
from model.new_items import NewItems
from model.products import multiply
from model.ranking import (
    BLOCK_ROWS,
    EXCLUDED,
    Exact,
    ExactPairs,
    best_of_rows,
    exact_scores,
    max_norm,
    score_error,
    top_k,
    top_k_among,
)
from model.served import ServedModel
from model.user_factors import UserFactors

# Scores of a matrix product that are held at once, 16 MiB of them: more users share a product with few items.
SCORES_AT_ONCE = 2**22
MOST_QUERIES = 32
# Of so small a part of the items only their own rows are read.
SMALL_PART = 8

Best = tuple[NDArray[np.int64], NDArray[np.float32]]
_NO_NUMBERS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


class Query(NamedTuple):
    """The k best items for a user (None: the most popular ones), of `among` (None: of all) without `excluded`.

    Both are item numbers, at least 0; `among` ascends.
    """

    user: UserFactors | None
    k: int
    excluded: NDArray[np.int64]
    among: NDArray[np.int64] | None = None


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
        _check_range(numbers, self.num_scored)
        if len(numbers) <= BLOCK_ROWS:
            return self._scores(user, numbers)
        blocks = (numbers[start : start + BLOCK_ROWS] for start in range(0, len(numbers), BLOCK_ROWS))
        return np.concatenate([self._scores(user, block) for block in blocks])

    def _scores(self, user: UserFactors, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._pair_scores([user], np.zeros(len(numbers), dtype=np.int64), numbers)

    def _pair_scores(
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

    def best(self, queries: Sequence[Query]) -> list[Best]:
        """For each query its items and their scores, as `model.ranking.top_k` returns them.

        Queries that need the scores of all items share a matrix product; no answer depends on the others.
        """
        found: dict[int, Best] = {}
        together: dict[int, list[int]] = {}
        for place, query in enumerate(queries):
            if (best := self._of_few(query)) is not None:
                found[place] = best
            else:
                together.setdefault(query.k, []).append(place)
        at_once = max(1, min(MOST_QUERIES, SCORES_AT_ONCE // max(self.num_scored, 1)))
        for k, places in together.items():
            for start in range(0, len(places), at_once):
                part = places[start : start + at_once]
                found |= zip(part, self._of_all([queries[place] for place in part], k), strict=True)
        return [found[place] for place in range(len(queries))]

    def similar(self, to: int, query: Query) -> Best:
        """The items whose vectors point most nearly where that of item number `to` does, with the cosines.

        Args:
            query: its user does not matter.
        Raises: IndexError for a `to` without a vector.
        """
        _check_range(np.array([to]), self.num_scored)
        shares = self._one_over_norms
        direction = self.vectors(np.array([to]))[0] * shares[to]

        def cosines(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
            rows = np.broadcast_to(direction, (len(numbers), len(direction)))
            return (
                exact_scores(rows, self.vectors(numbers), priors=np.zeros(len(numbers), np.float32)) * shares[numbers]
            )

        error = score_error(dimensions=len(direction), user_norm=1.0, max_item_norm=1.0, max_prior=1.0)
        with self._products(direction[np.newaxis]) as scores_BI:
            np.multiply(scores_BI, shares, out=scores_BI)
            return _best_of(query, scores_BI[0], cosines, error=error)

    def _of_few(self, query: Query) -> Best | None:
        """The answer where few scores are needed, or where they are there already; None for the others."""
        user = query.user
        if user is None:
            popular = self.popular_scores
            scores = popular.copy() if query.among is None else popular
            return _best_of(query, scores, lambda numbers: popular[numbers], error=0.0)
        if query.among is None or len(query.among) * SMALL_PART > self.num_scored:
            return None
        among = query.among[query.among < self.num_scored]
        # Exact at once, so there is nothing to be scored again.
        scores = self.scores(user, among)
        return top_k_among(among, scores, k=query.k, exact=None, error=0.0, excluded=query.excluded)

    def _of_all(self, queries: Sequence[Query], k: int) -> list[Best]:
        users = [query.user for query in queries if query.user is not None]

        def prepare(scores_BI: NDArray[np.float32]) -> None:
            for row, query, user in zip(scores_BI, queries, users, strict=True):
                if user.max_own:
                    row[user.own] += user.own_scores
                row[self._scored(query.excluded)] = EXCLUDED
                if query.among is not None:
                    left_out = np.ones(len(row), dtype=np.bool_)
                    left_out[self._scored(query.among)] = False
                    row[left_out] = EXCLUDED

        return self._ranked(
            np.array([user.vector for user in users]),
            np.array([user.group for user in users]),
            k=k,
            prepare=prepare,
            exact=lambda rows, numbers: self._pair_scores(users, rows, numbers),
            max_own=max(user.max_own for user in users),
        )

    def best_of_many(
        self,
        vectors_BD: NDArray[np.float32],
        groups_B: NDArray[np.uint8],
        *,
        k: int,
        excluded: tuple[NDArray[np.int64], NDArray[np.int64]],
        excluded_by_all: NDArray[np.int64],
    ) -> list[Best]:
        """`best` for many users without own parts, with all of them in arrays.

        Args:
            vectors_BD, groups_B: of the users, shapes (B, D) and (B,).
            excluded: pairs of a user, 0..B-1, and an item number to leave out.
            excluded_by_all: item numbers to leave out of every list.
        """
        scored = excluded[1] < self.num_scored
        rows, numbers = excluded[0][scored], excluded[1][scored]

        def prepare(scores_BI: NDArray[np.float32]) -> None:
            scores_BI[rows, numbers] = EXCLUDED
            scores_BI[:, self._scored(excluded_by_all)] = EXCLUDED

        def exact(rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
            return exact_scores(vectors_BD[rows], self.vectors(numbers), priors=self.priors[groups_B[rows], numbers])

        return self._ranked(vectors_BD, groups_B, k=k, prepare=prepare, exact=exact, max_own=0.0)

    def _ranked(
        self,
        vectors_BD: NDArray[np.float32],
        groups_B: NDArray[np.integer],
        *,
        k: int,
        prepare: Callable[[NDArray[np.float32]], None],
        exact: ExactPairs,
        max_own: float,
    ) -> list[Best]:
        error = score_error(
            dimensions=self.served.dimensions,
            user_norm=self.served.max_user_norm,
            max_item_norm=self._max_norm,
            max_prior=self._max_prior + max_own,
        )
        with self._products(vectors_BD, [self.priors[group] for group in groups_B.tolist()]) as scores_BI:
            prepare(scores_BI)
            return best_of_rows(scores_BI, k=k, exact=exact, errors_B=np.full(len(scores_BI), error))

    def _scored(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some numbers that have a personal score."""
        return numbers if len(self) == self.num_scored else numbers[numbers < self.num_scored]

    @contextmanager
    def _products(
        self, vectors_BD: NDArray[np.float32], priors: Sequence[NDArray[np.float32]] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """X Q^T and, where they are given, the priors of each row, float32, shape (B, I + M'), for the block's time."""
        served, new = self.served, self.new
        with served.scratch.rows(len(vectors_BD), self.num_scored) as scores:
            multiply(served.item_vectors, vectors_BD, priors=priors, out=scores[:, : served.num_items])
            if len(new.places):
                scores[:, served.num_items :] = (new.vectors @ vectors_BD.T)[new.places].T
                for row, prior in zip(scores, priors or (), strict=priors is not None):
                    row[served.num_items :] += prior[served.num_items :]
            yield scores

    @cached_property
    def _one_over_norms(self) -> NDArray[np.float32]:
        """1 / |q|, 0 where it has no direction, float32, shape (I + M',)."""
        found = np.empty(self.num_scored, dtype=np.float32)
        for start in range(0, len(found), BLOCK_ROWS):
            numbers = np.arange(start, min(start + BLOCK_ROWS, len(found)))
            vectors = self.vectors(numbers).astype(np.float64)
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            found[numbers] = np.where(norms > SHORTEST, 1 / np.maximum(norms, SHORTEST), 0.0)
        return found

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


def _best_of(query: Query, scores: NDArray[np.float32], exact: Exact, *, error: float) -> Best:
    """`top_k` of the items a query asks for; `scores` are used up where it asks for all."""
    excluded = query.excluded[query.excluded < len(scores)]
    if query.among is None:
        return top_k(scores, k=query.k, exact=exact, error=error, excluded=excluded)
    among = query.among[query.among < len(scores)]
    return top_k_among(among, scores[among], k=query.k, exact=exact, error=error, excluded=excluded)


def _check_range(numbers: NDArray[np.int64], count: int) -> None:
    # numpy would count a negative number from the end and score another item.
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= count):
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise IndexError(f"item number {wrong} is outside 0..{count - 1}")
