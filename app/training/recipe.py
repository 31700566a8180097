"""One fit of the factorization behind the served score, as arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from app.training.config import TrainingConfig
from app.training.dataset import Pairs
from model.policy import Learnt

# Steps, not rows, move the parameters: with few rows a fit needs more epochs to get anywhere.
SMALLEST_BATCH = 64
STEPS_OF_A_SMALL_EPOCH = 16
FEWEST_EPOCHS = 12
FEWEST_STEPS = 600


class Fitted(NamedTuple):
    """What a fit learnt, in how many epochs, and the loss of the last.

    A user's own bias is left out: it is the same for all of a user's items, so it orders nothing.
    """

    learnt: Learnt
    epochs: int
    loss: float


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
    ) -> Fitted: ...


def batch_size(rows: int, config: TrainingConfig) -> int:
    """Rows of one step: the wanted number, or, for few rows, so many that an epoch still has some steps."""
    wanted = config.batch_size or (4096 if config.loss == "softmax" else 1024)
    return min(wanted, max(SMALLEST_BATCH, rows // STEPS_OF_A_SMALL_EPOCH))


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
) -> Fitted:
    """Fit `ImplicitFactorizationModel`. One seed, one number of threads and one device give the same bits.

    Args:
        epochs: how many at most.
        seconds: the fit ends with the epoch in which this much time is used up.
        on_epoch: called after each epoch with its number, from 1, and its loss.
        check: called after each batch; an exception it raises ends the fit and reaches the caller.
    Raises: ValueError for a loss or arrays that are not finite.
    """
    # Heavy: only a training needs it, not whoever imports the recipe's constants.
    import torch

    from model.factorization.implicit import ImplicitFactorizationModel
    from model.interactions import Interactions
    from model.solvers.settings import PooledSoftmax

    ends_at = time.monotonic() + seconds

    def epoch_ended(epoch: int, loss: float) -> bool:
        on_epoch(epoch, loss)
        return time.monotonic() >= ends_at

    of_loss: dict[str, Any] = {"learning_rate": config.learning_rate or 0.005}
    if config.loss == "softmax":
        pooled = PooledSoftmax(
            temperature=config.temperature,
            history=config.history,
            negative_weight=config.negative_weight,
            pool_size=config.pool_size,
            dropout=0.0,
        )
        of_loss = {"learning_rate": config.learning_rate or 0.03, "solver": pooled}
    model = ImplicitFactorizationModel(
        loss=config.loss,
        embedding_dim=config.embedding_dim,
        n_iter=epochs,
        batch_size=batch_size(len(numbered), config),
        l2=config.l2,
        use_cuda=device == "cuda" or (device == "auto" and torch.cuda.is_available()),
        random_state=np.random.RandomState(config.seed),
        num_negative_samples=config.num_negative_samples,
        use_weights=config.use_weights,
        exclude_positives=config.exclude_positives,
        **of_loss,
    )
    interactions = Interactions(
        numbered.user_numbers,
        numbered.item_numbers,
        weights=numbered.weights,
        num_users=len(numbered.user_keys),
        num_items=len(numbered.item_keys),
    )
    model.fit(interactions, on_epoch=epoch_ended, on_batch=check)
    learnt = Learnt(model.user_vectors, model.item_vectors, model.item_biases)
    check_finite(learnt)
    return Fitted(learnt, len(model.loss_history), model.loss_history[-1])


def check_finite(learnt: Learnt) -> None:
    """Raise ValueError naming the array that holds something else than finite numbers."""
    for name, array in learnt._asdict().items():
        if not np.isfinite(array).all():
            raise ValueError(f"the fit's {name} are not finite; a lower learning_rate may keep them so")
