"""Splitting interactions into what is learnt from and what is judged by.

Every split keeps all columns and both sizes: the parts know as many users and items as the whole.

Letters used for shapes: N interactions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from model.interactions import Interactions, order_by_user_and_time
from model.sampling import RandomSource, as_random_source


class TimeCut(NamedTuple):
    """Rows before and after a moment, as positions in the arrays cut; both in the order of time."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]


def temporal_cut(times_us: NDArray[np.int64], fraction: float) -> TimeCut:
    """Set the newest rows apart, by number of rows, not by duration.

    Args:
        times_us: when each row happened, shape (N,), in the order of the rows' ids; of two rows of the same time the
            one with the lower id is the earlier.
        fraction: share of the rows that goes into `later`, between 0 and 1.
    Returns: positions of the rows, int64; round(N * fraction) of them in `later`.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be between 0 and 1")
    order = np.argsort(times_us, kind="stable").astype(np.int64, copy=False)
    first_later = len(order) - round(len(order) * fraction)
    return TimeCut(order[:first_later], order[first_later:])


def shuffle_interactions(
    interactions: Interactions, random_state: RandomSource | SupportsIndex | None = None
) -> Interactions:
    """Return the interactions in random order.

    Args:
        interactions: left as they are.
        random_state: a numpy RandomState or Generator, a seed, or None; one shuffle of ``arange(N)`` is taken from it.
    """
    order_N = np.arange(len(interactions))
    as_random_source(random_state).shuffle(order_N)
    return _rows(interactions, order_N)


def random_train_test_split(
    interactions: Interactions,
    test_percentage: float = 0.2,
    random_state: RandomSource | SupportsIndex | None = None,
) -> tuple[Interactions, Interactions]:
    """Split at random, interaction by interaction.

    Args:
        interactions: left as they are.
        test_percentage: share of the interactions (not per cent) that is judged by, between 0 and 1.
        random_state: a numpy RandomState or Generator, a seed, or None; one shuffle of ``arange(N)`` is taken from it.
    Returns: train and test, both in random order; the first int((1 - test_percentage) * N) shuffled rows are train.
    Raises: ValueError for a share outside 0..1 or one that leaves a side empty.
    """
    share = _share(test_percentage)
    # The truncation of a rounded product is Spotlight's: another rule would move its published splits by one row.
    num_train = int((1.0 - share) * len(interactions))
    _require_both_sides(num_train, len(interactions) - num_train, share)
    order_N = np.arange(len(interactions))
    as_random_source(random_state).shuffle(order_N)
    return _rows(interactions, order_N[:num_train]), _rows(interactions, order_N[num_train:])


def user_based_train_test_split(
    interactions: Interactions,
    test_percentage: float = 0.2,
    random_state: RandomSource | SupportsIndex | None = None,
) -> tuple[Interactions, Interactions]:
    """Split at random, user by user: all interactions of a user are on one side.

    Args:
        interactions: left as they are.
        test_percentage: share of the users that have interactions (not per cent), between 0 and 1;
            round(test_percentage * users) of them are judged by.
        random_state: a numpy RandomState or Generator, a seed, or None; one permutation of the users is taken from it.
    Returns: train and test, the rows of each in the order given.
    Raises: ValueError for a share outside 0..1 or one that leaves a side empty.
    """
    share = _share(test_percentage)
    users, user_of_row_N = np.unique(interactions.user_ids, return_inverse=True)
    num_test = round(share * len(users))
    _require_both_sides(len(users) - num_test, num_test, share)
    chosen = np.zeros(len(users), dtype=np.bool_)
    chosen[as_random_source(random_state).permutation(len(users))[:num_test]] = True
    in_test_N = chosen[user_of_row_N]
    return _rows(interactions, ~in_test_N), _rows(interactions, in_test_N)


def leave_last_out(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Split off each user's newest interaction.

    Of several newest ones the later row is taken. A user with a single interaction stays in train: nothing could be
    learnt about that user otherwise.

    Returns: train and test, the rows of each in the order given.
    Raises: ValueError without timestamps, for one that is NaN, or when no user has two interactions.
    """
    order_N = order_by_user_and_time(interactions)
    users_N = interactions.user_ids[order_N]
    last_N = np.append(users_N[1:] != users_N[:-1], True)
    first_N = np.insert(users_N[1:] != users_N[:-1], 0, True)
    in_test_N = np.zeros(len(order_N), dtype=np.bool_)
    in_test_N[order_N[last_N & ~first_N]] = True
    if not in_test_N.any():
        raise ValueError(f"no user has two interactions: all {len(order_N)} would stay in train")
    return _rows(interactions, ~in_test_N), _rows(interactions, in_test_N)


def _rows(interactions: Interactions, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Interactions:
    def of(column: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if column is None else column[rows]

    return Interactions(
        interactions.user_ids[rows],
        interactions.item_ids[rows],
        ratings=of(interactions.ratings),
        timestamps=of(interactions.timestamps),
        weights=of(interactions.weights),
        num_users=interactions.num_users,
        num_items=interactions.num_items,
    )


def _share(test_percentage: float) -> float:
    if not 0 <= test_percentage <= 1:
        raise ValueError(f"test_percentage is {test_percentage}; it must be between 0 and 1")
    return float(test_percentage)


def _require_both_sides(train: int, test: int, share: float) -> None:
    if not train or not test:
        raise ValueError(f"test_percentage {share} leaves {train} for train and {test} for test: neither may be empty")
