"""The scores of all items for some users as a matrix product, part by part.

A part stays in the cache until it has been looked through: the items are all that is read from memory, once for all
users.

Letters used for shapes: I items, D dimensions, B users, G groups, n items of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

# Scores of a part, two megabytes: with less, BLAS prepares itself too often; with more, they leave the cache.
SCORES_OF_A_PART = 2**19
# Priors that are added at a time, while they are in the first caches.
PRIORS_AT_ONCE = 2**16
# As many as are in use at a time: the event loop's, and one of a thread.
MOST_FREE = 2


def padded_width(num_users: int) -> int:
    """With how many columns, no fewer than the users, BLAS multiplies fastest.

    Its kernels take 4, 8 or 16 columns at a time, and what is left over by fewer: 15 take up to twice as long as 16.
    """
    return next((width for width in (1, 2, 4, 8, 16) if width >= num_users), num_users)


class Scratch:
    """Memory for parts, used again: asking the system for it each time takes a tenth of a product's time."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.float32]] = []

    @contextmanager
    def rows(self, count: int, length: int) -> Iterator[NDArray[np.float32]]:
        """So many rows of any content, float32, for the time of the block; nobody else has them meanwhile."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, dtype=np.float32)
        if len(memory) < count * length:
            memory = np.empty(count * length, dtype=np.float32)
        try:
            yield memory[: count * length].reshape(count, length)
        finally:
            if len(self._free) < MOST_FREE:
                self._free.append(memory)


def products(
    item_vectors: NDArray[np.float32],
    vectors_BD: NDArray[np.float32],
    scratch: Scratch,
    *,
    priors_GI: NDArray[np.float32] | None = None,
    groups_B: NDArray[np.integer] | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Parts of <q_i, x_b> + priors[group of b, i], each with the number of its first item.

    BLAS reads the items once for all users, and a part stays as BLAS writes it, item by item: with the users as its
    rows a product takes up to twice as long, and turning it half as long again. The priors are a product too, with a 1
    for each user's group.

    Args:
        item_vectors: float32, shape (I, D).
        vectors_BD: float32, shape (B, D), B at least 1.
        priors_GI: float32, finite, shape (G, I) or longer; None for nothing.
        groups_B: shape (B,).
    Yields: first item and float32, shape (n, B), to be used, and maybe changed, before the next one is asked for.
    """
    num_items, num_users = len(item_vectors), len(vectors_BD)
    at_once = max(1, SCORES_OF_A_PART // num_users)
    vectors_DB = np.ascontiguousarray(vectors_BD.T)
    with scratch.rows(min(at_once, num_items), num_users) as scores:
        for first in range(0, num_items, at_once):
            items = slice(first, min(first + at_once, num_items))
            part = scores[: items.stop - first]
            np.matmul(item_vectors[items], vectors_DB, out=part)
            if priors_GI is not None and groups_B is not None:
                _add_priors(part, priors_GI[:, items], groups_B)
            yield first, part


def _add_priors(part: NDArray[np.float32], priors_Gn: NDArray[np.float32], groups_B: NDArray[np.integer]) -> None:
    """part[n, b] += priors[group of b, n]."""
    if len(groups_B) == 1:
        part[:, 0] += priors_Gn[groups_B[0]]
        return
    of_group_GB = (np.arange(len(priors_Gn))[:, np.newaxis] == groups_B).astype(np.float32)
    at_once = max(1, PRIORS_AT_ONCE // len(groups_B))
    added = np.empty((min(at_once, len(part)), len(groups_B)), dtype=np.float32)
    for start in range(0, len(part), at_once):
        some = part[start : start + at_once]
        some += np.matmul(priors_Gn[:, start : start + at_once].T, of_group_GB, out=added[: len(some)])
