"""Nets that turn numbers of users and items into scores.

Shapes: B batch, D dimension, U users, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.layers import ScaledEmbedding, ZeroEmbedding


class BilinearNet(nn.Module):
    """score(u, i) = sum_d P[u, d] * Q[i, d] + b_u + c_i.

    Parameters, float32, in this order: ``user_embeddings.weight`` P (U, D), ``item_embeddings.weight`` Q (I, D),
    ``user_biases.weight`` b (U, 1), ``item_biases.weight`` c (I, 1). P and Q start as N(0, sd = 1/D), b and c at zero.

    Args:
        num_users, num_items: U and I.
        embedding_dim: D.
        user_embedding_layer, item_embedding_layer: used instead of the tables P and Q; a layer takes ids (B,) or (B, 1)
            and returns (B, D) or (B, 1, D). The biases keep their full size.
        sparse: the four default tables produce sparse gradients.
        generator: where P, then Q, is drawn from; None is torch's global generator.
    """

    def __init__(  # noqa: PLR0917 - the arguments and their order are Spotlight's
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 32,
        user_embedding_layer: nn.Module | None = None,
        item_embedding_layer: nn.Module | None = None,
        sparse: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        if user_embedding_layer is None:
            user_embedding_layer = ScaledEmbedding(num_users, embedding_dim, sparse=sparse, generator=generator)
        if item_embedding_layer is None:
            item_embedding_layer = ScaledEmbedding(num_items, embedding_dim, sparse=sparse, generator=generator)
        self.user_embeddings = user_embedding_layer
        self.item_embeddings = item_embedding_layer
        self.user_biases = ZeroEmbedding(num_users, 1, sparse=sparse)
        self.item_biases = ZeroEmbedding(num_items, 1, sparse=sparse)

    def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        """Return the scores of B pairs, shape (B,), from user_ids and item_ids of shape (B,) or (B, 1)."""
        user_vectors_BD = _rows(self.user_embeddings(user_ids))
        item_vectors_BD = _rows(self.item_embeddings(item_ids))
        # Summed row by row, so that the score of a pair has the same bits in a batch of any size (on the CPU).
        dot_B = (user_vectors_BD * item_vectors_BD).sum(1)
        user_biases_B: Tensor = self.user_biases(user_ids).reshape(-1)
        item_biases_B: Tensor = self.item_biases(item_ids).reshape(-1)
        return dot_B + user_biases_B + item_biases_B


def _rows(vectors: Tensor) -> Tensor:
    if vectors.ndim == 3 and vectors.shape[1] == 1:
        return vectors.squeeze(1)
    if vectors.ndim != 2:
        raise ValueError(f"an embedding layer returned shape {tuple(vectors.shape)}, it must be (B, D) or (B, 1, D)")
    return vectors
