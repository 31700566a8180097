"""The general solver: any net, any optimizer, gradients by torch, one batch after another.

Shapes: N interactions, B batch, K negatives of one positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.losses import LOSSES, OF_SAMPLES, RATING_LOSSES, warp_loss
from model.sampling import RandomSource
from model.solvers.task import FitTask, RatingTask, Task
from model.torch_utils import CPU, sent, threads_for


class Batch(NamedTuple):
    """B rows of a task: their positions (int64, in host memory) and their columns (where the net is), (B,) each."""

    rows: NDArray[np.int64]
    users: Tensor
    items: Tensor
    weights: Tensor | None


def epochs(
    task: FitTask,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    random_source: RandomSource,
    device: torch.device = CPU,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[float]:
    """Train for up to ``task.n_iter`` epochs and yield the mean of the batch losses of each.

    Nothing of an epoch happens, no random draw either, before its loss is asked for. An epoch takes one shuffle of
    ``arange(N)`` from the random source, and each batch one draw of negatives.
    """

    def batch_loss(batch: Batch) -> Tensor:
        return _contrast(task, net, batch, random_source)

    return _epochs(task, net, optimizer, batch_loss, random_source=random_source, device=device, on_batch=on_batch)


def rating_epochs(
    task: RatingTask,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    random_source: RandomSource,
    device: torch.device = CPU,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[float]:
    """As ``epochs``, for ratings: an epoch takes one shuffle from the random source, a batch nothing."""

    def batch_loss(batch: Batch) -> Tensor:
        ratings_B = sent(task.ratings[batch.rows], batch.users.device)
        return RATING_LOSSES[task.loss](ratings_B, scores(net, batch.users, batch.items), batch.weights)

    return _epochs(task, net, optimizer, batch_loss, random_source=random_source, device=device, on_batch=on_batch)


def _epochs(
    task: Task,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch_loss: Callable[[Batch], Tensor],
    *,
    random_source: RandomSource,
    device: torch.device,
    on_batch: Callable[[], None] | None,
) -> Iterator[float]:
    elements = max((parameter.numel() for parameter in net.parameters()), default=0)
    for _ in range(task.n_iter):
        with threads_for(elements):
            order_N = np.arange(len(task.user_ids))
            random_source.shuffle(order_N)
            loss = _epoch(task, optimizer, batch_loss, order_N=order_N, device=device, on_batch=on_batch)
        yield loss


def _epoch(
    task: Task,
    optimizer: torch.optim.Optimizer,
    batch_loss: Callable[[Batch], Tensor],
    *,
    order_N: NDArray[np.int64],
    device: torch.device,
    on_batch: Callable[[], None] | None,
) -> float:
    users_N = torch.from_numpy(task.user_ids[order_N]).to(device)
    items_N = torch.from_numpy(task.item_ids[order_N]).to(device)
    weights_N = None if task.weights is None else torch.from_numpy(task.weights[order_N]).to(device)

    # Added up where the losses are: reading each of them would make the host wait for the device once a batch.
    total = torch.zeros((), dtype=torch.float64, device=device)
    starts = range(0, len(order_N), task.batch_size)
    for start in starts:
        rows = slice(start, start + task.batch_size)
        weights_B = None if weights_N is None else weights_N[rows]
        loss = batch_loss(Batch(order_N[rows], users_N[rows], items_N[rows], weights_B))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        total += loss.detach()
        if on_batch is not None:
            on_batch()
    return total.item() / max(len(starts), 1)


def _contrast(task: FitTask, net: nn.Module, batch: Batch, random_source: RandomSource) -> Tensor:
    of_samples = task.loss in OF_SAMPLES
    negatives_each = task.num_negative_samples if of_samples else 1
    users_B = batch.users
    positive_B = scores(net, users_B, batch.items)
    drawn = task.negatives.draw(task.user_ids[batch.rows], negatives_each, random_source)
    negatives = sent(drawn, users_B.device)
    if of_samples:
        # Row by row of (B, K): each positive meets negatives scored with its own user.
        users_BK = users_B.repeat_interleave(negatives_each)
        negative = scores(net, users_BK, negatives).view(len(users_B), negatives_each).T
    else:
        negative = scores(net, users_B, negatives)
    if task.loss == "warp":
        return warp_loss(positive_B, negative, batch.weights, num_items=task.num_items)
    return LOSSES[task.loss](positive_B, negative, batch.weights)


def scores(net: nn.Module, users_B: Tensor, items_B: Tensor) -> Tensor:
    """Return the scores of B pairs, shape (B,).   Raises: ValueError if the net returns another shape."""
    scores_B: Tensor = net(users_B, items_B)
    if scores_B.shape != users_B.shape:
        raise ValueError(
            f"the representation returned shape {tuple(scores_B.shape)} for {len(users_B)} pairs, "
            f"it must be ({len(users_B)},)"
        )
    return scores_B
