"""Spotlight's own training, compiled: minibatches of the bilinear net under dense Adam, without autograd.

The same shuffles and the same draws of negatives as the general solver (``model.solvers.autograd``), so the losses of
its epochs agree to rounding; tables and moments are those of the net and of ``torch.optim.Adam``, worked on in place.
One thread, and one seed gives the same bits.

Letters used for shapes: U users, I items, D dimensions, B batch, K negatives of one positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from model.factorization.representations import BilinearNet
from model.sampling import RandomSource
from model.solvers import kernels
from model.solvers.batch_kernels import Table, Tables, adam, add_gradients
from model.solvers.task import FitTask

KINDS = {
    "pointwise": kernels.POINTWISE,
    "bpr": kernels.BPR,
    "hinge": kernels.HINGE,
    "adaptive_hinge": kernels.HINGE,
    "log_bpr": kernels.LOG_BPR,
    "logistic": kernels.LOGISTIC,
}
"""The losses this solver knows."""


def epochs(
    task: FitTask,
    net: BilinearNet,
    optimizer: torch.optim.Adam,
    *,
    random_source: RandomSource,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[float]:
    """Train for up to ``task.n_iter`` epochs and yield the mean of the batch losses of each.

    Args:
        net: on the CPU, with its own dense tables.
        optimizer: of the net's parameters, with one group.
    """
    run = _Run(task, net, optimizer)
    for _ in range(task.n_iter):
        order_N = np.arange(len(task.user_ids))
        random_source.shuffle(order_N)
        yield run.epoch(order_N, random_source, on_batch)


class _Run:
    """The state of one fit."""

    def __init__(self, task: FitTask, net: BilinearNet, optimizer: torch.optim.Adam) -> None:
        self._task = task
        self._each = task.num_negative_samples if task.loss == "adaptive_hinge" else 1
        named = dict(net.named_parameters())
        parameters = [named[f"{side}_{kind}.weight"] for kind in ("embeddings", "biases") for side in ("user", "item")]
        self._states = [_state(optimizer, parameter) for parameter in parameters]
        self._group = optimizer.param_groups[0]
        self._tables: Tables = _four(parameter.detach().numpy() for parameter in parameters)
        self._moments: list[tuple[Table, Table]] = [
            (state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()) for state in self._states
        ]
        self._gradients: Tables = _four(np.zeros_like(table) for table in self._tables)

    def epoch(
        self, order_N: NDArray[np.int64], random_source: RandomSource, on_batch: Callable[[], None] | None
    ) -> float:
        task = self._task
        total, batches = 0.0, 0
        for start in range(0, len(order_N), task.batch_size):
            rows = order_N[start : start + task.batch_size]
            users = task.user_ids[rows]
            negatives = task.negatives.draw(users, self._each, random_source)
            weights = np.ones(len(rows), dtype=np.float32) if task.weights is None else task.weights[rows]
            total += add_gradients(
                users,
                task.item_ids[rows],
                negatives.reshape(len(rows), self._each),
                weights / weights.sum(dtype=np.float64),
                self._tables,
                self._gradients,
                KINDS[task.loss],
            )
            self._step()
            batches += 1
            if on_batch is not None:
                on_batch()
        return total / max(batches, 1)

    def _step(self) -> None:
        first, second = self._group["betas"]
        steps = float(self._states[0]["step"]) + 1.0
        for state, table, gradient, (mean, square) in zip(
            self._states, self._tables, self._gradients, self._moments, strict=True
        ):
            state["step"] += 1
            adam(
                table.reshape(-1),
                gradient.reshape(-1),
                mean.reshape(-1),
                square.reshape(-1),
                rate=np.float32(self._group["lr"] / (1.0 - first**steps)),
                keep_mean=np.float32(1.0 - first),
                keep_square=np.float32(second),
                scale=np.float32(1.0 / np.sqrt(1.0 - second**steps)),
                eps=np.float32(self._group["eps"]),
                l2=np.float32(self._group["weight_decay"]),
            )


def _four(tables: Iterable[Table]) -> Tables:
    users, items, user_biases, item_biases = tables
    return users, items, user_biases, item_biases


def _state(optimizer: torch.optim.Adam, parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """The moments of a parameter, as torch keeps them."""
    state: dict[str, torch.Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    return state
