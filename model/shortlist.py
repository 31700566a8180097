"""The k best items of some users by exact score, found among approximate scores that come part by part.

What comes out is the same as if the exact scores of all items were sorted. An approximate score rules an item out when
k others are better by more than twice the rounding error; the few that are left are scored exactly.

Letters used for shapes: B users, W columns, S steps of items, n items of a part, C blocks of it, R items of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Exact = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Gives the exact scores of pairs of a user, 0..B-1, and an item number."""

Best = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Item numbers and exact scores, by falling score and then by number, both of shape (k,) or shorter."""

EXCLUDED = np.float32(-np.inf)
"""The approximate score of an item that must not be listed."""

# Every score that is not EXCLUDED reaches it.
_LOWEST = np.finfo(np.float32).min
# A part is cut into blocks of up to so many items, but into this many blocks at least, and so many for each one wanted.
ITEMS_OF_A_BLOCK = 32
FEWEST_BLOCKS = 64
BLOCKS_OF_ONE = 4
# When there are so many times the number wanted, some can be ruled out.
ENOUGH = 4


class _Found(NamedTuple):
    """Items that no other rules out: users, item numbers and approximate scores of the same length."""

    users: NDArray[np.int64]
    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: list[_Found]) -> _Found:
        if len(parts) == 1:
            return parts[0]
        users, numbers, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(users, numbers, scores)


class Shortlist:
    """The items that may be among the k best of their user, of all parts so far; for up to 65,536 users.

    Args:
        k: how many items each user wants, 1 or more.
        errors_B: largest distance between an approximate and an exact score of a user, float64, shape (B,).
        width: how many columns parts have, B or more; those beyond the users' are not looked at.
    """

    def __init__(self, k: int, errors_B: NDArray[np.float64], *, width: int | None = None) -> None:
        self._k = k
        self._num_users = len(errors_B)
        self._errors_W = np.zeros(width or len(errors_B))
        self._errors_W[: len(errors_B)] = errors_B
        # What a score must reach: k items of the same user have one that is higher by twice the error.
        self._cutoffs_W = np.full(len(self._errors_W), np.inf, dtype=np.float32)
        self._cutoffs_W[: len(errors_B)] = _LOWEST
        self._found: list[_Found] = []
        self._count = 0
        self._parts = 0

    def __len__(self) -> int:
        """How many there are, of all users together."""
        return self._count

    def within_reach(self, limits_BS: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which steps of items may still hold one that is kept, shape (S,).

        Args:
            limits_BS: what no approximate score of a user exceeds in a step, shape (B, S).
        """
        reached_BS = limits_BS >= self._cutoffs_W[: self._num_users, np.newaxis]
        return np.asarray(reached_BS.any(axis=0))

    def add(self, first: int, scores_nW: NDArray[np.float32]) -> None:
        """Look through a part: the scores of items `first`, `first` + 1, ..., or EXCLUDED; contiguous, shape (n, W)."""
        num_items, width = scores_nW.shape
        self._parts += 1
        per_block = min(ITEMS_OF_A_BLOCK, num_items // max(FEWEST_BLOCKS, BLOCKS_OF_ONE * self._k))
        if per_block < 2:
            self._raise_cutoffs(scores_nW)
            self._take(first, scores_nW)
        else:
            # Block c holds the items c, c + C, c + 2 C, ... of the part: the maxima of all blocks and users are one
            # pass of vector instructions.
            blocks = num_items // per_block
            whole = blocks * per_block
            table = scores_nW[:whole].reshape(per_block, blocks * width)
            maxima_CW = np.maximum.reduce(table, axis=0).reshape(blocks, width)
            if self._parts == 1:
                self._raise_cutoffs(maxima_CW)
            good = np.flatnonzero(maxima_CW >= self._cutoffs_W)
            if self._is_much(len(good)):
                self._raise_cutoffs(maxima_CW)
                good = np.flatnonzero(maxima_CW >= self._cutoffs_W)
            if len(good):
                self._take_blocks(first, table, good, blocks=blocks)
            if whole < num_items:
                self._take(first + whole, scores_nW[whole:])
        if self._is_much(self._count):
            self._shorten()

    def best(self, exact: Exact) -> list[Best]:
        """The k best items of each user."""
        num_users = self._num_users
        if self._count > self._k * num_users:
            self._shorten()
        if not self._found:
            return [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))] * num_users
        users, numbers, _ = _Found.joined(self._found)
        scores = exact(users, numbers)
        order = np.lexsort((numbers, -scores, users))
        numbers, scores = numbers[order], scores[order]
        if num_users == 1:
            return [(numbers[: self._k], scores[: self._k])]
        ends = np.bincount(users, minlength=num_users).cumsum().tolist()
        starts = [0, *ends[:-1]]
        return [
            (numbers[start : min(end, start + self._k)], scores[start : min(end, start + self._k)])
            for start, end in zip(starts, ends, strict=True)
        ]

    def _is_much(self, count: int) -> bool:
        return count > ENOUGH * self._k * self._num_users

    def _raise_cutoffs(self, scores_CW: NDArray[np.float32]) -> None:
        """Rule out by scores of different items, or of none where one is EXCLUDED."""
        place = len(scores_CW) - self._k
        if place >= 0:
            kth_W = np.partition(np.ascontiguousarray(scores_CW.T), place, axis=1)[:, place]
            self._cutoffs_W = np.maximum(self._cutoffs_W, _lower(kth_W, self._errors_W))

    def _take(self, first: int, scores_nW: NDArray[np.float32]) -> None:
        places, users = (scores_nW >= self._cutoffs_W).nonzero()
        self._keep(_Found(users, first + places, scores_nW[places, users]))

    def _take_blocks(self, first: int, table: NDArray[np.float32], good: NDArray[np.int64], *, blocks: int) -> None:
        """The scores that reach their user's cutoff, of the blocks that have one."""
        width = len(self._cutoffs_W)
        of_blocks = table.take(good, axis=1)
        rows, places = (of_blocks >= self._cutoffs_W[good % width]).nonzero()
        good = good[places]
        self._keep(_Found(good % width, first + rows * blocks + good // width, of_blocks[rows, places]))

    def _keep(self, found: _Found) -> None:
        if len(found.users):
            self._found.append(found)
            self._count += len(found.users)

    def _shorten(self) -> None:
        """Rule out by the k-th of what was found, which is the k-th of all so far."""
        users, numbers, scores = _Found.joined(self._found)
        # Users in as few bits as they need are sorted in linear time: half of what one sort by both takes.
        order = np.argsort(-scores)
        order = order[np.argsort(users.astype(np.uint16)[order], kind="stable")]
        users, numbers, scores = users[order], numbers[order], scores[order]
        ends_W = np.bincount(users, minlength=len(self._cutoffs_W)).cumsum()
        places_W = np.concatenate(([0], ends_W[:-1])) + self._k - 1
        enough_W = places_W < ends_W
        kth = scores[places_W[enough_W]]
        self._cutoffs_W[enough_W] = np.maximum(self._cutoffs_W[enough_W], _lower(kth, self._errors_W[enough_W]))
        kept = scores >= self._cutoffs_W[users]
        self._found = [_Found(users[kept], numbers[kept], scores[kept])]
        self._count = int(kept.sum())


def top_k(scores: NDArray[np.float32], *, k: int) -> Best:
    """The k best of exact scores, shape (n,), of the items 0..n-1; those that are EXCLUDED are left out."""
    if not k or not len(scores):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    shortlist = Shortlist(min(k, len(scores)), np.zeros(1))
    shortlist.add(0, scores[:, np.newaxis])
    return shortlist.best(lambda _, numbers: scores[numbers])[0]


def _lower(kth: NDArray[np.float32], errors: NDArray[np.float64]) -> NDArray[np.float32]:
    """What an approximate score must reach for its exact one to be among the k best.

    The k items at or above the k-th have exact scores of at least k-th - error, so the best k exact scores have too,
    and an item with such an exact score has an approximate one of at least k-th - 2 * error.
    """
    lower: NDArray[np.float32] = np.nextafter((kth - 2 * errors).astype(np.float32), EXCLUDED)
    return lower
