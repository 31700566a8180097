"""The scores of all items for some users as a matrix product, part by part.

A part stays in the cache until it has been looked through: the items are all that is read from memory, once for all
users. Steps of items that are out of everybody's reach are left out.

Letters used for shapes: I items, D dimensions, B users, G groups, S steps, n items of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

# Scores of a part, four megabytes: with less, BLAS prepares itself too often; with more, they leave the cache.
SCORES_OF_A_PART = 2**20
# Items that are left out or looked through together.
ITEMS_OF_A_STEP = 2_048
# Steps of the first part, which tells what is within reach, and how many times as many the next ones may have.
FIRST_STEPS, MORE_STEPS = 2, 4
# Priors that are added at a time, while they are in the first caches.
PRIORS_AT_ONCE = 2**16
# How many columns a product has, where these are enough.
WIDTHS = (1, 2, 4, 8, 16, 20, 24, 32)
# As many as are in use at a time: the event loop's, and one of a thread.
MOST_FREE = 2


def padded_width(num_users: int) -> int:
    """With how many columns, no fewer than the users, BLAS multiplies fastest.

    Its kernels take 4, 8 or 16 columns at a time, and what is left over by fewer: 15 take up to twice as long as 16,
    and 31 half as long again as 32.
    """
    return next((width for width in WIDTHS if width >= num_users), num_users)


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
    within_reach: Callable[[], NDArray[np.bool_]] | None = None,
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
        within_reach: asked before each part, which steps of ITEMS_OF_A_STEP items are still worth it, shape (S,); None
            for all.
    Yields: first item and float32, shape (n, B), to be used, and maybe changed, before the next one is asked for.
    """
    num_items, num_users = len(item_vectors), len(vectors_BD)
    at_once = max(FIRST_STEPS * ITEMS_OF_A_STEP, SCORES_OF_A_PART // num_users)
    vectors_DB = np.ascontiguousarray(vectors_BD.T)
    whole = ((first, first + at_once) for first in range(0, num_items, at_once))
    with scratch.rows(min(at_once, num_items), num_users) as scores:
        for first, last in whole if within_reach is None else _stretches(at_once, within_reach):
            items = slice(first, min(last, num_items))
            part = scores[: items.stop - first]
            np.matmul(item_vectors[items], vectors_DB, out=part)
            if priors_GI is not None and groups_B is not None:
                _add_priors(part, priors_GI[:, items], groups_B)
            yield first, part


def _stretches(at_once: int, within_reach: Callable[[], NDArray[np.bool_]]) -> Iterator[tuple[int, int]]:
    """First items of parts, and what they end before: steps within reach that lie side by side, few at first."""
    step, most = 0, FIRST_STEPS
    while (ahead := within_reach()[step:]).any():
        step += int(ahead.argmax())
        ahead = ahead[int(ahead.argmax()) :]
        count = min(most, len(ahead) if ahead.all() else int(ahead.argmin()))
        yield step * ITEMS_OF_A_STEP, (step + count) * ITEMS_OF_A_STEP
        step, most = step + count, min(MORE_STEPS * most, at_once // ITEMS_OF_A_STEP)


def step_maxima(priors_GI: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest prior of each step of items, float32, shape (G, S)."""
    starts = np.arange(0, priors_GI.shape[1], ITEMS_OF_A_STEP)
    return np.maximum.reduceat(priors_GI, starts, axis=1) if len(starts) else priors_GI


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
