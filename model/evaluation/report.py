"""All metrics of many users at once: every item ranked, scores asked for once.

Letters used for shapes: B users, k places of a list, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.metrics import (
    average_precision_at_k,
    coverage,
    first_hit_reciprocal_rank,
    ndcg_at_k,
    recall_at_k,
)
from model.evaluation.ranking import ScoreBatch, at_least_one, rank_rows, scores_of_unseen


@dataclass(frozen=True, eq=False)
class Report:
    """How good the lists of some users are.

    Attributes:
        users: user numbers in the order asked for, int64, shape (B,).
        recall, ndcg, average_precision: of lists of k items, float64, shape (B,).
        reciprocal_rank: of the first hit among all items, float64, shape (B,).
        coverage: share of the catalogue in the lists.
        k: length of a list.
    """

    users: NDArray[np.int64]
    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    reciprocal_rank: NDArray[np.float64]
    coverage: float
    k: int

    def means(self) -> dict[str, float]:
        """Means over the users by the usual names, `recall@20` for k = 20; NaN without users."""
        of_users = {
            f"recall@{self.k}": self.recall,
            f"ndcg@{self.k}": self.ndcg,
            f"map@{self.k}": self.average_precision,
            "mrr": self.reciprocal_rank,
        }
        means = {name: float(values.mean()) if len(values) else float("nan") for name, values in of_users.items()}
        return means | {f"coverage@{self.k}": self.coverage}


def evaluate(
    score_batch: ScoreBatch,
    test: ItemsByUser,
    *,
    seen: ItemsByUser | None = None,
    users: NDArray[np.integer[Any]] | None = None,
    k: int = 20,
    batch: int = 256,
) -> Report:
    """Rank all items for each user and judge the lists by what the user chose in `test`.

    Args:
        score_batch: gives finite scores (B, I) of all items for B user numbers, higher being better; tied items are
            ranked by number.
        test: what should be found, by user number. Items without a score (numbers from I on) count as missed.
        seen: items to remove from the ranking, by user number; of those, the ones in `test` count as missed.
        users: whom to judge, user numbers of shape (B,); by default everybody with items in `test`.
        k: length of a list.
        batch: users scored at once.
    Raises: ValueError for a score that is not finite, a k or batch below 1, or a user without items in `test`.
    """
    chosen = np.flatnonzero(np.diff(test.indptr)) if users is None else users.astype(np.int64)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(test.indptr) - 1):
        raise ValueError(f"users has a number outside 0..{len(test.indptr) - 2}")
    return evaluate_rows(score_batch, chosen, test.of_each(chosen), seen=seen, k=k, batch=batch)


def evaluate_rows(
    score_batch: ScoreBatch,
    users: NDArray[np.int64],
    relevant: Sequence[NDArray[np.integer[Any]]],
    *,
    seen: ItemsByUser | None = None,
    k: int = 20,
    batch: int = 256,
) -> Report:
    """`evaluate` with the relevant items of each row given, B arrays: a user number may then occur in several rows."""
    at_least_one("k", k)
    at_least_one("batch", batch)
    ranked_BK = np.empty((len(users), k), dtype=np.int64)
    reciprocal_B = np.empty(len(users))
    num_items = 0
    for start in range(0, len(users), batch):
        rows = slice(start, start + batch)
        scores_BI = scores_of_unseen(score_batch, users[rows], seen=seen)
        num_items = scores_BI.shape[1]
        ranked_BK[rows] = rank_rows(scores_BI, k=k)
        reciprocal_B[rows] = first_hit_reciprocal_rank(scores_BI, relevant[rows])
    return Report(
        users,
        recall_at_k(ranked_BK, relevant),
        ndcg_at_k(ranked_BK, relevant),
        average_precision_at_k(ranked_BK, relevant),
        reciprocal_B,
        coverage(ranked_BK, num_items=num_items) if num_items else 0.0,
        k,
    )
