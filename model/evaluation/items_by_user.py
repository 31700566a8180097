"""Which items belong to which user: what has been seen, and what was chosen next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_USER = -1
"""The number of somebody without a history."""


@dataclass(frozen=True, eq=False)
class ItemsByUser:
    """Which items belong to which user, each once and in ascending order.

    Args:
        indptr: the items of user u are items[indptr[u]:indptr[u + 1]], int64, shape (U + 1,).
        items: item numbers, int64.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]

    @classmethod
    def from_pairs(
        cls, user_numbers: NDArray[np.integer[Any]], item_numbers: NDArray[np.integer[Any]], *, num_users: int
    ) -> ItemsByUser:
        """Group pairs by user; a pair that is there several times counts once."""
        if user_numbers.shape != item_numbers.shape:
            raise ValueError(f"user numbers have the shape {user_numbers.shape}, item numbers {item_numbers.shape}")
        if not len(user_numbers):
            return cls(np.zeros(num_users + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
        lowest, highest = int(user_numbers.min()), int(user_numbers.max())
        if lowest < 0 or highest >= num_users:
            raise ValueError(f"user number {lowest if lowest < 0 else highest} is outside 0..{num_users - 1}")
        # One number for each pair: sorting these is several times as fast as sorting by two columns.
        if int(item_numbers.min()) < 0:
            raise ValueError(f"item number {int(item_numbers.min())} is below 0")
        width = int(item_numbers.max()) + 1
        if (highest + 1) * width > np.iinfo(np.int64).max:
            distinct, codes = np.unique(item_numbers, return_inverse=True)
            coded = cls.from_pairs(user_numbers, codes, num_users=num_users)
            return cls(coded.indptr, distinct[coded.items].astype(np.int64))
        pairs = np.sort(user_numbers.astype(np.int64) * width + item_numbers.astype(np.int64))
        first = np.ones(len(pairs), dtype=np.bool_)
        first[1:] = pairs[1:] != pairs[:-1]
        users, items = np.divmod(pairs[first], width)
        indptr = np.zeros(num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=num_users), out=indptr[1:])
        return cls(indptr, items)

    def of(self, user_number: int) -> NDArray[np.int64]:
        """The items of one user; none for a user number of -1.   Raises: ValueError for one outside -1..U-1."""
        if not NO_USER <= user_number < len(self.indptr) - 1:
            raise ValueError(f"user number {user_number} is outside {NO_USER}..{len(self.indptr) - 2}")
        if user_number == NO_USER:
            return self.items[:0]
        return self.items[self.indptr[user_number] : self.indptr[user_number + 1]]

    def of_each(self, user_numbers: NDArray[np.integer[Any]]) -> list[NDArray[np.int64]]:
        """The items of each of several users.   Raises: ValueError for a user number outside -1..U-1."""
        require_users(user_numbers, len(self.indptr) - 1)
        return [self.of(user_number) for user_number in user_numbers.tolist()]

    def users(self) -> NDArray[np.int64]:
        """The user number of each of the items."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


def require_users(user_numbers: NDArray[np.integer[Any]], count: int) -> None:
    """Raise ValueError for a user number that is neither one of so many users nor nobody's, or not an integer."""
    if len(user_numbers) and not np.issubdtype(user_numbers.dtype, np.integer):
        raise ValueError(f"user numbers are {user_numbers.dtype}; they must be integers")
    for extreme in (user_numbers.min(), user_numbers.max()) if len(user_numbers) else ():
        if not NO_USER <= extreme < count:
            raise ValueError(f"user number {extreme} is outside {NO_USER}..{count - 1}")
