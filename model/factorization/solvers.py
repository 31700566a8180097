"""The argument ``solver`` of a model: which there are, and what each of them can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from model.factorization.settings import UNIFORM
from model.losses import LOSSES
from model.solvers.settings import BATCH_LOSSES, SGD_LOSSES, CompiledSGD, PooledSoftmax

Solver = str | PooledSoftmax | CompiledSGD
AUTOGRAD, COMPILED, POOLED = "autograd", "compiled", "pooled"


def known_solver(solver: Solver | Mapping[str, Any]) -> Solver:
    """The solver a name, settings, or settings as plain values stand for.   Raises: ValueError for anything else."""
    if solver == POOLED:
        return PooledSoftmax()
    if isinstance(solver, Mapping):
        with suppress(TypeError):
            return CompiledSGD(**solver) if "threads" in solver else PooledSoftmax(**solver)
    if isinstance(solver, PooledSoftmax | CompiledSGD) or (isinstance(solver, str) and solver in {AUTOGRAD, COMPILED}):
        return solver
    raise ValueError(
        f"solver {solver!r} is not {AUTOGRAD}, {COMPILED}, {POOLED}, PooledSoftmax(...) or CompiledSGD(...)"
    )


def plain(solver: Solver) -> str | dict[str, Any]:
    """The solver as plain values, which a saved model can hold."""
    return solver if isinstance(solver, str) else dataclasses.asdict(solver)


def losses_of(solver: Solver) -> Collection[str]:
    """The losses a solver knows."""
    if isinstance(solver, PooledSoftmax):
        return ("softmax",)
    if isinstance(solver, CompiledSGD):
        return SGD_LOSSES
    return BATCH_LOSSES if solver == COMPILED else tuple(LOSSES)


def check_solver(solver: Solver, *, negatives: str, own_parts: bool, on_cuda: bool) -> None:
    """Raise ValueError where a solver cannot do what else is asked for.

    Args:
        negatives: how they are drawn.
        own_parts: there is a representation, an optimizer function, or sparse tables.
        on_cuda: the net is on a CUDA device.
    """
    if solver == AUTOGRAD:
        return
    name = solver if isinstance(solver, str) else POOLED if isinstance(solver, PooledSoftmax) else "CompiledSGD"
    if own_parts:
        raise ValueError(
            f"the {name} solver has its own net and optimizer: it takes no representation, optimizer_func or sparse"
        )
    if negatives != UNIFORM and not isinstance(solver, str):
        raise ValueError(f"the {name} solver draws uniformly: it takes no negatives={negatives!r}")
    if on_cuda and not isinstance(solver, PooledSoftmax):
        raise ValueError(f"the {name} solver works on the CPU: it takes no CUDA device")
