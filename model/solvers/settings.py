"""What a solver may be told beyond the model's own arguments."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Literal, SupportsIndex

Similarity = Literal["cosine", "dot"]

BATCH_LOSSES = ("pointwise", "bpr", "hinge", "adaptive_hinge", "log_bpr", "logistic")
"""What the compiled solver of minibatches knows."""
SGD_LOSSES = ("pointwise", "bpr", "hinge", "log_bpr", "logistic", "warp")
"""What the compiled solver of single interactions knows."""


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
        for name in ("temperature", "negative_weight", "history", "dropout"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("pool_size", "block"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if self.top_k is not None:
            object.__setattr__(self, "top_k", _whole("top_k", self.top_k))


@dataclass(frozen=True)
class CompiledSGD:
    """Settings of the compiled solver that learns from one interaction at a time, ``solver=CompiledSGD(...)``.

    Args:
        optimizer: ``sgd``, or ``adagrad``: each number's step divided by the root of its summed squared gradients.
        threads: how many at most; small catalogues get fewer. They work on different rows, so that a seed and a number
            of threads give the same bits.
    Raises: ValueError for a value outside its limits.
    """

    optimizer: Literal["sgd", "adagrad"] = "sgd"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.optimizer not in {"sgd", "adagrad"}:
            raise ValueError(f"optimizer {self.optimizer!r} is not one of sgd, adagrad")
        object.__setattr__(self, "threads", _whole("threads", self.threads))


def _whole(name: str, value: SupportsIndex) -> int:
    """The number as Python's own, which a saved model can hold.   Raises: ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value}; it must be a whole number") from None
    if number < 1:
        raise ValueError(f"{name} is {number}; it must be at least 1")
    return number
