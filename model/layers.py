"""Embedding layers with the initialisation factorization models start from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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
