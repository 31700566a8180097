"""Interactions as sequences: what each user did, in the order of time, cut into windows of one length.

Letters used for shapes: N interactions, S sequences, L length of a sequence.
"""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

PADDING = 0
"""Stands where a sequence has no item; an item of this number cannot be part of one."""


class SequenceInteractions:
    """Sequences of items, one row each, the newest item last.

    Args:
        sequences: numbers of the items, shape (S, L), padded on the left with 0.
        user_ids: numbers of the users, shape (S,), or None.
        num_items: how many items there are; None or 0 means the largest number plus one.

    ``sequences`` and ``user_ids`` are kept as given, as attributes of the same names; ``max_sequence_length`` is L.

    Raises: ValueError for sequences without two dimensions, negative or fractional numbers, a number that is not below
        num_items, user_ids of another length.   TypeError for items that are not numbers.
    """

    def __init__(
        self, sequences: ArrayLike, user_ids: ArrayLike | None = None, num_items: SupportsIndex | None = None
    ) -> None:
        self.sequences: NDArray[Any] = np.asarray(sequences)
        self.user_ids: NDArray[Any] | None = None if user_ids is None else np.asarray(user_ids)
        if self.sequences.ndim != 2 or not self.sequences.shape[1]:
            raise ValueError(f"sequences must have two dimensions (S, L), L at least 1, not {self.sequences.shape}")
        if self.user_ids is not None and self.user_ids.shape != (len(self.sequences),):
            raise ValueError(f"user_ids of shape {self.user_ids.shape} for {len(self.sequences)} sequences")
        self.max_sequence_length: int = self.sequences.shape[1]
        self.num_items: int = _num_items(self.sequences, num_items)

    def __repr__(self) -> str:
        return f"<SequenceInteractions dataset ({len(self.sequences)} sequences x {self.max_sequence_length} items)>"


def windows(
    user_ids: NDArray[np.int64],
    item_ids: NDArray[np.int64],
    *,
    num_items: int,
    max_sequence_length: SupportsIndex,
    min_sequence_length: SupportsIndex | None,
    step_size: SupportsIndex | None,
) -> SequenceInteractions:
    """Cut each user's items into windows; see ``Interactions.to_sequence``.

    Args:
        user_ids: shape (N,), ascending.
        item_ids: shape (N,), those of one user in the order of time.
    """
    length = _at_least_one("max_sequence_length", max_sequence_length)
    shortest = 1 if min_sequence_length is None else _at_least_one("min_sequence_length", min_sequence_length)
    step = length if step_size is None else _at_least_one("step_size", step_size)
    if shortest > length:
        raise ValueError(f"min_sequence_length is {shortest}; it must be at most max_sequence_length, {length}")
    _require_int32("user", user_ids)
    _require_int32("item", item_ids)
    if (item_ids == PADDING).any():
        raise ValueError(f"item id {PADDING} is the padding of sequences: number the items from 1")

    users, starts, counts = np.unique(user_ids, return_index=True, return_counts=True)
    # A user's k-th window ends k steps before the newest item, as long as something is left.
    windows_of_user = -(-counts // step)
    owner_S = np.repeat(np.arange(len(users)), windows_of_user)
    nth_S = np.arange(len(owner_S)) - np.repeat(np.cumsum(windows_of_user) - windows_of_user, windows_of_user)
    filled_S = counts[owner_S] - nth_S * step
    kept = filled_S >= shortest
    owner_S, filled_S = owner_S[kept], filled_S[kept]

    within_SL = filled_S[:, np.newaxis] + np.arange(-length, 0)
    rows_SL = starts[owner_S, np.newaxis] + np.maximum(within_SL, 0)
    sequences_SL = np.where(within_SL >= 0, item_ids[rows_SL], PADDING).astype(np.int32)
    return SequenceInteractions(sequences_SL, users[owner_S].astype(np.int32), num_items)


def _num_items(sequences: NDArray[Any], given: SupportsIndex | None) -> int:
    if sequences.dtype.kind not in "iuf":
        raise TypeError(f"items of sequences must be whole numbers, not {sequences.dtype}")
    wrong = ~(np.isfinite(sequences) & (sequences >= 0) & (np.floor(sequences) == sequences))
    if wrong.any():
        raise ValueError(f"item {sequences[wrong][0]} of a sequence is not a whole number of 0 or more")
    largest = int(sequences.max(initial=0))
    count = 0 if given is None else operator.index(given)
    if count < 0 or (count and largest >= count):
        raise ValueError(f"num_items is {count}, and the largest item is {largest}")
    return count or largest + 1


def _at_least_one(name: str, value: SupportsIndex) -> int:
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{name} is {number}; it must be at least 1")
    return number


def _require_int32(kind: str, ids: NDArray[np.int64]) -> None:
    limit = np.iinfo(np.int32).max
    if ids.max() > limit:
        raise ValueError(f"{kind} id {ids.max()} is outside 0..{limit}: sequences are int32")
