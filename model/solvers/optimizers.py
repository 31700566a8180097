"""The optimizer a model uses when it is not given one: Adam, row by row where gradients are sparse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

# Rows of one step on the CPU that are worked on together: what is copied out stays in the cache.
ROWS_AT_ONCE = 4096


def default_optimizer(net: nn.Module, *, learning_rate: float, l2: float) -> torch.optim.Optimizer:
    """Return Adam (betas .9 and .999, eps 1e-8) over the parameters of a net; l2 is added to the gradient.

    If a layer of the net produces sparse gradients it is ``RowAdam``, else ``torch.optim.Adam``.
    """
    parameters = list(net.parameters())
    if any(getattr(module, "sparse", False) for module in net.modules()):
        return RowAdam(parameters, lr=learning_rate, weight_decay=l2)
    # Fused does one pass over a table where the loop does ten: at the size of MovieLens-100K, on the CPU, a step takes
    # half the time. It works element by element, so the result does not depend on the number of threads.
    fused = all(parameter.is_floating_point() for parameter in parameters)
    return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=l2, fused=fused)


class RowAdam(torch.optim.Optimizer):
    """Adam that touches, of a table with a sparse gradient, only the rows of the batch.

    The cost of a step grows with the batch instead of the catalogue. The moments of a row and its L2 penalty move only
    when the row is in a batch, with the bias correction of the number of steps taken so far; a row that never occurs
    does not decay. A parameter with a dense gradient is updated as by ``torch.optim.Adam``.

    Args:
        params: as for any torch optimizer.
        lr: step size.   betas, eps: Adam's.
        weight_decay: L2 penalty, added to the gradient of the rows touched.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; a closure, if given, computes the gradients first and its result is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._update(parameter, parameter.grad, group)
        return loss

    def update_rows(self, parameter: Tensor, rows: Tensor, gradient: Tensor, *, step_size: float = 1.0) -> None:
        """Take a step for some rows of one parameter, whose gradient the caller has computed.

        Args:
            parameter: one of the optimizer's, shape (n, D).
            rows: int64, shape (R,), each row once.
            gradient: shape (R, D).
            step_size: share of the learning rate that this step uses.
        """
        group = next(group for group in self.param_groups if any(each is parameter for each in group["params"]))
        with torch.no_grad():
            self._update_rows(parameter, rows, gradient, group, step_size)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            self._update_rows(parameter, gradient.indices()[0], gradient.values(), group)
        else:
            self._update_rows(parameter, slice(None), gradient, group)

    def _update_rows(
        self, parameter: Tensor, rows: Tensor | slice, gradient: Tensor, group: dict[str, Any], step_size: float = 1.0
    ) -> None:
        state = self.state[parameter]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        if isinstance(rows, Tensor) and rows.device.type == "cpu":
            parts = zip(torch.split(rows, ROWS_AT_ONCE), torch.split(gradient, ROWS_AT_ONCE), strict=True)
            for some, theirs in parts:
                self._move(parameter, some, theirs, group, step_size)
        else:
            self._move(parameter, rows, gradient, group, step_size)

    def _move(
        self, parameter: Tensor, rows: Tensor | slice, gradient: Tensor, group: dict[str, Any], step_size: float
    ) -> None:
        """Adam's formula for some rows."""
        state = self.state[parameter]
        first, second = group["betas"]
        rate = step_size * group["lr"] / (1.0 - first ** state["step"])
        root_correction = math.sqrt(1.0 - second ** state["step"])

        if group["weight_decay"]:
            gradient = gradient.add(_picked(parameter, rows), alpha=group["weight_decay"])
        mean, square = _picked(state["exp_avg"], rows), _picked(state["exp_avg_sq"], rows)
        mean.lerp_(gradient, 1.0 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        if isinstance(rows, Tensor):
            # They were copied out, so they go back, and may be used up.
            state["exp_avg"].index_copy_(0, rows, mean)
            state["exp_avg_sq"].index_copy_(0, rows, square)
            change = mean.div_(square.sqrt_().div_(root_correction).add_(group["eps"]))
            # `index_add_` would take rows one by one, on one thread.
            parameter.index_copy_(0, rows, _picked(parameter, rows).add_(change, alpha=-rate))
        else:
            change = mean / square.sqrt().div_(root_correction).add_(group["eps"])
            parameter.add_(change, alpha=-rate)


def _picked(table: Tensor, rows: Tensor | slice) -> Tensor:
    """Rows of a table: a copy of some, or the table itself for all."""
    return table.index_select(0, rows) if isinstance(rows, Tensor) else table
