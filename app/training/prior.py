"""Choosing the prior of the served score on held out users, and judging the score on others.

score(u, i) = <x_u, q_i> + c_i + beta * log(1 + r_i), r_i = decayed count with a half-life
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.training.dataset import Pairs, Positives
from app.training.recipe import Factors
from model.evaluation.temporal import Window
from model.popularity import decayed_counts, settled_now

# The last one leaves the personal score nothing but ties: the policy can always fall back to plain popularity.
BETAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 16.0, 25.0, 40.0, 100.0, 1000.0)
# A beta above this leaves little that is personal: it has to be the best one, not merely as good.
LARGEST_GIVEN = 10.0
# Held-out users from which a standard error means something.
ENOUGH_USERS = 100
# Half-lives as shares of the time the data spans.
SHARES = tuple(2.0**-power for power in range(1, 11))
# Where too few users are held out to choose by.
UNCHOSEN_BETA = 1.0


class Prior(NamedTuple):
    """beta and the half-life in microseconds; None counts everything alike."""

    beta: float
    half_life_us: float | None


class Verdict(NamedTuple):
    """NDCG@20 of each user, the same users in each, shape (B,)."""

    policy: NDArray[np.float64]
    popular_recent: NDArray[np.float64]
    popular_all_time: NDArray[np.float64]


def half_lives(rows: Positives) -> list[float | None]:
    """What may be chosen from, in microseconds: no decay, and shares of the data's span."""
    span = float(rows.times_us.max() - rows.times_us.min())
    return [None, *(span * share for share in SHARES)] if span > 0 else [None]


def popularity(rows: Positives, numbered: Pairs, half_life_us: float | None) -> NDArray[np.float64]:
    """Decayed counts of the items of `numbered`, counted back from about the newest row, shape (I,)."""
    return decayed_counts(
        np.searchsorted(numbered.item_keys, rows.item_keys),
        rows.times_us,
        num_items=len(numbered.item_keys),
        half_life_us=half_life_us,
        newest_us=int(settled_now(rows.times_us)),
    )


def choose(
    window: Window,
    factors: Factors,
    rows: Positives,
    numbered: Pairs,
    *,
    candidates: Sequence[float | None],
    check: Callable[[], None],
) -> Prior:
    """The half-life that serves popularity alone best on the window, then a beta for it; by NDCG@20.

    One after the other, not together: the policy then differs from recent popularity in its personal part only, and
    there are fewer chances to fit the noise of a small window. For the same reason a half-life is as good as it and its
    neighbours are (a lone peak seldom lasts), and the largest beta wins whose loss against the best one is within a
    standard error: lists leave popularity only as far as the users held out clearly want them to. What comes close to
    popularity alone, above `LARGEST_GIVEN`, is taken only where it is the best.

    Source: the one-standard-error rule of Breiman et al. 1984, with popularity as the simpler model.

    Args:
        rows, numbered: the rows before the cut and their pairs; what `factors` was fitted on.
        candidates: half-lives to choose from, neighbours beside each other.
    """
    priors = [np.log1p(popularity(rows, numbered, each)).astype(np.float32) for each in candidates]
    alone = [_mean(window, _same_for_all(prior), check) for prior in priors]
    place = int(np.argmax(_smoothed(alone)))

    def ndcg(beta: float) -> NDArray[np.float64]:
        added = np.float32(beta) * priors[place]
        return window.ndcg(lambda users: factors.scores(users) + added, check=check)

    found = {beta: ndcg(beta) for beta in BETAS}
    best = max(BETAS, key=lambda beta: found[beta].mean())
    as_good = [
        beta for beta in BETAS if beta <= max(best, LARGEST_GIVEN) and _within_an_error(found[beta], found[best])
    ]
    # With few users a standard error covers everything, and the rule would make every list the popular one.
    beta = max(as_good) if len(found[best]) >= ENOUGH_USERS else best
    return Prior(beta, candidates[place])


def judge(
    window: Window, factors: Factors, rows: Positives, numbered: Pairs, *, prior: Prior, check: Callable[[], None]
) -> Verdict:
    """The policy with the prior chosen, and its two rivals, on users that had no part in the choice."""
    recent = np.log1p(popularity(rows, numbered, prior.half_life_us))
    added = (prior.beta * recent).astype(np.float32)
    return Verdict(
        policy=window.ndcg(lambda users: factors.scores(users) + added, check=check),
        popular_recent=window.ndcg(_same_for_all(recent), check=check),
        popular_all_time=window.ndcg(_same_for_all(popularity(rows, numbered, None)), check=check),
    )


def _within_an_error(ndcg: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Whether the mean loss against `best`, user by user, is at most its standard error; both shape (B,)."""
    loss = best - ndcg
    return bool(loss.mean() <= loss.std() / np.sqrt(max(len(loss) - 1, 1)))


def _smoothed(qualities: Sequence[float]) -> NDArray[np.float64]:
    """Each value averaged with its neighbours, itself counting twice; an end stands in for the neighbour it lacks."""
    padded = np.pad(np.array(qualities, dtype=np.float64), 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _same_for_all(scores_I: NDArray[np.floating[Any]]) -> Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]:
    return lambda users: np.broadcast_to(scores_I, (len(users), len(scores_I)))


def _mean(
    window: Window,
    score_batch: Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]],
    check: Callable[[], None],
) -> float:
    return float(window.ndcg(score_batch, check=check).mean())
