"""From a history to a user's vector, without a training: an affine map of the mean of the items' vectors.

    m = sum_j w_j q_j / sum_j w_j,   y = A m + a,   x = length * y / |y|

w_j is how much an item of the history says, less with age; A and a may depend on the number of items n. Nothing but the
history and the model's arrays enters, so everybody has such a vector as soon as there is one interaction, and each
item's share of a score is known exactly.

Letters used for shapes: U users, I items, D dimensions, P terms of a map, n items of one history, k items to be
explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from model.ranking import SHORTEST
from model.user_items import UserItems

Kind = Literal["mean", "whitened", "affine"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Rows gathered at once: bounds the memory.
ROWS_AT_ONCE = 2**18
# Added to a matrix that is inverted, relative to the mean of its diagonal.
RIDGE = 1e-3
# From so many items on a user's trained vector counts in full.
FULL_HISTORY = 20


class FoldInSettings(NamedTuple):
    """Which map, and how fast a history ages.

    Attributes:
        kind: `mean` is the mean itself; `whitened` takes what everybody chooses out of it and weighs rare directions
            up; `affine`, another map for each size of history, comes nearest to the vectors that a training gave.
        shrinkage: of `whitened`: this times the mean variance of a direction is added to each.
        half_life: age against the user's newest item at which an item says half as much, in the unit of the
            timestamps, with a floor (`model.user_items.LEAST_SHARE`); None: all alike.
    """

    kind: Kind = "mean"
    shrinkage: float = 0.0
    half_life: float | None = None


def check_half_life(half_life: float | None) -> None:
    """Raise ValueError for a half-life that is not finite or not above 0; None is no half-life."""
    if half_life is not None and not (np.isfinite(half_life) and half_life > 0):
        raise ValueError(f"half_life is {half_life}; it must be finite and above 0, or None")


def check_settings(settings: FoldInSettings) -> None:
    """Raise ValueError for a kind that there is not, or a number outside its limits."""
    if settings.kind not in KINDS:
        raise ValueError(f"kind {settings.kind!r} is not one of {', '.join(KINDS)}")
    if not (np.isfinite(settings.shrinkage) and settings.shrinkage >= 0):
        raise ValueError(f"shrinkage is {settings.shrinkage}; it must be finite and 0 or more")
    check_half_life(settings.half_life)


@dataclass(frozen=True, eq=False)
class FoldIn:
    """A map that is ready to be used: A = sum_p g^p A_p and a = sum_p g^p a_p, g = growth(n).

    Attributes:
        matrices: A_p, float32, shape (P, D, D), to be applied from the right: y = m A + a.
        offsets: a_p, float32, shape (P, D).
        length: length of the vectors it gives; that of a vector without a direction is 0.
        half_life: see `FoldInSettings`.
    """

    matrices: NDArray[np.float32]
    offsets: NDArray[np.float32]
    length: float
    half_life: float | None

    def user_vectors(self, item_vectors: NDArray[np.float32], histories: UserItems) -> NDArray[np.float32]:
        """Vectors of the users, float32, shape (U, D); zeros for a user without items."""
        means = item_means(item_vectors, histories, half_life=self.half_life)
        vectors = means @ self.matrices[0] + self.offsets[0]
        growth_U1 = growth(histories.sizes)[:, np.newaxis]
        for power in range(1, len(self.matrices)):
            vectors += growth_U1**power * (means @ self.matrices[power] + self.offsets[power])
        vectors[histories.sizes == 0] = 0.0
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        scales = np.where(lengths > SHORTEST, self.length / np.maximum(lengths, SHORTEST), 0.0)
        found: NDArray[np.float32] = vectors * scales.astype(np.float32)
        return found

    def user_vector(
        self, item_vectors: NDArray[np.float32], items: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """The vector of one user, float32, shape (D,).

        Args:
            items, weights: the history, shape (n,), n at least 1, the weights decayed already.
        """
        shares = (weights / weights.sum()).astype(np.float32)
        matrix, offset = self._of_size(len(items))
        # Not by BLAS, whose sums may depend on where in memory the numbers lie: a restart must give the same bits.
        mean = np.einsum("n,nd->d", shares, item_vectors[items])
        vector = np.einsum("d,de->e", mean, matrix) + offset
        length = float(np.sqrt(np.einsum("d,d->", vector, vector)))
        if length <= SHORTEST:
            return np.zeros_like(vector)
        found: NDArray[np.float32] = vector * np.float32(self.length / length)
        return found

    def contributions(
        self,
        history: NDArray[np.float32],
        weights: NDArray[np.float64],
        *,
        explained: NDArray[np.float32],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How <x, q_i> of k items comes about: shares of the n items of the history, and the rest.

        share of j = length * w_j / sum(w) * <A q_j, q_i> / |y|,   rest = length * <a, q_i> / |y|

        Args:
            history: vectors of the history's items, float32, shape (n, D).
            weights: decayed already, shape (n,).
            explained: vectors of the items to be explained, float32, shape (k, D).
        Returns: float64, shapes (k, n) and (k,). Their sum over n, plus the rest, is <x, q_i>.
        """
        weighted = history.astype(np.float64) * (weights / weights.sum())[:, np.newaxis]
        matrix, offset = self._of_size(len(history))
        mapped = weighted @ matrix.astype(np.float64)
        length = float(np.linalg.norm(mapped.sum(axis=0) + offset))
        scale = self.length / length if length > SHORTEST else 0.0
        vectors = explained.astype(np.float64)
        return scale * vectors @ mapped.T, scale * vectors @ offset.astype(np.float64)

    def _of_size(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A and a for histories of so many items, shapes (D, D) and (D,)."""
        matrix, offset = self.matrices[0], self.offsets[0]
        for power in range(1, len(self.matrices)):
            factor = growth(np.array(size)) ** power
            matrix, offset = matrix + factor * self.matrices[power], offset + factor * self.offsets[power]
        return matrix, offset


def growth(sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """log(1 + n), in units that make it 1 for a full history: how far users know themselves, of the same shape."""
    found: NDArray[np.float32] = (np.log1p(sizes) / np.log1p(FULL_HISTORY)).astype(np.float32)
    return found


def item_means(
    item_vectors: NDArray[np.float32], histories: UserItems, *, half_life: float | None = None
) -> NDArray[np.float32]:
    """m of every user, float32, shape (U, D); zeros without items."""
    weights, indptr = histories.decayed(half_life), histories.indptr
    means = np.zeros((len(histories), item_vectors.shape[1]), dtype=np.float32)
    first = 0
    while first < len(histories):
        # At least one user, however long the history.
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + ROWS_AT_ONCE, side="right")) - 1)
        users = np.arange(first, last)[histories.sizes[first:last] > 0]
        if len(users):
            entries = slice(indptr[first], indptr[last])
            starts = indptr[users] - indptr[first]
            weighted = item_vectors[histories.items[entries]] * weights[entries, np.newaxis].astype(np.float32)
            totals = np.add.reduceat(weights[entries], starts)
            means[users] = np.add.reduceat(weighted, starts, axis=0) / totals[:, np.newaxis]
        first = last
    return means


def learnt_map(
    settings: FoldInSettings,
    item_vectors: NDArray[np.float32],
    histories: UserItems,
    *,
    user_vectors: NDArray[np.float32],
) -> FoldIn:
    """The map that the settings name, learnt from what a training gave.

    mean:      A = 1, a = 0
    whitened:  A = (S + s * trace(S) / D)^-1, a = -A mu, with mu and S the mean and covariance of the chosen items'
               vectors, each as often as it was chosen, and s the shrinkage
    affine:    A = A_0 + g A_1, a = a_0 + g a_1 of the least squares from means to trained vectors; a user counts by
               the number of items, up to 20. The longer a history, the more a trained vector has of its own.

    Args:
        user_vectors: as trained, float32, shape (U, D); their root mean square is the length of the map's vectors.
    Raises: ValueError for settings outside their limits.
    Source for `whitened`: linear discriminant analysis, of one class (the user's items) against all choices.
    """
    check_settings(settings)
    used = histories.sizes > 0
    trained = user_vectors[used].astype(np.float64)
    length = float(np.sqrt((trained**2).sum(axis=1).mean())) if len(trained) else 1.0
    dimensions = item_vectors.shape[1]
    matrix: NDArray[np.float64] = np.eye(dimensions, dtype=np.float64)
    offset: NDArray[np.float64] = np.zeros(dimensions, dtype=np.float64)
    if settings.kind == "whitened" and len(histories.items):
        matrix, offset = _whitened(item_vectors, histories, settings.shrinkage)
    elif settings.kind == "affine" and len(trained):
        means = item_means(item_vectors, histories)[used].astype(np.float64)
        return FoldIn(*_affine(means, trained, histories.sizes[used]), length, settings.half_life)
    return FoldIn(matrix.astype(np.float32)[None], offset.astype(np.float32)[None], length, settings.half_life)


def _whitened(
    item_vectors: NDArray[np.float32], histories: UserItems, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shares = np.bincount(histories.items, minlength=len(item_vectors)) / len(histories.items)
    vectors = item_vectors.astype(np.float64)
    mean = shares @ vectors
    covariance = (vectors * shares[:, np.newaxis]).T @ vectors - np.outer(mean, mean)
    matrix = _inverse(covariance, max(shrinkage, RIDGE))
    # In units of the mean variance, so that numbers stay near 1 whatever the vectors' length.
    matrix *= max(np.trace(covariance) / len(covariance), SHORTEST)
    return matrix, -mean @ matrix


def _affine(
    means: NDArray[np.float64], trained: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A_p, shape (2, D, D), and a_p, shape (2, D)."""
    dimensions, growth_U1 = means.shape[1], growth(sizes)[:, np.newaxis].astype(np.float64)
    features = np.hstack([means, growth_U1 * means, growth_U1])
    counted = np.minimum(sizes, FULL_HISTORY)
    shares = counted / counted.sum()
    centre, mean_of_trained = shares @ features, shares @ trained
    centred = features - centre
    weighted = centred * shares[:, np.newaxis]
    solved = _inverse(weighted.T @ centred, RIDGE) @ (weighted.T @ (trained - mean_of_trained))
    matrices = solved[:-1].reshape(2, dimensions, dimensions).astype(np.float32)
    return matrices, np.stack([mean_of_trained - centre @ solved, solved[-1]]).astype(np.float32)


def _inverse(symmetric: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """The inverse, with `ridge` times the mean of the diagonal added to the diagonal; also of a matrix of zeros."""
    added = max(ridge * float(np.trace(symmetric)) / len(symmetric), SHORTEST)
    return np.linalg.inv(symmetric + added * np.eye(len(symmetric))).astype(np.float64, copy=False)
