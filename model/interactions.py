"""Interactions: who did something with what, as aligned arrays of numbers.

``user_ids`` and ``item_ids`` are numbers here, rows of the tables a model trains, counted from 0. External string ids
are turned into numbers by ``model.vocabulary.Vocabulary``.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.sequences import SequenceInteractions, windows

if TYPE_CHECKING:
    from scipy.sparse import coo_matrix, csr_matrix

__all__ = ["Interactions", "SequenceInteractions", "checked_ids", "order_by_user_and_time"]

LARGEST_ID = np.iinfo(np.int64).max - 1


def checked_weights(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return weights as float64.   Raises: ValueError naming the first that is not finite or negative."""
    found = np.asarray(weights, dtype=np.float64)
    wrong = ~np.isfinite(found) | (found < 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"weight {found[row]} of interaction {row} must be finite and 0 or more")
    return found


def checked_times(timestamps: NDArray[Any]) -> NDArray[Any]:
    """Return timestamps that ages can be told from, as they are.

    Raises: ValueError for what is not a number, or naming the first that is not finite.
    """
    if timestamps.dtype.kind not in "iuf":
        raise ValueError(f"timestamps are {timestamps.dtype}; ages need numbers, such as seconds")
    wrong = ~np.isfinite(timestamps)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"timestamp {timestamps[row]} of interaction {row} must be finite")
    return timestamps


def checked_ids(ids: ArrayLike, *, kind: str, count: int | None = None, holder: str = "") -> NDArray[np.int64]:
    """Return ids as int64 after refusing whatever is not the number of a user or an item.

    Args:
        ids: a scalar, a list or an array of any shape; floats are taken when they are whole numbers.
        kind: ``user`` or ``item``, for the message.
        count: ids must lie in 0..count-1; None allows any that int64 holds.
        holder: what has that many, for the message, such as ``this model``.
    Returns: a contiguous int64 array of the same shape; the input itself where it is one already.
    Raises:
        ValueError: no ids at all, or one that is negative, fractional, not finite, or too large.
        TypeError: ids that are not numbers (strings, booleans, objects).
    """
    given = np.asarray(ids)
    if given.dtype.kind not in "iuf" and given.size:
        raise TypeError(f"{kind} ids must be whole numbers, not {given.dtype}")
    if given.size == 0:
        raise ValueError(f"no {kind} ids: at least one is needed")
    if given.dtype.kind == "f":
        whole = np.isfinite(given) & (np.floor(given) == given)
        if not whole.all():
            raise ValueError(f"{kind} id {given[~whole].flat[0]} is not a whole number")
    limit = LARGEST_ID if count is None else count - 1
    for extreme in (given.min(), given.max()):
        if not 0 <= int(extreme) <= limit:
            held = f": {holder or 'the data'} has {count} {kind}s" if count is not None else ""
            raise ValueError(f"{kind} id {int(extreme)} is outside 0..{limit}{held}")
    return np.asarray(given, dtype=np.int64, order="C")


class Interactions:
    """Observed interactions, one row each.

    Args:
        user_ids: numbers of the users, shape (N,); N is at least 1.
        item_ids: numbers of the items, shape (N,).
        ratings: shape (N,), or None.
        timestamps: shape (N,), or None.
        weights: shape (N,), or None; used only by a model that is told to (``use_weights``).
        num_users: how many users there are; None or 0 means the largest id plus one.
        num_items: how many items there are; None or 0 means the largest id plus one.

    The arrays are kept as given, neither copied nor cast; lists become arrays. They are attributes of the same names.

    Raises:
        ValueError: an id that is negative, fractional or not below its count; a column whose length is not N or that
            is not one-dimensional; no ids; a negative count.
        TypeError: ids that are not numbers.
    """

    def __init__(  # noqa: PLR0917 - the arguments and their order are Spotlight's
        self,
        user_ids: ArrayLike,
        item_ids: ArrayLike,
        ratings: ArrayLike | None = None,
        timestamps: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        num_users: SupportsIndex | None = None,
        num_items: SupportsIndex | None = None,
    ) -> None:
        self.user_ids: NDArray[Any] = np.asarray(user_ids)
        self.item_ids: NDArray[Any] = np.asarray(item_ids)
        self.ratings: NDArray[Any] | None = None if ratings is None else np.asarray(ratings)
        self.timestamps: NDArray[Any] | None = None if timestamps is None else np.asarray(timestamps)
        self.weights: NDArray[Any] | None = None if weights is None else np.asarray(weights)
        self.num_users: int = _count(self.user_ids, num_users, kind="user")
        self.num_items: int = _count(self.item_ids, num_items, kind="item")
        self._check_lengths()

    def _check_lengths(self) -> None:
        for name in ("user_ids", "item_ids", "ratings", "timestamps", "weights"):
            column: NDArray[Any] | None = getattr(self, name)
            if column is None:
                continue
            if column.ndim != 1:
                raise ValueError(f"{name} must have one dimension, its shape is {column.shape}")
            if len(column) != len(self):
                raise ValueError(f"{name} has {len(column)} entries, user_ids has {len(self)}")

    def __len__(self) -> int:
        return int(self.user_ids.shape[0])

    def __repr__(self) -> str:
        return f"<Interactions dataset ({self.num_users} users x {self.num_items} items x {len(self)} interactions)>"

    def tocoo(self) -> coo_matrix:
        """Return a scipy COO matrix, shape (num_users, num_items), of the ratings, or of float64 ones without them."""
        from scipy.sparse import coo_matrix

        data = np.ones(len(self)) if self.ratings is None else self.ratings
        rows = self.user_ids.astype(np.int64, copy=False)
        columns = self.item_ids.astype(np.int64, copy=False)
        return coo_matrix((data, (rows, columns)), shape=(self.num_users, self.num_items))

    def tocsr(self) -> csr_matrix:
        """Return a scipy CSR matrix of the same; repeated pairs are summed, and a rating of 0 stays an entry."""
        return self.tocoo().tocsr()

    def to_sequence(
        self,
        max_sequence_length: SupportsIndex = 10,
        min_sequence_length: SupportsIndex | None = None,
        step_size: SupportsIndex | None = None,
    ) -> SequenceInteractions:
        """Return each user's items in the order of time, in windows of max_sequence_length.

        A user's windows end at the newest item, step_size items before it, twice as many before it, and so on; a window
        that begins before the first item is padded with 0 on the left. Rows are ordered by user, newest window first.

        Args:
            max_sequence_length: L, the items of a window.
            min_sequence_length: windows with fewer items are left out; None keeps all.
            step_size: items between two windows; None means max_sequence_length: nothing overlaps.
        Returns: sequences (S, L) and user_ids (S,), both int32; num_items is the same as here.
        Raises: ValueError without timestamps, for one that is NaN, for an item of number 0 (that is the padding), and
            for a length or step below 1 or a minimum above the length.
        """
        order_N = order_by_user_and_time(self)
        return windows(
            self.user_ids[order_N].astype(np.int64, copy=False),
            self.item_ids[order_N].astype(np.int64, copy=False),
            num_items=self.num_items,
            max_sequence_length=max_sequence_length,
            min_sequence_length=min_sequence_length,
            step_size=step_size,
        )


def order_by_user_and_time(interactions: Interactions) -> NDArray[np.int64]:
    """Positions of the rows, (N,), by user and then by timestamp; rows of one user and time in their given order.

    Raises: ValueError without timestamps, or for one that is NaN.
    """
    timestamps_N = interactions.timestamps
    if timestamps_N is None:
        raise ValueError("the order of time needs timestamps, and these interactions have none")
    unknown = np.isnan(timestamps_N)
    if unknown.any():
        raise ValueError(f"the timestamp of interaction {np.flatnonzero(unknown)[0]} is nan")
    order_N: NDArray[np.int64] = np.lexsort((timestamps_N, interactions.user_ids))
    return order_N


def _count(ids: NDArray[Any], given: SupportsIndex | None, *, kind: str) -> int:
    count = 0 if given is None else operator.index(given)
    if count < 0:
        raise ValueError(f"num_{kind}s is {count}; it must be 0 (count them) or more")
    checked = checked_ids(ids, kind=kind, count=count or None)
    return count or int(checked.max()) + 1
