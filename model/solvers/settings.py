"""What a solver may be told beyond the model's own arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Similarity = Literal["cosine", "dot"]


@dataclass(frozen=True)
class PooledSoftmax:
    """Settings of the pooled solver, ``ImplicitFactorizationModel(loss="softmax", solver=PooledSoftmax(...))``.

    Args:
        similarity: ``cosine`` or ``dot``.
        temperature: what the similarity is divided by, above 0.
        pool_size: items each batch is contrasted with; the whole catalogue where it has no more than these.
        negative_weight: t, the weight on the negative side; a little above 1 favours rare items.
        dropout: share of the numbers of a user's vector that a step leaves out, below 1.
        item_bias: learn a bias for each item.
        history: weight of the mean of the user's item vectors beside the user's own vector; 0 leaves it out. What a
            step is to find is never part of that mean.
        block: most interactions of one user that share a row of the matrix product.
        top_k: weigh interactions by the chance that they are among the user's best k; None weighs them alike.
    Raises: ValueError for a value outside its limits.
    """

    similarity: Similarity = "cosine"
    temperature: float = 0.1
    pool_size: int = 4_096
    negative_weight: float = 1.0
    dropout: float = 0.1
    item_bias: bool = False
    history: float = 0.0
    block: int = 16
    top_k: int | None = None

    def __post_init__(self) -> None:
        if self.similarity not in {"cosine", "dot"}:
            raise ValueError(f"similarity {self.similarity!r} is not one of cosine, dot")
        for name in ("temperature", "negative_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be finite and above 0")
        if not (math.isfinite(self.history) and self.history >= 0):
            raise ValueError(f"history is {self.history}; it must be finite and 0 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        for name in ("pool_size", "block", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
