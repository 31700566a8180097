"""Means of the vectors of users' items, and the way back of their gradients.

Letters used for shapes: R users, H their items one after another, J distinct ones among these, D dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(frozen=True)
class ItemsOfUsers:
    """The items of R users: item h is of user users[h], and stands at places[h] of all users' items.

    Attributes:
        places: int64, shape (H,).
        users: numbers from 0 to R - 1, ascending, int64, shape (H,).
        count: R.
    """

    places: Tensor
    users: Tensor
    count: int

    @classmethod
    def of(cls, users: Tensor, indptr: Tensor, *, total: int | None = None) -> ItemsOfUsers:
        """The places indptr[u] to indptr[u + 1] of each of some users, shape (R,).

        A `total` of how many there are, if given, spares the host to wait for a device.
        """
        starts = indptr[users]
        counts = indptr[users + 1] - starts
        firsts = counts.cumsum(0) - counts
        everyone = torch.arange(len(users), device=users.device)
        rows = torch.repeat_interleave(everyone, counts, output_size=total)
        places = torch.arange(len(rows), device=users.device) + (starts - firsts)[rows]
        return cls(places, rows, len(users))

    def without(self, marked: Tensor) -> ItemsOfUsers:
        """Those at places that are not marked; `marked` is a bool for each place there is."""
        # Found once: each use of a mask would look for its places again.
        kept = (~marked[self.places]).nonzero()[:, 0]
        return ItemsOfUsers(self.places[kept], self.users[kept], self.count)


@dataclass(frozen=True)
class Means:
    """The mean of each of R users over vectors of J distinct items.

    Attributes:
        items: the distinct items, int64, shape (J,).
        item_of: which of them each of the H is, int64, shape (H,).
        users: whose it is, ascending, int64, shape (H,).
        shares: 1 / number of items of each user, 0 without items, shape (R,).
        by_item: the H in the order of their items, int64, shape (H,), and which item each of them is, ascending.
    """

    items: Tensor
    item_of: Tensor
    users: Tensor
    shares: Tensor
    by_item: tuple[Tensor, Tensor]

    @classmethod
    def over(cls, items: Tensor, users: Tensor, *, count: int) -> Means:
        """Means of `count` users over items (H,), of which item h is of user users[h]."""
        ordered, order = torch.sort(items, stable=True)
        distinct, nth = torch.unique_consecutive(ordered, return_inverse=True)
        item_of = torch.empty_like(nth).index_copy_(0, order, nth)
        counts = torch.bincount(users, minlength=count)
        return cls(distinct, item_of, users, (counts > 0) / counts.clamp_min(1), (order, nth))

    def forward(self, vectors_JD: Tensor) -> Tensor:
        """The means, shape (R, D)."""
        return _sums(vectors_JD, self.item_of, self.users, count=len(self.shares)) * self.shares[:, None]

    def backward(self, gradient_RD: Tensor) -> Tensor:
        """From the gradient of the means to that of the vectors, shape (J, D)."""
        order, nth = self.by_item
        shared = gradient_RD * self.shares[:, None]
        return _sums(shared, self.users[order], nth, count=len(self.items))


def means_of_all(vectors_ID: Tensor, items: Tensor, indptr: Tensor, *, at_once: int = 65_536) -> Tensor:
    """The mean of every user, shape (U, D): the vectors of items[indptr[u]:indptr[u + 1]], zero without items.

    So many users `at_once` bound the memory.
    """
    means = torch.zeros(len(indptr) - 1, vectors_ID.shape[1], device=vectors_ID.device)
    for start in range(0, len(means), at_once):
        ends = indptr[start : start + at_once + 1]
        counts = ends.diff()
        some = items[int(ends[0]) : int(ends[-1])]
        if len(some):
            sums = embedding_bag(some, vectors_ID, ends - ends[0], mode="sum", include_last_offset=True)
            means[start : start + at_once] = sums / counts.clamp_min(1)[:, None]
    return means


def _sums(vectors: Tensor, picked: Tensor, into: Tensor, *, count: int) -> Tensor:
    """Add up vectors[picked[h]] into row into[h], shape (count, D); `into` is ascending."""
    if not len(picked):
        return torch.zeros(count, vectors.shape[1], device=vectors.device)
    starts = torch.searchsorted(into, torch.arange(count + 1, device=into.device))
    return embedding_bag(picked, vectors, starts, mode="sum", include_last_offset=True)
