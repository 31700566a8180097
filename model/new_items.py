"""Items that came after a version was trained, with or without a place among its own.

Letters used for shapes: M new items, M' those with a place, K places, D dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class NewItems(NamedTuple):
    """Items that a version does not know.

    Attributes:
        keys: the store's keys, placed items first, ascending among those and among the others, int64, shape (M,).
        places: row of `vectors` of each placed item, int64, shape (M', ), M' <= M.
        vectors, biases: of the places, float32, shapes (K, D) and (K,).
        popularity: r, float64, shape (M,).
    """

    keys: NDArray[np.int64]
    places: NDArray[np.int64]
    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    popularity: NDArray[np.float64]

    @classmethod
    def none(cls, dimensions: int) -> NewItems:
        """No new items."""
        nothing: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        vectors = np.empty((0, dimensions), dtype=np.float32)
        return cls(nothing, nothing, vectors, np.empty(0, np.float32), np.empty(0, np.float64))
