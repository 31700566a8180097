"""A model on disk: a folder of raw arrays, without pickle. Nothing that is read is executed.

    manifest.json   size and checksum of every other file (`model.manifest`); its kind is the class of the model
    state.bin       JSON: settings, sizes, random state, loss history, and where in it which tensor stands
    NAME.bin        the numbers of one tensor of the net or the optimizer, row by row, little-endian

In state.bin numbers, texts, lists, true, false and null stand for themselves, an object of one entry for the rest:
{"tuple": [...]}, {"dict": [[key, value], ...]}, {"float": "nan"}, {"tensor": {"name", "dtype", "shape"}}.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.manifest import MAX_LENGTH, SnapshotError
from model.snapshot import Snapshot, load_snapshot, write_snapshot

STATE = "state"

_TENSOR_DTYPES = {
    name: getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
}


def write_saved(folder: Path, state: Mapping[str, Any], *, kind: str) -> None:
    """Write a new folder and flush it to the disk.

    Args:
        folder: must not exist; its parent must.
        state: plain values and tensors, nested in dicts, lists and tuples.
        kind: the class of the model.
    Raises: TypeError, before anything is written, for a state of something else; OSError.
    """
    tensors: dict[str, NDArray[np.uint8]] = {}
    text = json.dumps(_packed(dict(state), "", tensors), allow_nan=False, ensure_ascii=False).encode("utf-8")
    arrays = {STATE: np.frombuffer(text, dtype=np.uint8)} | tensors
    # The same model gives the same bytes: no time, and no store it came from.
    write_snapshot(folder, arrays, kind=kind, store_id="", created_at="", facts={})


def read_saved(folder: Path, *, kind: str) -> dict[str, Any]:
    """Read what ``write_saved`` wrote.   Raises: SnapshotError, a ValueError that names the file, for anything else."""
    snapshot = load_snapshot(folder, kind=kind, store_id=None)
    if STATE not in snapshot.arrays:
        raise SnapshotError(folder, f"{STATE}.bin", "is missing")
    with refused_as_damaged(folder):
        state = _unpacked(json.loads(snapshot.arrays[STATE].tobytes().decode("utf-8")), snapshot)
        if not isinstance(state, dict):
            raise TypeError("it is not a dict")
    return state


@contextmanager
def refused_as_damaged(folder: Path) -> Iterator[None]:
    """Turn errors of the block, which works on what was read, into a SnapshotError that names state.bin."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(folder, f"{STATE}.bin", f"does not describe such a model: {error}") from error


def _packed(value: Any, path: str, tensors: dict[str, NDArray[np.uint8]]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        packed = [_packed(entry, f"{path}_{at}", tensors) for at, entry in enumerate(value)]
        return packed if isinstance(value, list) else {"tuple": packed}
    if isinstance(value, dict):
        return {"dict": [[_key(key), _packed(entry, f"{path}_{key}", tensors)] for key, entry in value.items()]}
    if isinstance(value, Tensor):
        return {"tensor": _packed_tensor(value, path, tensors)}
    raise TypeError(f"{path.lstrip('_')} is a {type(value).__name__}: only plain values and tensors can be saved")


def _key(key: Any) -> Any:  # noqa: ANN401 - checked here
    if not isinstance(key, int | str):
        raise TypeError(f"{key!r} is a {type(key).__name__}: only numbers and texts can be keys of what is saved")
    return key


def _packed_tensor(tensor: Tensor, path: str, tensors: dict[str, NDArray[np.uint8]]) -> dict[str, Any]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _TENSOR_DTYPES or tensor.layout is not torch.strided:
        raise TypeError(f"{path.lstrip('_')} is a tensor of {dtype}, {tensor.layout}, which cannot be saved")
    wanted = re.sub("[^a-z0-9]+", "_", path.lower()).strip("_")
    name = wanted if wanted not in tensors and wanted != STATE else f"{wanted}_{len(tensors)}_again"
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    tensors[name] = flat.view(torch.uint8).numpy()
    return {"name": name, "dtype": dtype, "shape": list(tensor.shape)}


def _unpacked(value: Any, snapshot: Snapshot) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_unpacked(entry, snapshot) for entry in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(_unpacked(entry, snapshot) for entry in content)
    if kind == "dict":
        return {_key(key): _unpacked(entry, snapshot) for key, entry in content}
    if kind == "float":
        return float(content)
    if kind == "tensor":
        return _unpacked_tensor(snapshot.arrays[content["name"]], content["dtype"], content["shape"])
    raise ValueError(f"{kind!r} is not a kind of value")


def _unpacked_tensor(stored: NDArray[np.uint8], dtype: str, shape: list[int]) -> Tensor:
    if not all(type(length) is int and 0 <= length <= MAX_LENGTH for length in shape):
        raise ValueError(f"{shape} is not the shape of a tensor")
    kind = _TENSOR_DTYPES[dtype]
    if math.prod(shape) * kind.itemsize != len(stored):
        raise ValueError(f"{len(stored)} bytes are not a tensor of {dtype} and shape {shape}")
    # A copy: what is stored is mapped from the file and read-only.
    tensor: Tensor = torch.empty(shape, dtype=kind)
    tensor.reshape(-1).view(torch.uint8).copy_(torch.from_numpy(np.array(stored)))
    return tensor
