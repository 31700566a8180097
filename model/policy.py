"""The served score: a personal part, an item bias, recent popularity, and what a user comes back to.

    score(u, i) = <x_u, q_i> + c_i + beta(n_u) * log(1 + r_i) + rho * log(1 + r_ui)

x_u is folded in from the user's items (``model.fold_in``), n_u is how many items these are, r_i how often anybody chose
the item lately and r_ui how often the user did. The last part is there only where own items come back at all; elsewhere
lists leave them out.

Letters used for shapes: U users, I items, D dimensions, B users asked for, G groups of users.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.evaluation.items_by_user import NO_USER, require_users
from model.fold_in import FoldIn, FoldInSettings, check_half_life, check_settings, learnt_map
from model.interactions import Interactions, checked_times
from model.popularity import decayed_counts, settled_now
from model.user_items import UserItems, own_counts

# The smallest history of each group of users that has a beta of its own.
GROUPS = (1, 2, 5, 20)
MEAN = FoldInSettings()
# Subtracted to keep an item out of a list and the score finite.
SUNK = np.float32(1e9)


class Repeats(NamedTuple):
    """rho, and the half-life of r_ui in the unit of the timestamps; None counts all alike."""

    weight: float
    half_life: float | None


@dataclass(frozen=True)
class Policy:
    """What is chosen on validation, apart from any arrays.

    Attributes:
        betas: one for each of GROUPS.
        half_life: of r_i, in the unit of the timestamps; None counts all alike.
        fold_in: where x_u comes from.
        repeats: None where a list leaves out what the user had.
    """

    betas: tuple[float, ...]
    half_life: float | None = None
    fold_in: FoldInSettings = MEAN
    repeats: Repeats | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what no score can be made of."""
        if len(self.betas) != len(GROUPS) or not np.isfinite(self.betas).all():
            raise ValueError(f"betas are {self.betas}; there must be {len(GROUPS)} finite ones")
        check_half_life(self.half_life)
        check_settings(self.fold_in)
        if self.repeats is not None:
            check_half_life(self.repeats.half_life)
            if not np.isfinite(self.repeats.weight):
                raise ValueError(f"the weight of repeats is {self.repeats.weight}; it must be finite")


class Learnt(NamedTuple):
    """What a fit of the factorization gave: float32, shapes (U, D), (I, D) and (I,)."""

    user_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]
    item_biases: NDArray[np.float32]


def check_sizes(learnt: Learnt, interactions: Interactions) -> None:
    """Raise ValueError where a fit has other numbers of users or items than the interactions."""
    for kind, known, count in (
        ("users", len(learnt.user_vectors), interactions.num_users),
        ("items", len(learnt.item_vectors), interactions.num_items),
    ):
        if known != count:
            raise ValueError(f"the interactions have {count} {kind}, what was learnt has {known}: give num_{kind}")


def group_of(sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The group of users with histories of such sizes, shape (U,); users without one are in the first."""
    return np.maximum(np.searchsorted(GROUPS, sizes, side="right") - 1, 0).astype(np.uint8)


def group_of_one(size: int) -> int:
    """`group_of` of a single user, without an array."""
    return max(bisect_right(GROUPS, size) - 1, 0)


def popularity(interactions: Interactions, half_life: float | None) -> NDArray[np.float64]:
    """r: decayed counts of the items, back from about the newest interaction, shape (I,)."""
    times = _times(interactions)
    return decayed_counts(
        interactions.item_ids.astype(np.int64),
        times,
        num_items=interactions.num_items,
        half_life_us=half_life,
        newest_us=float(settled_now(times)),
    )


class OwnItems:
    """log(1 + r_ui) of the users' own items, as rows of a matrix that is zero elsewhere."""

    def __init__(self, interactions: Interactions, half_life: float | None) -> None:
        newest = float(settled_now(_times(interactions)))
        self._indptr, self._items, counts = own_counts(interactions, half_life=half_life, newest=newest)
        self._logs = np.log1p(counts).astype(np.float32)

    def add_to(self, scores_BI: NDArray[np.float32], users: NDArray[np.int64], weight: float) -> None:
        """Add `weight` times the users' rows, in place."""
        for row, user in _with_history(users):
            own = slice(self._indptr[user], self._indptr[user + 1])
            scores_BI[row, self._items[own]] += np.float32(weight) * self._logs[own]

    def sink(self, scores_BI: NDArray[np.float32], users: NDArray[np.int64]) -> None:
        """Put the users' own items behind all others, in place."""
        for row, user in _with_history(users):
            scores_BI[row, self._items[self._indptr[user] : self._indptr[user + 1]]] -= SUNK


def _with_history(users: NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(row, user) for row, user in enumerate(users.tolist()) if user != NO_USER]


class FittedPolicy:
    """A policy, and the arrays that scores are made of.

    Attributes:
        policy: what was chosen.
        fold_in: the map of histories to vectors.
        user_vectors: x, float32, shape (U, D).
        groups: the group of each user, uint8, shape (U,).
        popularity: r, float64, shape (I,).
        priors: c + beta * log(1 + r) of each group, float32, shape (G, I).

    Args:
        interactions: with weights and timestamps if there are any; all that was learnt from.
    Raises: ValueError for other numbers of users or items than were learnt, or a timestamp that is no finite number.
    """

    def __init__(self, policy: Policy, learnt: Learnt, interactions: Interactions) -> None:
        check_sizes(learnt, interactions)
        histories = UserItems.of(interactions)
        self.policy, self._item_vectors = policy, learnt.item_vectors
        self.fold_in: FoldIn = learnt_map(
            policy.fold_in, learnt.item_vectors, histories, user_vectors=learnt.user_vectors
        )
        self.user_vectors = self.fold_in.user_vectors(learnt.item_vectors, histories)
        self.groups = group_of(histories.sizes)
        self.popularity = popularity(interactions, policy.half_life)
        self.priors = priors(policy.betas, self.popularity, learnt.item_biases)
        self._own = OwnItems(interactions, None if policy.repeats is None else policy.repeats.half_life)

    def scores(self, users: NDArray[np.int64], *, repeats: bool = False) -> NDArray[np.float32]:
        """Scores of all items for B users, shape (B, I); somebody without a history has the number -1.

        Args:
            repeats: the list may hold own items: they get their part of the score, or, where the policy leaves them
                out, stand behind all others. Without, whoever makes the list leaves them out.
        Raises: ValueError for a user number outside -1..U-1, or numbers that are no integers.
        """
        require_users(users, len(self.groups))
        known = users != NO_USER
        scores: NDArray[np.float32] = self.user_vectors[users] @ self._item_vectors.T
        scores[~known] = 0.0
        scores += self.priors[np.where(known, self.groups[users], 0)]
        if repeats and self.policy.repeats is not None:
            self._own.add_to(scores, users, self.policy.repeats.weight)
        elif repeats:
            self._own.sink(scores, users)
        return scores


def priors(
    betas: Sequence[float] | NDArray[np.float64], popularity_I: NDArray[np.float64], item_biases: NDArray[np.float32]
) -> NDArray[np.float32]:
    """c + beta * log(1 + r) of each group, float32, shape (G, I)."""
    logs_I = np.log1p(popularity_I)
    found = np.empty((len(betas), len(logs_I)), dtype=np.float32)
    for row, beta in zip(found, betas, strict=True):
        row[:] = item_biases + (beta * logs_I).astype(np.float32)
    return found


def _times(interactions: Interactions) -> NDArray[Any]:
    if interactions.timestamps is None:
        return np.zeros(len(interactions), dtype=np.float64)
    return checked_times(interactions.timestamps)
