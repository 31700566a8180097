"""FitTask and RatingTask: what a solver is asked to fit, checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.evaluation.items_by_user import ItemsByUser
from model.interactions import Interactions, checked_ids, checked_weights
from model.sampling import Negatives, PopularNegatives, UniformNegatives, UnseenNegatives, popularity_weights

_log = logging.getLogger(__name__)


class Task(Protocol):
    """What every task has: the rows trained on, (N,) each, and how they are gone through."""

    @property
    def user_ids(self) -> NDArray[np.int64]: ...
    @property
    def item_ids(self) -> NDArray[np.int64]: ...
    @property
    def weights(self) -> NDArray[np.float32] | None: ...
    @property
    def n_iter(self) -> int: ...
    @property
    def batch_size(self) -> int: ...


@dataclass(frozen=True)
class FitTask:
    """Checked rows and the settings of one fit.

    ``user_ids`` (N,) int64, ``item_ids`` (N,) int64 and ``weights`` (N,) float32 or None are the rows trained on. N may
    be 0: an epoch of such a task has no batch. ``known`` are all items of each user, where a solver needs them.
    ``num_items`` is I, from which ranks are estimated; None estimates them among the items drawn.
    """

    user_ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    negatives: Negatives
    loss: str
    n_iter: int
    batch_size: int
    num_negative_samples: int
    known: ItemsByUser | None = None
    num_items: int | None = None


@dataclass(frozen=True)
class RatingTask:
    """As ``FitTask``, without negatives and with ``ratings`` (N,) float32, which the scores are to approach."""

    user_ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    ratings: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    loss: str
    n_iter: int
    batch_size: int


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
    with_known: bool = False,
    popularity_alpha: float | None = None,
) -> FitTask:
    """Check the interactions against the sizes of a model and lay them out for a solver.

    Left out are rows of weight 0 and, when positives are excluded, rows of users who have interacted with every item:
    there is nothing to contrast these with. Negatives are drawn uniformly, or by the popularity of items in these
    interactions to the power of ``popularity_alpha``.

    Raises: ValueError for an id outside 0..num_users-1 or 0..num_items-1 (users are checked first) and for weights that
        are not finite, negative, or all zero.
    """
    users, items = _checked_pairs(interactions, num_users, num_items)
    weights = _checked_weights(interactions) if use_weights else None
    known = ItemsByUser.from_pairs(users, items, num_users=num_users) if with_known else None
    kept = np.ones(len(users), dtype=np.bool_) if weights is None else weights > 0
    weights_I = None
    if popularity_alpha is not None:
        counts_I = np.bincount(items, minlength=num_items)
        weights_I = popularity_weights(counts_I, popularity_alpha, num_users=num_users)
    negatives: Negatives = UniformNegatives(num_items) if weights_I is None else PopularNegatives(weights_I)
    if exclude_positives:
        if known is not None:
            # Whoever asks for the known items draws negatives without `negatives`, whose tables take longer to make.
            contrasted = (np.diff(known.indptr) < num_items)[users]
        else:
            unseen = UnseenNegatives(users, items, num_users=num_users, num_items=num_items, weights_I=weights_I)
            contrasted, negatives = unseen.has_any(users), unseen
        if not contrasted.all():
            _log.warning(
                "%d of %d interactions are of users who have every item: they have no negatives and are left out",
                np.count_nonzero(~contrasted),
                len(users),
            )
        kept &= contrasted
    if not kept.all():
        users, items = users[kept], items[kept]
        weights = None if weights is None else weights[kept]
    return FitTask(users, items, weights, negatives, loss, n_iter, batch_size, num_negative_samples, known, num_items)


def make_rating_task(
    interactions: Interactions,
    *,
    num_users: int,
    num_items: int,
    loss: str,
    n_iter: int,
    batch_size: int,
    use_weights: bool,
) -> RatingTask:
    """Check rated interactions against the sizes of a model and lay them out for a solver.

    Left out are rows of weight 0.

    Raises: TypeError without ratings. ValueError for an id outside 0..num_users-1 or 0..num_items-1, for a rating that
        float32 does not hold or, with the loss ``poisson``, that is negative, and for weights as in ``make_task``.
    """
    users, items = _checked_pairs(interactions, num_users, num_items)
    ratings = _checked_ratings(interactions, lowest=0.0 if loss == "poisson" else -np.inf)
    weights = _checked_weights(interactions) if use_weights else None
    if weights is not None and not weights.all():
        kept = weights > 0
        users, items, ratings, weights = users[kept], items[kept], ratings[kept], weights[kept]
    return RatingTask(users, items, ratings, weights, loss, n_iter, batch_size)


def _checked_pairs(
    interactions: Interactions, num_users: int, num_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    users = checked_ids(interactions.user_ids, kind="user", count=num_users, holder="this model")
    items = checked_ids(interactions.item_ids, kind="item", count=num_items, holder="this model")
    if users.ndim != 1:
        raise ValueError(f"user_ids has the shape {users.shape}; it must have one dimension")
    _require_rows("item_ids", items, len(users))
    return users, items


def _require_rows(name: str, column: NDArray[Any], count: int) -> None:
    # Interactions has checked them, but its columns are attributes that anybody may replace.
    if column.shape != (count,):
        raise ValueError(
            f"{name} has the shape {column.shape}; one number for each of the {count} interactions is needed"
        )


def _checked_ratings(interactions: Interactions, *, lowest: float) -> NDArray[np.float32]:
    if interactions.ratings is None:
        raise TypeError("a model of ratings needs interactions with ratings, and these have none")
    given = np.asarray(interactions.ratings, dtype=np.float64)
    _require_rows("ratings", given, len(interactions))
    largest = float(np.finfo(np.float32).max)
    wrong = ~((np.abs(given) <= largest) & (given >= lowest))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        limits = "finite" if np.isneginf(lowest) else f"finite and {lowest:g} or more, as a count is"
        raise ValueError(f"rating {given[row]} of interaction {row} must be {limits} (float32: up to {largest:.1e})")
    ratings: NDArray[np.float32] = given.astype(np.float32)
    return ratings


def _checked_weights(interactions: Interactions) -> NDArray[np.float32] | None:
    if interactions.weights is None:
        return None
    _require_rows("weights", interactions.weights, len(interactions))
    weights = checked_weights(interactions.weights)
    largest = weights.max()
    if largest == 0:
        raise ValueError(f"all {len(weights)} weights are 0; at least one must be above 0")
    # Only their ratios matter; scaled so that no sum of them leaves what float32 holds.
    scaled: NDArray[np.float32] = (weights / largest).astype(np.float32)
    return scaled
