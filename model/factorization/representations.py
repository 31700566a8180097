"""Nets that turn numbers of users and items into scores.

Shapes: B batch, D dimension, U users, I items.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.layers import ScaledEmbedding, ZeroEmbedding
from model.solvers.settings import Similarity

# A shorter vector has no direction that float32 could tell.
SHORTEST = 1e-12


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


def check_rows(net: nn.Module | None, num_users: int, num_items: int) -> None:
    """Raise ValueError for a `BilinearNet` with fewer users or items than there are; of other nets nobody knows."""
    if not isinstance(net, BilinearNet):
        return
    for kind, table, count in (("users", net.user_biases, num_users), ("items", net.item_biases, num_items)):
        if table.num_embeddings < count:
            raise ValueError(f"the representation has {table.num_embeddings} {kind}, the interactions have {count}")


class SoftmaxNet(nn.Module):
    """score(u, i) = similarity(P_u + history * m_u, Q_i) / temperature + c_i, without a bias of the user.

    m_u is the mean of the vectors of the user's items, which for cosine are of length 1. It is computed from Q and is
    no parameter: ``user_means`` keeps what it was when the solver computed it last.

    Parameters, float32: ``user_embeddings.weight`` P (U, D), ``item_embeddings.weight`` Q (I, D), and, with
    ``item_bias``, ``item_biases.weight`` c (I, 1). P and Q start as N(0, sd = 1/sqrt(D)): rows of length about 1. c
    starts at zero.

    Args:
        num_users, num_items, embedding_dim: U, I and D.
        similarity: ``cosine``, <P_u, Q_i> / (|P_u| |Q_i|), or ``dot``, <P_u, Q_i>.
        temperature: above 0.
        item_bias: whether there is a c.
        history: weight of m; 0 leaves it out.
        generator: where P, then Q, is drawn from; None is torch's global generator.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int,
        *,
        similarity: Similarity,
        temperature: float,
        item_bias: bool,
        history: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.similarity = similarity
        self.temperature = temperature
        self.user_embeddings = _unit_embedding(num_users, embedding_dim, generator)
        self.item_embeddings = _unit_embedding(num_items, embedding_dim, generator)
        self.item_biases = ZeroEmbedding(num_items, 1) if item_bias else None
        self.history = history
        self.user_means: Tensor | None
        self.register_buffer("user_means", torch.zeros(num_users, embedding_dim) if history else None)

    def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        """Return the scores of B pairs, shape (B,), from user_ids and item_ids of shape (B,)."""
        users_BD, items_BD = self.user_embeddings(user_ids), self.item_embeddings(item_ids)
        if self.user_means is not None:
            users_BD = users_BD + self.history * self.user_means[user_ids]
        users_BD, items_BD = self.compared(users_BD), self.compared(items_BD)
        scores_B: Tensor = (users_BD * items_BD).sum(1) / self.temperature
        if self.item_biases is not None:
            scores_B = scores_B + self.item_biases(item_ids).reshape(-1)
        return scores_B

    def compared(self, vectors: Tensor) -> Tensor:
        """Vectors as they enter a product, shape (n, D): at length 1 where the similarity is cosine."""
        return normalised(vectors)[0] if self.similarity == "cosine" else vectors

    def user_vectors(self) -> Tensor:
        """What scores are products of, shape (U, D): P + history * m, at length 1 where the similarity is cosine."""
        vectors: Tensor = self.user_embeddings.weight.detach()
        return self.compared(vectors if self.user_means is None else vectors + self.history * self.user_means)

    def item_vectors(self) -> Tensor:
        """What scores are products of, shape (I, D): Q, at length 1 for cosine, over the temperature."""
        vectors: Tensor = self.item_embeddings.weight.detach()
        return self.compared(vectors) / self.temperature


def normalised(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Rows at length 1, and the lengths they had, shape (n, 1); a row of zeros stays as it is."""
    norms = vectors.norm(dim=1, keepdim=True).clamp_min(SHORTEST)
    return vectors / norms, norms


def _unit_embedding(rows: int, columns: int, generator: torch.Generator | None) -> nn.Embedding:
    drawn = torch.empty(rows, columns).normal_(0.0, 1.0 / math.sqrt(columns), generator=generator)
    return nn.Embedding(rows, columns, _weight=drawn)


def _rows(vectors: Tensor) -> Tensor:
    if vectors.ndim == 3 and vectors.shape[1] == 1:
        return vectors.squeeze(1)
    if vectors.ndim != 2:
        raise ValueError(f"an embedding layer returned shape {tuple(vectors.shape)}, it must be (B, D) or (B, 1, D)")
    return vectors
