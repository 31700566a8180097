"""One fit of the factorization behind the served score, as arrays.

Letters used for shapes: U users, I items, D dimensions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.training.config import Loss, TrainingConfig
from app.training.dataset import Pairs

# Steps, not rows, move the parameters: with few rows a fit needs more epochs to get anywhere.
SMALLEST_BATCH = 64
STEPS_OF_A_SMALL_EPOCH = 16
FEWEST_EPOCHS = 12
FEWEST_STEPS = 600
ITEMS_PER_NEGATIVE = 10


@dataclass(frozen=True, eq=False)
class Factors:
    """What a fit learnt: float32 arrays user_vectors (U, D), item_vectors (I, D), item_biases (I,).

    A user's own bias is left out: it is the same for all of a user's items, so it orders nothing.
    """

    user_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    epochs: int
    loss: float

    def scores(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """<x_u, q_i> + c_i of all items for some users, shape (B, I)."""
        scores: NDArray[np.float32] = self.user_vectors[users] @ self.item_vectors.T + self.item_biases
        return scores


class Fit(Protocol):
    """How `fit` below is called; a test may pass another."""

    def __call__(
        self,
        numbered: Pairs,
        config: TrainingConfig,
        *,
        epochs: int,
        device: Literal["auto", "cpu", "cuda"],
        seconds: float,
        on_epoch: Callable[[int, float], None],
        check: Callable[[], None],
    ) -> Factors: ...


def loss(num_items: int, config: TrainingConfig) -> Loss:
    """The configured loss; without one, adaptive_hinge where the catalogue is large enough for it, else bpr.

    Among few items the hardest of several negatives is nearly always the item most like the user's own, the very one to
    recommend. With 24 items in two groups, 58 % of a list were of the user's group, and all of it with bpr.
    """
    if config.loss is not None:
        return config.loss
    return "adaptive_hinge" if num_items >= ITEMS_PER_NEGATIVE * config.num_negative_samples else "bpr"


def batch_size(rows: int, config: TrainingConfig) -> int:
    """Rows of one step: the configured number, or, for few rows, so many that an epoch still has some steps."""
    return min(config.batch_size, max(SMALLEST_BATCH, rows // STEPS_OF_A_SMALL_EPOCH))


def epochs(rows: int, config: TrainingConfig) -> int:
    """The configured number; without one, enough for FEWEST_STEPS steps, and FEWEST_EPOCHS at least."""
    if config.n_iter is not None:
        return config.n_iter
    steps = math.ceil(rows / batch_size(rows, config))
    return max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / max(steps, 1)))


def fit(
    numbered: Pairs,
    config: TrainingConfig,
    *,
    epochs: int,
    device: Literal["auto", "cpu", "cuda"],
    seconds: float,
    on_epoch: Callable[[int, float], None],
    check: Callable[[], None],
) -> Factors:
    """Fit `ImplicitFactorizationModel`. One seed, one number of threads and one device give the same bits.

    Args:
        epochs: how many at most.
        seconds: the fit ends with the epoch in which this much time is used up.
        on_epoch: called after each epoch with its number, from 1, and its loss.
        check: called after each batch; an exception it raises ends the fit and reaches the caller.
    Raises: ValueError for a loss or factors that are not finite.
    """
    # Heavy: only a training needs it, not whoever imports the recipe's constants.
    import torch

    from model.factorization.implicit import ImplicitFactorizationModel
    from model.interactions import Interactions

    ends_at = time.monotonic() + seconds

    def epoch_ended(epoch: int, loss: float) -> bool:
        on_epoch(epoch, loss)
        return time.monotonic() >= ends_at

    model = ImplicitFactorizationModel(
        loss=loss(len(numbered.item_keys), config),
        embedding_dim=config.embedding_dim,
        n_iter=epochs,
        batch_size=batch_size(len(numbered), config),
        l2=config.l2,
        learning_rate=config.learning_rate,
        use_cuda=device == "cuda" or (device == "auto" and torch.cuda.is_available()),
        random_state=np.random.RandomState(config.seed),
        num_negative_samples=config.num_negative_samples,
        use_weights=config.use_weights,
        exclude_positives=config.exclude_positives,
    )
    interactions = Interactions(
        numbered.user_numbers,
        numbered.item_numbers,
        weights=numbered.weights,
        num_users=len(numbered.user_keys),
        num_items=len(numbered.item_keys),
    )
    model.fit(interactions, on_epoch=epoch_ended, on_batch=check)
    factors = Factors(
        model.user_vectors, model.item_vectors, model.item_biases, len(model.loss_history), model.loss_history[-1]
    )
    check_finite(factors)
    return factors


def check_finite(factors: Factors) -> None:
    """Raise ValueError naming the array that holds something else than finite numbers."""
    for name in ("user_vectors", "item_vectors", "item_biases"):
        if not np.isfinite(getattr(factors, name)).all():
            raise ValueError(f"the fit's {name} are not finite; a lower learning_rate may keep them so")
