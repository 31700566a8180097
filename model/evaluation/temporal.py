"""Judging on data with a clock: learn from what came before a moment, be judged by what came after it.

The newest rows are judged, by number and not by duration. Two protocols: *new items only*, where a list leaves out what
the user had before and should hold what the user chose for the first time; and *repeats allowed*, where nothing is left
out and everything chosen after the cut counts. Warm users have a history; in all traffic, users without one are asked
for under the number -1, and get what whoever is judged has for strangers.

Letters used for shapes: N and M rows before and after the cut, B users judged, U users and I items from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.cross_validation import temporal_cut
from model.evaluation.items_by_user import NO_USER, ItemsByUser
from model.evaluation.metrics import ndcg_at_k
from model.evaluation.ranking import ScoreBatch, rank_users
from model.evaluation.report import Report, evaluate_rows
from model.interactions import Interactions

FRACTIONS = tuple(percent / 100 for percent in range(10, 31, 2))
"""Shares of the rows that are judged, the first one if enough warm users are in it."""
WANTED_USERS = 200
SCORES_AT_ONCE = 2**22


def no_check() -> None:
    """Nothing to be asked between batches."""


@dataclass(frozen=True, eq=False)
class Window:
    """Users whose next choices are known, and what a list for them may hold.

    Attributes:
        users: user numbers, int64, shape (B,); -1 for a user without a history, in a row for each of them.
        seen: items by user number that no list holds; none of anybody where repeats are allowed.
        relevant: the items each user chose, B arrays. An item without a number has one from I on: no list can hold it,
            but it counts as missed.
        num_items: items that can be listed, I.
        history: rows of each user before the cut, int64, shape (B,); empty where nobody counted them.
    """

    users: NDArray[np.int64]
    seen: ItemsByUser
    relevant: list[NDArray[np.int64]]
    num_items: int
    history: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[np.int64]) -> Window:
        """Some of the users, by their rows."""
        relevant = [self.relevant[row] for row in rows.tolist()]
        history = self.history[rows] if len(self.history) else self.history
        return Window(self.users[rows], self.seen, relevant, self.num_items, history)

    def drawn(self, most_users: int, *, generator: np.random.Generator) -> Window:
        """The window itself, or of more users than `most_users` that many, drawn."""
        if len(self) <= most_users:
            return self
        return self.take(np.sort(generator.choice(len(self), most_users, replace=False)))

    def evaluate(self, score_batch: ScoreBatch, *, k: int = 20, check: Callable[[], None] = no_check) -> Report:
        """Rank all I items for each user.

        Args:
            score_batch: finite scores (b, I) of all items for b user numbers, -1 among them.
            k: length of a list.
            check: called before each batch; may raise to give up.
        """
        scores = _checked(score_batch, check)
        return evaluate_rows(scores, self.users, self.relevant, seen=self.seen, k=k, batch=self._batch)

    def ndcg(
        self, score_batch: ScoreBatch, *, k: int = 20, check: Callable[[], None] = no_check
    ) -> NDArray[np.float64]:
        """NDCG@k of each user, shape (B,), without the other metrics; arguments as for `evaluate`."""
        scores = _checked(score_batch, check)
        return ndcg_at_k(rank_users(scores, self.users, seen=self.seen, k=k, batch=self._batch), self.relevant)

    @property
    def _batch(self) -> int:
        return max(1, min(256, SCORES_AT_ONCE // max(self.num_items, 1)))


def _checked(score_batch: ScoreBatch, check: Callable[[], None]) -> ScoreBatch:
    def scores(users: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        check()
        return score_batch(users)

    return scores


@dataclass(frozen=True, eq=False)
class TemporalSplit:
    """Interactions before a cut, numbered without gaps, and the rows after it by the same numbers.

    Attributes:
        earlier: what may be learnt from; its users 0..U-1 and items 0..I-1 all occur in it.
        later_users, later_items: numbers of the rows after the cut, int64, shape (M,); from U and I on for users and
            items that do not occur before it.
        fraction: share of the rows that lies after the cut, nominally.
    """

    earlier: Interactions
    later_users: NDArray[np.int64]
    later_items: NDArray[np.int64]
    fraction: float = float("nan")

    @property
    def repeats_share(self) -> float:
        """Share of the later rows whose user had the item before the cut."""
        return float(self._had().mean())

    def window(self, *, repeats: bool = False, everyone: bool = False) -> Window:
        """The users to be judged and what should be found for them.

        Args:
            repeats: everything a user chose after the cut counts, and nothing is left out of a list; without, only
                items that the user had not before the cut count, and those from before are left out.
            everyone: users without a history too, after the others.
        """
        num_users, num_items = self.earlier.num_users, self.earlier.num_items
        counted = np.ones(len(self.later_users), dtype=np.bool_) if repeats else ~self._had()
        if not everyone:
            counted &= self.later_users < num_users
        width = max(num_users, int(self.later_users.max(initial=-1)) + 1)
        relevant = ItemsByUser.from_pairs(self.later_users[counted], self.later_items[counted], num_users=width)
        chosen = np.flatnonzero(np.diff(relevant.indptr))
        users = np.where(chosen < num_users, chosen, NO_USER)
        earlier_users = self.earlier.user_ids.astype(np.int64)
        history = np.bincount(earlier_users, minlength=width)[chosen]
        if repeats:
            seen = ItemsByUser(np.zeros(num_users + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
        else:
            seen = ItemsByUser.from_pairs(earlier_users, self.earlier.item_ids, num_users=num_users)
        return Window(users, seen, relevant.of_each(chosen), num_items, history)

    def _had(self) -> NDArray[np.bool_]:
        """Whether the user of each later row had its item before the cut, shape (M,)."""
        width = max(self.earlier.num_items, int(self.later_items.max(initial=-1)) + 1)
        known = self.earlier.user_ids.astype(np.int64) * width + self.earlier.item_ids.astype(np.int64)
        return np.isin(self.later_users * width + self.later_items, known)


def temporal_split(
    interactions: Interactions, *, fractions: Sequence[float] = FRACTIONS, wanted_users: int = WANTED_USERS
) -> TemporalSplit:
    """Set the newest rows apart: so few of them that enough warm users chose something new.

    Every choice should be made on ``temporal_split(split.earlier)``, before what is judged.

    Args:
        interactions: with timestamps; of two rows of one time the first is the earlier. Left as they are.
        fractions: shares of the rows to try, ascending; the last one is taken if no other has enough users.
        wanted_users: how many users with a history should have chosen an item they had not before.
    Raises: ValueError without timestamps or fractions, or with too few rows to cut.
    """
    if interactions.timestamps is None:
        raise ValueError("a cut in time needs timestamps, and these interactions have none")
    if np.isnan(interactions.timestamps).any():
        raise ValueError("a timestamp is NaN: the rows have no order")
    if not fractions:
        raise ValueError("no fractions of the rows to cut off: at least one is needed")
    cut = widened_cut(
        interactions.timestamps,
        interactions.user_ids,
        interactions.item_ids,
        fractions=fractions,
        wanted_users=wanted_users,
    )
    if cut is None:
        raise ValueError(f"{len(interactions)} interactions are too few to cut off {fractions[-1]:.0%} of them")
    known_users, users = np.unique(interactions.user_ids[cut.earlier], return_inverse=True)
    known_items, items = np.unique(interactions.item_ids[cut.earlier], return_inverse=True)

    def of(column: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if column is None else column[cut.earlier]

    earlier = Interactions(
        users,
        items,
        ratings=of(interactions.ratings),
        timestamps=of(interactions.timestamps),
        weights=of(interactions.weights),
    )
    return TemporalSplit(
        earlier,
        renumbered(known_users, interactions.user_ids[cut.later]),
        renumbered(known_items, interactions.item_ids[cut.later]),
        cut.fraction,
    )


class WidenedCut(NamedTuple):
    """Positions of the rows before and after a cut, each ascending, and how many users are warm.

    In the order of the rows, so that what follows does not depend on how they were cut.
    """

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    warm_users: int
    fraction: float


def widened_cut(
    times: NDArray[Any],
    users: NDArray[np.integer[Any]],
    items: NDArray[np.integer[Any]],
    *,
    fractions: Sequence[float] = FRACTIONS,
    wanted_users: int = WANTED_USERS,
) -> WidenedCut | None:
    """The narrowest of the cuts that has enough warm users after it, else the widest; None where nothing can be cut.

    A user is warm who has rows on both sides of the cut and chose an item after it for the first time.

    Args:
        times: what orders the rows, shape (N,); equal ones stay in their order.
        users, items: numbers or keys of each row, shape (N,).
    """
    user_of_row = np.unique(users, return_inverse=True)[1]
    known_items, item_of_row = np.unique(items, return_inverse=True)
    pairs = user_of_row * max(len(known_items), 1) + item_of_row
    best = None
    for fraction in fractions:
        earlier, later = temporal_cut(times, fraction)
        if not len(earlier) or not len(later):
            continue
        known = np.zeros(int(user_of_row.max()) + 1, dtype=np.bool_)
        known[user_of_row[earlier]] = True
        new = known[user_of_row[later]] & ~np.isin(pairs[later], pairs[earlier])
        warm = len(np.unique(user_of_row[later][new]))
        best = WidenedCut(np.sort(earlier), np.sort(later), warm, fraction)
        if warm >= wanted_users:
            break
    return best


def renumbered(known: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The place of each number or key among the known ones; what is not among them is counted on from their end.

    Args:
        known: ascending, each once, shape (K,), K at least 1.
        wanted: shape (M,).
    Returns: int64, shape (M,); unknown ones get K, K + 1, ... in ascending order, each its own.
    """
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1).astype(np.int64)
    unknown = known[places] != wanted
    places[unknown] = len(known) + np.unique(wanted[unknown], return_inverse=True)[1]
    return places
