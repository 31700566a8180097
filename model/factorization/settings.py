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


def available_cuda(name: str, wanted: bool) -> bool:
    """Return whether CUDA is wanted.   Raises: ValueError if it is and torch sees no device."""
    if wanted and not torch.cuda.is_available():
        raise ValueError(f"{name} is set, but torch sees no CUDA device")
    return wanted
