"""Embedding layers with the initialisation factorization models start from.

Letters used for shapes: B batch, T ids of a sequence, D dimension, H hash functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.hashing import murmurhash3_32

SEEDS = tuple(number * 0x9E3779B1 % 2**32 for number in range(1, 25))
"""One for each hash function of a ``BloomEmbedding``: multiples of 2**32 by the golden ratio, which lie far apart.

Changing them changes what the rows of a trained table mean.
"""


class ScaledEmbedding(nn.Embedding):
    """An embedding that starts as N(0, sd = 1 / embedding_dim); the row ``padding_idx``, if any, is zero.

    Args:
        num_embeddings, embedding_dim, padding_idx and the rest: as in ``torch.nn.Embedding``.
        generator: the torch generator the values are drawn from; None draws from torch's global one.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        generator: torch.Generator | None = None,
        **settings: Any,  # noqa: ANN401 - passed through to torch.nn.Embedding
    ) -> None:
        drawn = settings.get("_weight") is None
        if drawn:
            settings["_weight"] = _scaled_table(num_embeddings, embedding_dim, generator, settings)
        super().__init__(num_embeddings, embedding_dim, padding_idx, **settings)
        if drawn:
            _fill_row_with_zeros(self.weight, self.padding_idx)

    def reset_parameters(self) -> None:
        """Draw the values again, from torch's global generator."""
        nn.init.normal_(self.weight, 0.0, 1.0 / self.embedding_dim)
        _fill_row_with_zeros(self.weight, self.padding_idx)


class ZeroEmbedding(nn.Embedding):
    """An embedding that starts at zero: what biases start from. Arguments as in ``torch.nn.Embedding``."""

    def reset_parameters(self) -> None:
        """Set every value to zero."""
        nn.init.zeros_(self.weight)


class ScaledEmbeddingBag(nn.EmbeddingBag):
    """``torch.nn.EmbeddingBag`` that starts as N(0, sd = 1 / embedding_dim); ``padding_idx``, if any, is zero.

    Args:
        num_embeddings, embedding_dim and the rest: as in ``torch.nn.EmbeddingBag``.
        generator: the torch generator the values are drawn from; None draws from torch's global one.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        generator: torch.Generator | None = None,
        **settings: Any,  # noqa: ANN401 - passed through to torch.nn.EmbeddingBag
    ) -> None:
        drawn = settings.get("_weight") is None
        if drawn:
            settings["_weight"] = _scaled_table(num_embeddings, embedding_dim, generator, settings)
        super().__init__(num_embeddings, embedding_dim, **settings)
        if drawn:
            _fill_row_with_zeros(self.weight, self.padding_idx)

    def reset_parameters(self) -> None:
        """Draw the values again, from torch's global generator."""
        nn.init.normal_(self.weight, 0.0, 1.0 / self.embedding_dim)
        _fill_row_with_zeros(self.weight, self.padding_idx)


class BloomEmbedding(nn.Module):
    """An embedding with fewer rows than ids: the vector of an id is the sum of the rows its hash functions choose.

    Two ids share some rows by chance but hardly all, so the table is smaller by ``compression_ratio`` and ids stay
    apart. Row k of an id x is murmurhash3_32(x, SEEDS[k]), as a signed number, modulo the number of rows. The id
    ``padding_idx`` has the vector 0: all its rows are row 0, which is zero and not trained (for another id that is
    hashed there it adds nothing).

    Args:
        num_embeddings: how many ids there are.
        embedding_dim: D.
        compression_ratio: rows = int(compression_ratio * num_embeddings); may exceed 1.
        num_hash_functions: H, at most 24.
        bag: add the rows up with ``ScaledEmbeddingBag``, which does not hold (B, T, H, D) numbers in between; the sums
            are the same up to rounding.
        padding_idx: the id whose vector is zero; None for no such id, and then row 0 is like any other.
        sparse: the table produces sparse gradients.
        generator: the torch generator the values are drawn from; None draws from torch's global one.

    The one parameter is ``embeddings.weight``, (rows, D), from N(0, sd = 1 / D).

    Raises: ValueError for an argument outside its limits.
    Source: Serrà and Karatzoglou 2017 (Getting deep recommenders fit: Bloom embeddings).
    """

    row_of_hash: Tensor

    def __init__(  # noqa: PLR0917 - the arguments and their order are Spotlight's
        self,
        num_embeddings: int,
        embedding_dim: int,
        compression_ratio: float = 0.2,
        num_hash_functions: int = 4,
        bag: bool = False,
        padding_idx: int | None = 0,
        *,
        sparse: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.compression_ratio = compression_ratio
        self.num_hash_functions = num_hash_functions
        self.padding_idx = padding_idx
        rows = self._checked_rows()
        padding_row = None if padding_idx is None else 0
        self.embeddings: ScaledEmbedding | ScaledEmbeddingBag
        if bag:
            self.embeddings = ScaledEmbeddingBag(
                rows, embedding_dim, mode="sum", padding_idx=padding_row, sparse=sparse, generator=generator
            )
        else:
            self.embeddings = ScaledEmbedding(rows, embedding_dim, padding_row, sparse=sparse, generator=generator)
        # It follows from the arguments, so it is not saved; as a buffer it follows the module to its device.
        self.register_buffer("row_of_hash", self._hashed(rows), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of ids: (B,) -> (B, 1, D), (B, T) -> (B, T, D).

        Raises: IndexError for an id outside 0..num_embeddings-1, ValueError for another number of axes.
        """
        if ids.ndim not in {1, 2}:
            raise ValueError(f"ids have the shape {tuple(ids.shape)}, it must be (B,) or (B, T)")
        ids_BT = ids if ids.ndim == 2 else ids.unsqueeze(1)
        rows_H = self.row_of_hash.index_select(0, ids_BT.reshape(-1))
        if isinstance(self.embeddings, ScaledEmbeddingBag):
            vectors: Tensor = self.embeddings(rows_H)
        else:
            vectors = self.embeddings(rows_H).sum(1)
        return vectors.view(*ids_BT.shape, self.embedding_dim)

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return f"{self.num_embeddings}, {self.embedding_dim}, num_hash_functions={self.num_hash_functions}"

    def _checked_rows(self) -> int:
        if not 1 <= self.num_embeddings <= 2**31:
            raise ValueError(f"num_embeddings is {self.num_embeddings}; it must be in 1..{2**31}")
        if not 1 <= self.num_hash_functions <= len(SEEDS):
            raise ValueError(f"num_hash_functions is {self.num_hash_functions}; it must be in 1..{len(SEEDS)}")
        if self.padding_idx is not None and not 0 <= self.padding_idx < self.num_embeddings:
            raise ValueError(f"padding_idx is {self.padding_idx}; it must be in 0..{self.num_embeddings - 1} or None")
        wanted = self.compression_ratio * self.num_embeddings
        if not 1 <= wanted < 2**31:
            raise ValueError(
                f"compression_ratio {self.compression_ratio} of {self.num_embeddings} ids gives {wanted} rows; "
                "it must give at least 1"
            )
        return int(wanted)

    def _hashed(self, rows: int) -> Tensor:
        ids = np.arange(self.num_embeddings)
        hashes = [murmurhash3_32(ids, seed).view(np.int32) for seed in SEEDS[: self.num_hash_functions]]
        row_of_hash = np.stack(hashes, axis=1).astype(np.int64) % rows
        if self.padding_idx is not None:
            row_of_hash[self.padding_idx] = 0
        return torch.from_numpy(row_of_hash)


def _scaled_table(
    num_embeddings: int, embedding_dim: int, generator: torch.Generator | None, settings: dict[str, Any]
) -> Tensor:
    if num_embeddings < 1 or embedding_dim < 1:
        raise ValueError(f"an embedding of {num_embeddings} x {embedding_dim} is empty; both must be at least 1")
    # Drawn here and handed over, because torch's own constructor would draw from its global generator.
    table = torch.empty(num_embeddings, embedding_dim, device=settings.get("device"), dtype=settings.get("dtype"))
    return table.normal_(0.0, 1.0 / embedding_dim, generator=generator)


def _fill_row_with_zeros(weight: Tensor, row: int | None) -> None:
    if row is not None:
        with torch.no_grad():
            weight[row].zero_()
