"""Choosing a policy on users whose next choices are known.

One thing after another, each where it says most: the half-life of popularity by popularity alone, then the fold-in,
then the betas, then whether own items come back. What is usual is left only with evidence: a small window that chose
everything at once would choose luck.

Letters used for shapes: I items, D dimensions, B users of a window, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.evaluation.temporal import TemporalSplit, Window, no_check
from model.fold_in import FoldInSettings, learnt_map
from model.interactions import Interactions, checked_times
from model.policy import GROUPS, Learnt, OwnItems, Policy, Repeats, check_sizes, group_of, popularity
from model.user_items import UserItems

# The last one leaves the personal score nothing but ties: a policy can always fall back to plain popularity.
BETAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 16.0, 25.0, 40.0, 100.0, 1000.0)
# Enough to tell fold-ins apart.
SOME_BETAS = (0.5, 1.5, 4.0, 10.0)
# The less is known of a user, the more popularity says.
USUAL_BETAS = (10.0, 6.0, 3.0, 3.0)
# A group's own users count against so many average ones.
AVERAGE_USERS = 200
SHRINKAGES = (0.5, 2.0, 8.0, 32.0)
USUAL_SHRINKAGE = 8.0
RHOS = (1.0, 2.0, 3.0, 6.0, 12.0)
# Half-lives as shares of the time the data spans.
SHARES_OF_POPULARITY = tuple(2.0**-power for power in range(1, 11))
SHARES_OF_HISTORY = (1 / 4, 1 / 16, 1 / 64)
SHARES_OF_REPEATS = (1 / 2, 1 / 4, 1 / 8, 1 / 16)
# Losses within so many standard errors are no evidence. The best of two dozen is lucky more often than one of a row of
# betas that are alike.
ERRORS_OF_MANY = 2.0
ERRORS_OF_BETAS = 1.0
# Where nobody is held out to choose by.
UNCHOSEN = Policy(betas=(1.0,) * len(GROUPS))

ScoresOf = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Windows(NamedTuple):
    """Users who are judged on what they chose next.

    Attributes:
        new_items: those with a history; lists leave out what they had.
        repeats: the same, with nothing left out.
        everyone: users without a history too, who have to be served by popularity; lists leave out what users had.
    """

    new_items: Window
    repeats: Window
    everyone: Window

    @classmethod
    def of(cls, split: TemporalSplit) -> Windows:
        """Those of a cut in time."""
        return cls(split.window(), split.window(repeats=True), split.window(everyone=True))


def half_lives(interactions: Interactions, shares: Sequence[float] = SHARES_OF_POPULARITY) -> list[float | None]:
    """What may be chosen from: no decay, and shares of the data's span, in the unit of the timestamps."""
    if interactions.timestamps is None:
        return [None]
    times = checked_times(interactions.timestamps)
    span = float(times.max() - times.min())
    return [None, *(span * share for share in shares)] if span > 0 else [None]


def choose_policy(
    learnt: Learnt,
    interactions: Interactions,
    windows: Windows,
    *,
    candidates: Sequence[float | None] | None = None,
    check: Callable[[], None] = no_check,
) -> Policy:
    """The policy that serves the users of the windows best, by NDCG@20.

    Args:
        learnt, interactions: a fit, and what it was fitted on, with weights and timestamps if there are any.
        candidates: half-lives of popularity to choose from, neighbours beside each other; by default `half_lives`.
        check: called before each batch; may raise to give up.
    Raises: ValueError as ``FittedPolicy``.
    """
    check_sizes(learnt, interactions)
    candidates = half_lives(interactions) if candidates is None else candidates
    logs = [np.log1p(popularity(interactions, each)).astype(np.float32) for each in candidates]
    alone = [float(windows.everyone.ndcg(_same_for_all(each), check=check).sum()) for each in logs]
    # A lone peak seldom lasts.
    place = int(np.argmax(smoothed(alone)))
    search = _Search(learnt, interactions, popular_I=logs[place], check=check)
    fold_in = search.fold_in(windows.new_items)
    betas = search.betas(windows.new_items, fold_in)
    return Policy(betas, candidates[place], fold_in, search.repeats(windows.repeats, fold_in, betas))


class _Search:
    """What all choices after the half-life share."""

    def __init__(
        self,
        learnt: Learnt,
        interactions: Interactions,
        *,
        popular_I: NDArray[np.float32],
        check: Callable[[], None],
    ) -> None:
        self._learnt, self._interactions = learnt, interactions
        self._popular_I, self._check = popular_I, check
        self._histories = UserItems.of(interactions)

    def fold_in(self, window: Window) -> FoldInSettings:
        """The fold-in with the best NDCG, each under the beta that suits it best, unless the usual one is as good."""
        times = half_lives(self._interactions, SHARES_OF_HISTORY)
        maps = [*(FoldInSettings("whitened", each) for each in SHRINKAGES), FoldInSettings("mean")]
        maps += [FoldInSettings("affine")]
        settings = [each._replace(half_life=half_life) for each in maps for half_life in times]
        usual = settings.index(FoldInSettings("whitened", USUAL_SHRINKAGE, times[min(1, len(times) - 1)]))
        if not len(window):
            return settings[usual]
        ndcg_CB = np.stack([self._best_ndcg(window, each) for each in settings])
        best = int(np.argmax(ndcg_CB.mean(axis=1)))
        as_good = _no_evidence(ndcg_CB[usual], ndcg_CB[best], _alike(len(window)), errors=ERRORS_OF_MANY)
        return settings[usual if as_good else best]

    def betas(self, window: Window, fold_in: FoldInSettings) -> tuple[float, ...]:
        """For each group, of the betas as good as the best the one nearest to the usual.

        A group is judged by its own users and some average ones: a small group follows the others.
        """
        if not len(window):
            return USUAL_BETAS
        vectors = self._vectors(window, fold_in)
        ndcg_CB = np.stack([self._ndcg(window, vectors, np.full(len(window), beta)) for beta in BETAS])
        groups_B = group_of(self._histories.sizes[window.users])
        chosen = []
        for group, usual in enumerate(USUAL_BETAS):
            share_B = (groups_B == group) + AVERAGE_USERS / len(window)
            share_B /= share_B.sum()
            best_B = ndcg_CB[int(np.argmax(ndcg_CB @ share_B))]
            as_good = [
                beta
                for beta, ndcg_B in zip(BETAS, ndcg_CB, strict=True)
                if _no_evidence(ndcg_B, best_B, share_B, errors=ERRORS_OF_BETAS)
            ]
            chosen.append(min(max(usual, min(as_good)), max(as_good)))
        return tuple(chosen)

    def repeats(self, window: Window, fold_in: FoldInSettings, betas: tuple[float, ...]) -> Repeats | None:
        """How own items come back, or None where lists without them are as good."""
        if not len(window):
            return None
        beta_B = np.array(betas)[group_of(self._histories.sizes[window.users])]
        scores_of = self._scores_of(window, self._vectors(window, fold_in), beta_B)
        without_B = self._with_own(window, scores_of, OwnItems(self._interactions, None), None)
        best_B, chosen = without_B, None
        for half_life in half_lives(self._interactions, SHARES_OF_REPEATS):
            own = OwnItems(self._interactions, half_life)
            for rho in RHOS:
                found_B = self._with_own(window, scores_of, own, rho)
                if found_B.mean() > best_B.mean():
                    best_B, chosen = found_B, Repeats(rho, half_life)
        return None if _no_evidence(without_B, best_B, _alike(len(window)), errors=ERRORS_OF_MANY) else chosen

    def _best_ndcg(self, window: Window, fold_in: FoldInSettings) -> NDArray[np.float64]:
        vectors = self._vectors(window, fold_in)
        found = [self._ndcg(window, vectors, np.full(len(window), beta)) for beta in SOME_BETAS]
        return max(found, key=lambda ndcg_B: float(ndcg_B.mean()))

    def _with_own(self, window: Window, scores_of: ScoresOf, own: OwnItems, rho: float | None) -> NDArray[np.float64]:
        """NDCG with own items brought back with this weight, or left out."""

        def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
            found = scores_of(users)
            if rho is None:
                own.sink(found, users)
            else:
                own.add_to(found, users, rho)
            return found

        return window.ndcg(scores, check=self._check)

    def _ndcg(
        self, window: Window, vectors_BD: NDArray[np.float32], beta_B: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return window.ndcg(self._scores_of(window, vectors_BD, beta_B), check=self._check)

    def _vectors(self, window: Window, fold_in: FoldInSettings) -> NDArray[np.float32]:
        """x of the users of a window, shape (B, D)."""
        learnt = self._learnt
        learnt_in = learnt_map(fold_in, learnt.item_vectors, self._histories, user_vectors=learnt.user_vectors)
        return learnt_in.user_vectors(learnt.item_vectors, self._histories.take(window.users))

    def _scores_of(self, window: Window, vectors_BD: NDArray[np.float32], beta_B: NDArray[np.float64]) -> ScoresOf:
        learnt = self._learnt
        row_of = np.zeros(len(self._histories), dtype=np.int64)
        row_of[window.users] = np.arange(len(window))

        def scores_of(users: NDArray[np.int64]) -> NDArray[np.float32]:
            rows = row_of[users]
            scores: NDArray[np.float32] = vectors_BD[rows] @ learnt.item_vectors.T
            scores += learnt.item_biases
            scores += beta_B[rows, np.newaxis].astype(np.float32) * self._popular_I
            return scores

        return scores_of


def _no_evidence(
    ndcg_B: NDArray[np.float64], best_B: NDArray[np.float64], share_B: NDArray[np.float64], *, errors: float
) -> bool:
    """Whether the mean loss against `best_B`, user by user, is within so many of its standard errors.

    Args:
        share_B: how much each user counts; sums to 1.
    Source: the one-standard-error rule of Breiman et al. 1984.
    """
    loss_B = best_B - ndcg_B
    loss = float(share_B @ loss_B)
    return loss <= errors * float(np.sqrt((share_B**2 * (loss_B - loss) ** 2).sum()))


def _alike(count: int) -> NDArray[np.float64]:
    return np.full(count, 1 / count)


def smoothed(qualities: Sequence[float]) -> NDArray[np.float64]:
    """Each value averaged with its neighbours, itself counting twice; an end stands in for the neighbour it lacks."""
    padded = np.pad(np.array(qualities, dtype=np.float64), 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _same_for_all(scores_I: NDArray[np.float32]) -> ScoresOf:
    return lambda users: np.broadcast_to(scores_I, (len(users), len(scores_I)))
