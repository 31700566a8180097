"""FitTask: what a solver is asked to fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.interactions import Interactions, checked_ids
from model.sampling import Negatives, UniformNegatives, UnseenNegatives

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitTask:
    """Checked rows and the settings of one fit.

    ``user_ids`` (N,) int64, ``item_ids`` (N,) int64 and ``weights`` (N,) float32 or None are the rows trained on. N may
    be 0: an epoch of such a task has no batch.
    """

    user_ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    negatives: Negatives
    loss: str
    n_iter: int
    batch_size: int
    num_negative_samples: int


def make_task(
    interactions: Interactions,
    *,
    num_users: int,
    num_items: int,
    loss: str,
    n_iter: int,
    batch_size: int,
    num_negative_samples: int,
    use_weights: bool,
    exclude_positives: bool,
) -> FitTask:
    """Check the interactions against the sizes of a model and lay them out for a solver.

    Left out are rows of weight 0 and, when positives are excluded, rows of users who have interacted with every item:
    there is nothing to contrast these with.

    Raises: ValueError for an id outside 0..num_users-1 or 0..num_items-1 (users are checked first) and for weights that
        are not finite, negative, or all zero.
    """
    users = checked_ids(interactions.user_ids, kind="user", count=num_users, holder="this model")
    items = checked_ids(interactions.item_ids, kind="item", count=num_items, holder="this model")
    weights = _checked_weights(interactions) if use_weights else None
    kept = np.ones(len(users), dtype=np.bool_) if weights is None else weights > 0
    negatives: Negatives = UniformNegatives(num_items)
    if exclude_positives:
        unseen = UnseenNegatives(users, items, num_users=num_users, num_items=num_items)
        contrasted = unseen.has_any(users)
        if not contrasted.all():
            _log.warning(
                "%d of %d interactions are of users who have every item: they have no negatives and are left out",
                np.count_nonzero(~contrasted),
                len(users),
            )
        negatives, kept = unseen, kept & contrasted
    if not kept.all():
        users, items = users[kept], items[kept]
        weights = None if weights is None else weights[kept]
    return FitTask(users, items, weights, negatives, loss, n_iter, batch_size, num_negative_samples)


def _checked_weights(interactions: Interactions) -> NDArray[np.float32] | None:
    if interactions.weights is None:
        return None
    weights = np.asarray(interactions.weights, dtype=np.float64)
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"weight {weights[row]} of interaction {row} must be finite and 0 or more")
    largest = weights.max()
    if largest == 0:
        raise ValueError(f"all {len(weights)} weights are 0; at least one must be above 0")
    # Only their ratios matter; scaled so that no sum of them leaves what float32 holds.
    scaled: NDArray[np.float32] = (weights / largest).astype(np.float32)
    return scaled
