"""Holding rows out: the users, what they had seen, and what they chose next, so that a list of 20 can be judged.

Letters used for shapes: N events, B users of a window, I items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.training.dataset import Pairs, Positives
from model.cross_validation import temporal_cut
from model.evaluation import ItemsByUser, ndcg_at_k, rank_users

LIST_LENGTH = 20
FRACTIONS = tuple(percent / 100 for percent in range(10, 31, 2))
WANTED_USERS = 200
# Fewer warm users than this after a cut in time say less than rows held out at random.
FEWEST_USERS_BY_TIME = 30
FEWEST_USERS = 5
SCORES_AT_ONCE = 2**22


class Split(NamedTuple):
    """Rows before a cut and rows held out; `by` says how they were told apart."""

    earlier: Positives
    later: Positives
    by: Literal["time", "random"]

    @property
    def cut_at_us(self) -> int:
        """The time of the oldest row held out."""
        return int(self.later.times_us.min())


@dataclass(frozen=True, eq=False)
class Window:
    """Users with a history whose next new items are known.

    Attributes:
        users: user numbers, int64, shape (B,).
        seen: items by user number that were chosen before, never listed.
        relevant: the items each user chose after the cut and not before, B arrays. An item without a number yet has one
            beyond the last: no list can hold it, but it counts as missed.
        num_items: items that can be listed, I.
    """

    users: NDArray[np.int64]
    seen: ItemsByUser
    relevant: list[NDArray[np.int64]]
    num_items: int

    def ndcg(
        self, score_batch: Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]], *, check: Callable[[], None]
    ) -> NDArray[np.float64]:
        """NDCG@20 of each user, new items only, all items ranked, shape (B,).

        Args:
            score_batch: finite scores (b, I) of all items for b user numbers.
            check: called before each batch; may raise to give up.
        """

        def checked(users: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
            check()
            return score_batch(users)

        batch = max(1, SCORES_AT_ONCE // max(self.num_items, 1))
        ranked = rank_users(checked, self.users, seen=self.seen, k=LIST_LENGTH, batch=batch)
        return ndcg_at_k(ranked, self.relevant)


def split(rows: Positives, *, generator: np.random.Generator) -> Split | None:
    """Hold out the newest 10 % of the rows, widened up to 30 % until 200 users with a history chose something new.

    Where time hardly tells (fewer than 30 such users: a file imported user by user), rows are drawn at random instead.
    Returns: the split, or None if there are fewer than 5 such users either way.
    """
    users, numbers = _pair_numbers(rows)
    by_time = _widened(rows.times_us, users, numbers)
    if by_time is not None and by_time.warm_users >= FEWEST_USERS_BY_TIME:
        return Split(rows.take(by_time.earlier), rows.take(by_time.later), "time")
    at_random = _widened(generator.permutation(len(rows)), users, numbers)
    if at_random is not None and at_random.warm_users >= FEWEST_USERS:
        return Split(rows.take(at_random.earlier), rows.take(at_random.later), "random")
    return None


def open_window(divided: Split, numbered: Pairs, *, most_users: int, generator: np.random.Generator) -> Window:
    """What the held out rows say about the users of `numbered` (the pairs of the earlier rows).

    Args:
        most_users: of more users than this that many are drawn.
    """
    num_users, num_items = len(numbered.user_keys), len(numbered.item_keys)
    users = _numbers(numbered.user_keys, divided.later.user_keys)
    items = _numbers(numbered.item_keys, divided.later.item_keys)
    # Unknown items by their keys, so that each is one missed item; only that it is no listed number matters.
    unknown = np.unique(divided.later.item_keys[items < 0], return_inverse=True)[1]
    items[items < 0] = num_items + unknown
    new = (users >= 0) & ~_among(numbered, users, items)
    relevant = ItemsByUser.from_pairs(users[new], items[new], num_users=num_users)
    chosen = np.flatnonzero(np.diff(relevant.indptr))
    if len(chosen) > most_users:
        chosen = np.sort(generator.choice(chosen, most_users, replace=False))
    seen = ItemsByUser.from_pairs(numbered.user_numbers, numbered.item_numbers, num_users=num_users)
    return Window(chosen, seen, relevant.of_each(chosen), num_items)


class _Cut(NamedTuple):
    """Positions of rows before and after a cut, each in the order of ids, and how many users are warm.

    The order of ids, so that what follows does not depend on how the rows were cut.
    """

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    warm_users: int


def _widened(times: NDArray[np.int64], users: NDArray[np.int64], numbers: NDArray[np.int64]) -> _Cut | None:
    """The narrowest cut with enough warm users, else the widest one; None where there is nothing to cut."""
    best = None
    for fraction in FRACTIONS:
        earlier, later = temporal_cut(times, fraction)
        if not len(earlier) or not len(later):
            continue
        # Warm: on both sides of the cut, with something new after it.
        known = np.zeros(int(users.max()) + 1, dtype=np.bool_)
        known[users[earlier]] = True
        new = known[users[later]] & ~np.isin(numbers[later], numbers[earlier])
        best = _Cut(np.sort(earlier), np.sort(later), len(np.unique(users[later][new])))
        if best.warm_users >= WANTED_USERS:
            break
    return best


def _pair_numbers(rows: Positives) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for the user and one for the pair of user and item of each row, both of shape (N,)."""
    users = np.unique(rows.user_keys, return_inverse=True)[1]
    item_keys, items = np.unique(rows.item_keys, return_inverse=True)
    return users, users * max(len(item_keys), 1) + items


def _numbers(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of `wanted` in the ascending `keys`, -1 for what is not there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _among(numbered: Pairs, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each pair is one of the numbered pairs."""
    width = int(max(len(numbered.item_keys), items.max(initial=0) + 1))
    known = numbered.user_numbers * width + numbered.item_numbers
    return np.isin(users * width + items, known)
