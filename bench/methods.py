"""What a benchmark compares: something with a name that gives scores, and what it gives to strangers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.evaluation import NO_USER, ScoreBatch


class Method(NamedTuple):
    """A label, scores (B, I) for B user numbers (-1 for a stranger), and what was chosen for it, in words."""

    label: str
    scores: ScoreBatch
    settings: str = ""


def for_everyone(scores: ScoreBatch, popular_I: NDArray[np.floating[Any]]) -> ScoreBatch:
    """The scores of users with a history; strangers get what is popular."""

    def of_all(users: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        known = users != NO_USER
        found = np.empty((len(users), len(popular_I)), dtype=np.float32)
        found[~known] = popular_I
        if known.any():
            found[known] = scores(users[known])
        return found

    return of_all
