"""Larger tables around those that are trained: new users and items for a model that goes on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def check_can_grow(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError for an optimizer that keeps something else of a table than numbers and arrays of its shape."""
    for parameter, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                kept = f"{name} of shape {tuple(value.shape)} for a table of shape {tuple(parameter.shape)}"
                raise ValueError(f"{type(optimizer).__name__} keeps {kept}: it cannot grow")


def take_over(
    net: nn.Module, optimizer: torch.optim.Optimizer, *, old_net: nn.Module, old_optimizer: torch.optim.Optimizer
) -> None:
    """Copy what was trained into a fresh net of more rows and its fresh optimizer.

    Rows that are new keep the values of the fresh net, and in the optimizer's state those of the fresh optimizer: zero
    where it has none yet, as Adam's moments.
    """
    with torch.no_grad():
        for name, values in net.state_dict().items():
            _enlarged(old_net.state_dict()[name], values)
    shapes = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    olds = [parameter for group in old_optimizer.param_groups for parameter in group["params"]]
    fresh, state = optimizer.state_dict(), old_optimizer.state_dict()
    grown: dict[int, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        grown[number] = {}
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.ndim and value.shape == olds[number].shape:
                start = fresh["state"].get(number, {}).get(name)
                like = torch.zeros_like(shapes[number], dtype=value.dtype) if start is None else start.clone()
                grown[number][name] = _enlarged(value, like)
            else:
                grown[number][name] = value
    optimizer.load_state_dict(state | {"state": grown})


def _enlarged(values: Tensor, fresh: Tensor) -> Tensor:
    fresh[: len(values)] = values
    return fresh
