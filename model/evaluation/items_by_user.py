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
        order = np.lexsort((item_numbers, user_numbers))
        users = user_numbers[order].astype(np.int64)
        items = item_numbers[order].astype(np.int64)
        if len(users) and (users[0] < 0 or users[-1] >= num_users):
            raise ValueError(f"user number {users[0] if users[0] < 0 else users[-1]} is outside 0..{num_users - 1}")
        first = np.ones(len(users), dtype=np.bool_)
        first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        indptr = np.zeros(num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users[first], minlength=num_users), out=indptr[1:])
        return cls(indptr, items[first])

    def of(self, user_number: int) -> NDArray[np.int64]:
        """The items of one user; none for a user number of -1."""
        if user_number == NO_USER:
            return self.items[:0]
        return self.items[self.indptr[user_number] : self.indptr[user_number + 1]]

    def of_each(self, user_numbers: NDArray[np.integer[Any]]) -> list[NDArray[np.int64]]:
        """The items of each of several users."""
        return [self.of(user_number) for user_number in user_numbers.tolist()]

    def users(self) -> NDArray[np.int64]:
        """The user number of each of the items."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
