"""The limits of a model's arguments. Every refusal names the argument, its value and the limit."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from typing import SupportsFloat, SupportsIndex

import torch

UNIFORM, POPULARITY = "uniform", "popularity"


def known_loss(loss: str, losses: Collection[str]) -> str:
    """Return the name of a loss, with underscores for spaces.   Raises: ValueError if it is not one of them."""
    name = str(loss).replace(" ", "_")
    if name not in losses:
        raise ValueError(f"loss {loss!r} is not one of {', '.join(losses)}")
    return name


def known_negatives(negatives: str) -> str:
    """Return how negatives are drawn.   Raises: ValueError if it is neither uniform nor popularity."""
    if negatives not in {UNIFORM, POPULARITY}:
        raise ValueError(f"negatives {negatives!r} is not one of {UNIFORM}, {POPULARITY}")
    return negatives


def whole(name: str, value: SupportsIndex, *, at_least: int) -> int:
    """Return a count as an int.   Raises: ValueError if it is too low, TypeError if it is not whole."""
    number = operator.index(value)
    if number < at_least:
        raise ValueError(f"{name} is {number}; it must be at least {at_least}")
    return number


def non_negative(name: str, value: SupportsFloat) -> float:
    """Return a finite number of 0 or more.   Raises: ValueError for any other."""
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} is {number}; it must be finite and 0 or more")
    return number


def known_device(use_cuda: bool, device: str | torch.device | None) -> str | None:
    """Return the name of the device that is given; None leaves it to ``use_cuda``.

    Raises: ValueError for what is neither the CPU nor a CUDA device, for one that torch does not see, and for the CPU
        together with ``use_cuda``.
    """
    if device is None:
        if use_cuda and not torch.cuda.is_available():
            raise ValueError("use_cuda is set, but torch sees no CUDA device")
        return None
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = torch.device("meta")
    if found.type not in {"cpu", "cuda"} or (found.type == "cpu" and found.index):
        raise ValueError(f"device {str(device)!r} is not cpu, cuda or cuda:N")
    if found.type == "cpu" and use_cuda:
        raise ValueError("use_cuda is set, but device is 'cpu'")
    seen = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= seen:
        raise ValueError(f"device is {str(found)!r}, but torch sees {seen} CUDA devices")
    return str(found)


def placed(use_cuda: bool, device: str | None) -> torch.device:
    """Where a model is that was made with these arguments."""
    return torch.device(device or ("cuda" if use_cuda else "cpu"))
