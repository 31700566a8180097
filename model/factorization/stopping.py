"""When a fit ends: after its epochs, after its time, or once held out interactions are no longer predicted better."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class TimeIsUpError(Exception):
    """The time of a fit has passed; it ends where it is."""


def timed(
    on_batch: Callable[[], None] | None, *, budget: float | None, clock: Callable[[], float]
) -> Callable[[], None] | None:
    """Return a callback of batches that raises TimeIsUpError once ``budget`` seconds have passed from now."""
    if budget is None:
        return on_batch
    end = clock() + budget

    def call() -> None:
        if on_batch is not None:
            on_batch()
        if clock() >= end:
            raise TimeIsUpError

    return call


class BestEpoch:
    """The net and the optimizer as they were after the epoch that was judged best.

    Args:
        net, optimizer: what is trained.
        higher_is_better: whether a judgement is a quality or a loss.
        patience: epochs without a better one after which a fit should end, or None.
    """

    def __init__(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, *, higher_is_better: bool, patience: int | None
    ) -> None:
        self._net, self._optimizer = net, optimizer
        self._sign = 1.0 if higher_is_better else -1.0
        self._patience = math.inf if patience is None else patience
        self._best = -math.inf
        self._since = 0
        self._kept: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the last ``patience`` judgements were no better than one before them."""
        return self._since >= self._patience

    def judged(self, value: float) -> None:
        """Take in the judgement of the epoch just trained."""
        if self._sign * value > self._best:
            self._best, self._since = self._sign * value, 0
            self._kept = copy.deepcopy((self._net.state_dict(), self._optimizer.state_dict()))
        else:
            self._since += 1

    def restore(self) -> None:
        """Go back to the best epoch, if one was judged."""
        if self._kept is not None:
            self._net.load_state_dict(self._kept[0])
            self._optimizer.load_state_dict(self._kept[1])
