"""Recommenders to be beaten: popularity, what a user had before, item neighbours, and a linear autoencoder.

Each is fitted when it is made, from `Interactions`, and has `scores(user_numbers)`: float32 of shape (B, I), finite,
higher being better. A user number of -1 is somebody without a history.

Letters used for shapes: N interactions, B users, U users in all, I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.items_by_user import NO_USER, require_users
from model.evaluation.ranking import NO_ITEM, rank_rows
from model.interactions import Interactions, checked_times, checked_weights
from model.popularity import decayed_counts, settled_now

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# A dense matrix of items by items in float32 takes 1.6 GB then, and its inverse minutes.
MOST_ITEMS = 20_000
PRODUCTS_AT_ONCE = 2**22
# Keeps an item that nobody has, whose norm is 0, out of the division.
SMALLEST = np.float32(1e-30)


class Popularity:
    """The same for everybody: how often an item was chosen, old interactions counting less.

    Args:
        interactions: with timestamps if there is a half-life.
        half_life: age at which an interaction counts half, in the unit of the timestamps, counted back from about the
            newest one (``model.popularity.settled_now``); None counts all in full.
    Raises: ValueError for a half-life that is not above 0, or has no timestamps or one that is no finite number.
    """

    def __init__(self, interactions: Interactions, *, half_life: float | None = None) -> None:
        weights = _decay(interactions, half_life)
        items = interactions.item_ids.astype(np.int64)
        counted = np.bincount(items, weights=weights, minlength=interactions.num_items)
        self.counts: NDArray[np.float64] = counted.astype(np.float64)
        self._scores_I = self.counts.astype(np.float32)

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """The counts, read-only, for each of B users, shape (B, I)."""
        return np.broadcast_to(self._scores_I, (len(user_numbers), len(self._scores_I)))


class OwnRepeats:
    """First a user's own items, the most frequent first and of equals the more popular; then all others by popularity.

    Args:
        interactions, half_life: as for `Popularity`; the half-life holds for the user's own counts.
        popularity: ranks the other items; by default `Popularity` with the same half-life.
    """

    def __init__(
        self, interactions: Interactions, *, half_life: float | None = None, popularity: Popularity | None = None
    ) -> None:
        popular_I = (popularity or Popularity(interactions, half_life=half_life)).counts
        # Below 1, so that every own item, from 1 on, stands above them.
        self._others_I = (popular_I / (2 * popular_I.max())).astype(np.float32)
        decay = _decay(interactions, half_life)
        counts = _matrix(interactions, np.ones(len(interactions)) if decay is None else decay)
        users = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        keys = (popular_I[counts.indices], counts.data, users)
        order = np.lexsort(keys)
        # Places from the last own item up; own items that are equal in all share one.
        higher = np.zeros(len(order), dtype=np.bool_)
        for key in keys:
            higher[1:] |= np.diff(key[order]) != 0
        levels = np.cumsum(higher)
        counts.data = np.empty(len(order), dtype=np.float32)
        counts.data[order] = 1 + levels - levels[counts.indptr[users[order]]]
        self._own = counts

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Places of own items from 1 up, others below 1, shape (B, I)."""
        own_BI: NDArray[np.float32] = _rows(self._own, user_numbers).toarray()
        return np.where(own_BI > 0, own_BI, self._others_I)


class ItemKNN:
    """Items like those the user has: score(u, i) = sum of x_uj * s_ij over the items j among i's nearest.

    s_ij = <x_i, x_j> / (|x_i| |x_j| + shrinkage), x_i the column of item i in the matrix of users by items; of these an
    item keeps its `neighbours` largest, itself not among them. Nobody's items score 0.

    Args:
        neighbours: how many similar items an item has at most.
        shrinkage: damps similarities that rest on few users.
        use_weights: x_ui is the summed weight of the pair's interactions; without, 1.
    Raises: ValueError without weights where they are wanted, for one that is not finite or negative, fewer than one
        neighbour, or a negative shrinkage.
    Source: Sarwar et al. 2001; the shrinkage, Bell and Koren 2007.
    """

    def __init__(
        self, interactions: Interactions, *, neighbours: int = 100, shrinkage: float = 0.0, use_weights: bool = False
    ) -> None:
        if neighbours < 1 or not shrinkage >= 0:
            raise ValueError(f"neighbours is {neighbours}, at least 1; shrinkage is {shrinkage}, at least 0")
        if use_weights and interactions.weights is None:
            raise ValueError("use_weights needs interactions with weights, and these have none")
        from scipy.sparse import csr_matrix

        weights = checked_weights(interactions.weights) if use_weights and interactions.weights is not None else None
        self._matrix = _matrix(interactions, weights)
        norms_I = np.sqrt(np.asarray(self._matrix.multiply(self._matrix).sum(axis=0), dtype=np.float32).ravel())
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        for start, products_bI in _products(self._matrix):
            rows = np.arange(start, start + len(products_bI))
            norms_bI = norms_I[rows, np.newaxis] * norms_I + np.float32(shrinkage)
            similar_bI = (products_bI / np.maximum(norms_bI, SMALLEST)).astype(np.float32, copy=False)
            similar_bI[np.arange(len(rows)), rows] = 0
            similar_bI[similar_bI <= 0] = -np.inf
            nearest_bK = rank_rows(similar_bI, k=neighbours)
            places, kept = np.nonzero(nearest_bK != NO_ITEM)
            nearest = nearest_bK[places, kept]
            found.append((nearest, rows[places], similar_bI[places, nearest]))
        near, of, similarities = (np.concatenate(column) for column in zip(*found, strict=True))
        self._similarities = csr_matrix((similarities, (near, of)), shape=2 * (interactions.num_items,))

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Sums of similarities, shape (B, I)."""
        scores: NDArray[np.float32] = (_rows(self._matrix, user_numbers) @ self._similarities).toarray()
        return scores


class EASE:
    """A linear autoencoder that may not use an item to predict itself: scores = X B, in closed form.

    P = (X' X + regularization * 1)^-1, B_ij = -P_ij / P_jj off the diagonal and 0 on it; X holds 1 for each pair.
    Nobody's items score 0. One dense matrix of I x I float32 is held; a fit takes about I^3 floating-point operations.

    Args:
        regularization: lambda; hundreds for a million pairs.
    Raises: ValueError for more than `MOST_ITEMS` items, or a regularization that is not finite or too small for the
        inverse to exist.
    Source: Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data.
    """

    def __init__(self, interactions: Interactions, *, regularization: float = 300.0) -> None:
        num_items = interactions.num_items
        if num_items > MOST_ITEMS:
            raise ValueError(f"{num_items} items need {4e-9 * num_items**2:.1f} GB at once; the limit is {MOST_ITEMS}")
        if not 0 < regularization < np.inf:
            raise ValueError(f"regularization is {regularization}; it must be finite and above 0")
        self._matrix = _matrix(interactions, None)
        gram_II = np.empty((num_items, num_items), dtype=np.float32)
        for start, products_bI in _products(self._matrix):
            gram_II[start : start + len(products_bI)] = products_bI
        gram_II[np.diag_indices(num_items)] += np.float32(regularization)
        _invert(gram_II)
        gram_II /= -gram_II.diagonal()
        np.fill_diagonal(gram_II, 0)
        self._weights_II = gram_II

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Rows of X B, shape (B, I)."""
        scores: NDArray[np.float32] = _rows(self._matrix, user_numbers) @ self._weights_II
        return scores


def _decay(interactions: Interactions, half_life: float | None) -> NDArray[np.float64] | None:
    """2^(-age / half-life) of each interaction, shape (N,); None without a half-life."""
    if half_life is None:
        return None
    if interactions.timestamps is None:
        raise ValueError("a half-life needs timestamps, and these interactions have none")
    kind = np.int64 if interactions.timestamps.dtype.kind in "iu" else np.float64
    times: NDArray[Any] = checked_times(interactions.timestamps).astype(kind)
    # Each row as an item of its own: one definition of ages and their weights in the library.
    return decayed_counts(
        np.arange(len(times)), times, num_items=len(times), half_life_us=half_life, newest_us=settled_now(times)
    )


def _matrix(interactions: Interactions, weights: NDArray[Any] | None) -> csr_matrix:
    """Users by items, float32: the summed weights of each pair's interactions, or 1 for each pair without weights."""
    from scipy.sparse import csr_matrix

    data = np.ones(len(interactions)) if weights is None else weights
    places = (interactions.user_ids.astype(np.int64), interactions.item_ids.astype(np.int64))
    matrix = csr_matrix((data, places), shape=(interactions.num_users, interactions.num_items)).astype(np.float32)
    if weights is None:
        matrix.data[:] = 1
    return matrix


def _rows(matrix: csr_matrix, user_numbers: NDArray[np.integer[Any]]) -> csr_matrix:
    """The rows of some users; an empty one for a user number of -1.   Raises: ValueError for one out of range."""
    require_users(user_numbers, matrix.shape[0])
    known = user_numbers != NO_USER
    rows = matrix[np.where(known, user_numbers, 0)]
    rows.data[np.repeat(~known, np.diff(rows.indptr))] = 0
    return rows


def _products(matrix: csr_matrix) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Rows of X' X, some at once: the first one's number and the dense rows, shape (b, I)."""
    columns = matrix.T.tocsr()
    step = max(1, PRODUCTS_AT_ONCE // matrix.shape[1])
    for start in range(0, matrix.shape[1], step):
        yield start, (columns[start : start + step] @ matrix).toarray()


def _invert(symmetric_II: NDArray[np.float32]) -> None:
    """Replace a positive definite matrix by its inverse, in place: Cholesky, which needs no second matrix."""
    from scipy.linalg import lapack

    # LAPACK reads columns first: the transposed view of a symmetric matrix is the matrix itself, without a copy.
    triangle, failed = lapack.spotrf(symmetric_II.T, lower=True, overwrite_a=True)
    if not failed:
        triangle, failed = lapack.spotri(triangle, lower=True, overwrite_c=True)
    if failed:
        raise ValueError("the matrix has no inverse in float32: a larger regularization is needed")
    symmetric_II[:] = triangle.T
    step = 512
    for start in range(0, len(symmetric_II), step):
        stop = start + step
        block = symmetric_II[start:stop, start:stop]
        block[:] = np.triu(block) + np.triu(block, 1).T
        symmetric_II[stop:, start:stop] = symmetric_II[start:stop, stop:].T
