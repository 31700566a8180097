"""The best of a version's candidates for some users, with what must not be listed left out before they are taken.

Letters used for shapes: B users, W columns, D dimensions, N pairs of an item and a user, n items of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.candidates import Candidates, check_range
from model.products import padded_width
from model.ranking import exact_scores, score_error
from model.shortlist import EXCLUDED, Best, Shortlist, top_k
from model.user_factors import UserFactors

# Of so small a part of the items only their own rows are read.
SMALL_PART = 8
# More users at a time make a product no faster a user.
MOST_QUERIES = 32

Numbers = NDArray[np.int64]
_NOTHING: Numbers = np.empty(0, dtype=np.int64)


class Query(NamedTuple):
    """The k best items for a user (None: the most popular ones), of `among` (None: of all).

    Attributes:
        excluded: item numbers to leave out, at least 0, in any order.
        among: item numbers, ascending.
        withheld: further item numbers to leave out, ascending; one array for many queries is best.
    """

    user: UserFactors | None
    k: int
    excluded: Numbers
    among: Numbers | None = None
    withheld: Numbers = _NOTHING


class LeftOut(NamedTuple):
    """Items that some users' lists must not hold.

    Attributes:
        numbers, users: pairs of an item and a user, the items ascending, both of shape (N,).
        withheld: item numbers to leave out of every list, ascending.
        among: pairs of a user and the item numbers, ascending, that may be listed; the others are left out.
    """

    numbers: Numbers
    users: Numbers
    withheld: Numbers
    among: Sequence[tuple[int, Numbers]] = ()

    @classmethod
    def of(cls, queries: Sequence[Query]) -> LeftOut:
        """What the queries leave out; `withheld` is the same for all."""
        among = [(user, query.among) for user, query in enumerate(queries) if query.among is not None]
        return cls(*_pairs([query.excluded for query in queries]), queries[0].withheld, among)

    def mark(self, first: int, scores_nW: NDArray[np.float32]) -> None:
        """Mark them in the scores of the items `first`, `first` + 1, ..., shape (n, W)."""
        if len(self.numbers):
            here = _within(self.numbers, first, scores_nW)
            scores_nW[self.numbers[here] - first, self.users[here]] = EXCLUDED
        if len(self.withheld):
            scores_nW[self.withheld[_within(self.withheld, first, scores_nW)] - first] = EXCLUDED
        for user, numbers in self.among:
            left_out = np.ones(len(scores_nW), dtype=np.bool_)
            left_out[numbers[_within(numbers, first, scores_nW)] - first] = False
            scores_nW[left_out, user] = EXCLUDED


class OwnParts(NamedTuple):
    """What items add to the scores of single users: pairs of an item, ascending, and a user, all of shape (N,)."""

    numbers: Numbers
    users: Numbers
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, users: Sequence[UserFactors]) -> OwnParts:
        """Those of some users."""
        own = [user.own if user.max_own else _NOTHING for user in users]
        if not any(map(len, own)):
            return cls(_NOTHING, _NOTHING, np.empty(0, dtype=np.float32))
        numbers, of_users = np.concatenate(own), np.repeat(np.arange(len(own)), [len(each) for each in own])
        order = np.argsort(numbers)
        scores = np.concatenate([user.own_scores for user in users if user.max_own])
        return cls(numbers[order], of_users[order], scores[order])

    def add(self, first: int, scores_nW: NDArray[np.float32]) -> None:
        """Add them to the scores of the items `first`, `first` + 1, ..., shape (n, W)."""
        if len(self.numbers):
            here = _within(self.numbers, first, scores_nW)
            scores_nW[self.numbers[here] - first, self.users[here]] += self.scores[here]


def best(candidates: Candidates, queries: Sequence[Query]) -> list[Best]:
    """For each query its items and their scores.

    Queries that need the scores of all items share a matrix product; no answer depends on the others.
    """
    found: dict[int, Best] = {}
    together: dict[tuple[int, int], list[int]] = {}
    for place, query in enumerate(queries):
        if query.user is None:
            found[place] = _best_known(query, candidates.popular_scores)
        elif query.among is not None and len(query.among) * SMALL_PART <= candidates.num_scored:
            found[place] = _best_among(candidates, query.user, query, query.among)
        else:
            together.setdefault((query.k, id(query.withheld)), []).append(place)
    for places in together.values():
        for start in range(0, len(places), MOST_QUERIES):
            part = places[start : start + MOST_QUERIES]
            found |= zip(part, _best_of_all(candidates, [queries[place] for place in part]), strict=True)
    return [found[place] for place in range(len(queries))]


def similar(candidates: Candidates, to: int, query: Query) -> Best:
    """The items whose vectors point most nearly where that of item number `to` does, with the cosines.

    Args:
        query: its user does not matter.
    Raises: IndexError for a `to` without a vector.
    """
    check_range(np.array([to]), candidates.num_scored)
    shares = candidates.one_over_norms
    direction = candidates.vectors(np.array([to]))[0] * shares[to]

    def cosines(_: Numbers, numbers: Numbers) -> NDArray[np.float32]:
        rows = np.broadcast_to(direction, (len(numbers), len(direction)))
        without = np.zeros(len(numbers), dtype=np.float32)
        found = exact_scores(rows, candidates.vectors(numbers), priors=without) * shares[numbers]
        within: NDArray[np.float32] = np.clip(found, -1, 1)  # as they are, but for rounding
        return within

    error = score_error(dimensions=len(direction), user_norm=1.0, max_item_norm=1.0, max_prior=1.0)
    shortlist, left_out = Shortlist(query.k, np.array([error])), LeftOut.of([query])
    for first, scores in candidates.parts(direction[np.newaxis], None):
        np.multiply(scores, shares[first : first + len(scores), np.newaxis], out=scores)
        left_out.mark(first, scores)
        shortlist.add(first, scores)
    return shortlist.best(cosines)[0]


def best_of_many(
    candidates: Candidates,
    vectors_BD: NDArray[np.float32],
    groups_B: NDArray[np.uint8],
    *,
    k: int,
    excluded: tuple[Numbers, Numbers],
    withheld: Numbers,
) -> list[Best]:
    """`best` for many users without own parts, with all of them in arrays.

    Args:
        vectors_BD, groups_B: of the users, shapes (B, D) and (B,).
        excluded: pairs of an item number and a user, 0..B-1, to leave out, both of shape (N,).
        withheld: item numbers to leave out of every list, ascending.
    """

    def exact(rows: Numbers, numbers: Numbers) -> NDArray[np.float32]:
        priors = candidates.priors[groups_B[rows], numbers]
        return exact_scores(vectors_BD[rows], candidates.vectors(numbers), priors=priors)

    shortlist = _shortlist(k, len(vectors_BD), candidates.error(max_own=0.0))
    left_out = LeftOut(*_by_item(*excluded), withheld)
    limits = candidates.limits(vectors_BD, groups_B, max_own=0.0)
    for first, scores in candidates.parts(vectors_BD, groups_B, lambda: shortlist.within_reach(limits)):
        left_out.mark(first, scores)
        shortlist.add(first, scores)
    return shortlist.best(exact)


def _best_known(query: Query, scores: NDArray[np.float32]) -> Best:
    """The best where the scores of all items are there already, shape (I + M,)."""
    if query.among is None:
        scores = scores.copy()
        scores[query.excluded[query.excluded < len(scores)]] = EXCLUDED
        scores[query.withheld] = EXCLUDED
        return top_k(scores, k=query.k)
    return _best_of_some(query, query.among, scores[query.among])


def _best_among(candidates: Candidates, user: UserFactors, query: Query, among: Numbers) -> Best:
    """The best of a few items, which are scored exactly at once."""
    among = among[: among.searchsorted(candidates.num_scored)]
    return _best_of_some(query, among, candidates.scores(user, among))


def _best_of_some(query: Query, among: Numbers, scores: NDArray[np.float32]) -> Best:
    """The best of some items, ascending, shape (n,), whose exact scores these are."""
    left_out = np.isin(among, query.excluded) | np.isin(among, query.withheld)
    places, found = top_k(np.where(left_out, EXCLUDED, scores), k=query.k)
    return among[places], found


def _best_of_all(candidates: Candidates, queries: Sequence[Query]) -> list[Best]:
    """Of queries that want as many items, and have the same items withheld."""
    users = [query.user for query in queries if query.user is not None]
    vectors_BD, groups_B = np.array([user.vector for user in users]), np.array([user.group for user in users])
    max_own = max(user.max_own for user in users)
    shortlist = _shortlist(queries[0].k, len(users), candidates.error(max_own=max_own))
    own, left_out = OwnParts.of(users), LeftOut.of(queries)
    limits = candidates.limits(vectors_BD, groups_B, max_own=max_own)
    for first, scores in candidates.parts(vectors_BD, groups_B, lambda: shortlist.within_reach(limits)):
        own.add(first, scores)
        left_out.mark(first, scores)
        shortlist.add(first, scores)
    return shortlist.best(lambda rows, numbers: candidates.pair_scores(users, rows, numbers))


def _shortlist(k: int, num_users: int, error: float) -> Shortlist:
    return Shortlist(k, np.full(num_users, error), width=padded_width(num_users))


def _pairs(numbers: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """Pairs of an item and a user out of the items of each, the items ascending."""
    if len(numbers) == 1:
        return np.sort(numbers[0]), np.zeros(len(numbers[0]), dtype=np.int64)
    return _by_item(np.concatenate(numbers), np.repeat(np.arange(len(numbers)), [len(each) for each in numbers]))


def _by_item(numbers: Numbers, users: Numbers) -> tuple[Numbers, Numbers]:
    order = np.argsort(numbers)
    return numbers[order], users[order]


def _within(numbers: Numbers, first: int, part: NDArray[np.float32]) -> slice:
    """Which of some ascending item numbers are of a part."""
    return slice(*numbers.searchsorted((first, first + len(part))).tolist())
