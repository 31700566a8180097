"""Small steps between numpy, torch and devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.sampling import RandomSource, as_random_source

WORTH_SHARING = 2**20
"""Numbers in one operation from which several threads pay: about 0.3 ms of work for one of them."""

CPU = torch.device("cpu")

Movable = TypeVar("Movable", Tensor, nn.Module)


def gpu(tensor: Movable, gpu: bool = False) -> Movable:
    """Return a tensor or a module on the current CUDA device if the flag is set, else as it is."""
    return tensor.cuda() if gpu else tensor


def cpu(tensor: Movable) -> Movable:
    """Return a tensor or a module in host memory; itself if it is there already."""
    return tensor.cpu()


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; to CUDA from page-locked memory, which the host need not wait for."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def minibatch(*tensors: Any, batch_size: int = 128) -> Iterator[Any]:  # noqa: ANN401 - tensors, arrays or lists
    """Yield consecutive slices of at most batch_size rows: bare for one tensor, a tuple of slices for several.

    Raises: ValueError for a batch_size below 1, or tensors of different lengths.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    length = _common_length(tensors)

    def batches() -> Iterator[Any]:
        for start in range(0, length, batch_size):
            slices = tuple(tensor[start : start + batch_size] for tensor in tensors)
            yield slices[0] if len(slices) == 1 else slices

    return batches()


def shuffle(*arrays: NDArray[Any], random_state: RandomSource | SupportsIndex | None = None) -> Any:  # noqa: ANN401
    """Return the arrays in one common random order: bare for one array, a tuple for several.

    Takes one shuffle of ``arange(N)`` from the random state.   Raises: ValueError if the lengths differ.
    """
    order = np.arange(_common_length(arrays))
    as_random_source(random_state).shuffle(order)
    shuffled = tuple(array[order] for array in arrays)
    return shuffled[0] if len(shuffled) == 1 else shuffled


def set_seed(seed: int, cuda: bool = False) -> None:
    """Seed torch's global generator, and with ``cuda`` that of the current device. No model here needs it."""
    torch.manual_seed(seed)
    if cuda:
        torch.cuda.manual_seed(seed)


def assert_no_grad(variable: Tensor) -> None:
    """Raise ValueError if a tensor requires a gradient, such as a prediction in the place of an observation."""
    if variable.requires_grad:
        raise ValueError(
            f"a tensor of shape {tuple(variable.shape)} requires a gradient where an observation is expected"
        )


@contextmanager
def evaluation_mode(net: nn.Module) -> Iterator[None]:
    """Put a net into evaluation mode for the block, and every module of it back into its own mode afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def threads_for(elements: int) -> Iterator[None]:
    """Let torch use one thread for the block if its operations are small, all its threads otherwise.

    Args:
        elements: how many numbers the largest operation of the block works on.

    torch splits operations from 2**15 numbers on. On a machine with other work the threads then wait for each other
    longer than they compute: two busy cores, tables of MovieLens-100K, 800,000 interactions a second with one thread
    and 21,000 with two. The results do not depend on it.
    """
    before = torch.get_num_threads()
    if elements >= WORTH_SHARING or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _common_length(columns: Sequence[Any]) -> int:
    lengths = [len(column) for column in columns]
    if not lengths:
        raise ValueError("no arrays given")
    if len(set(lengths)) > 1:
        raise ValueError(f"the lengths differ: {lengths}")
    return lengths[0]
