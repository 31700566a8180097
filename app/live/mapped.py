"""Arrays in files without a name: of them the system keeps in memory what is read, and they go with the last map."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNED = 64


def mapped_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same arrays, read-only, mapped from a file in a folder, which is made. Raises: OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, prefix="likewise-") as file:
        places = {}
        for name, array in arrays.items():
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            places[name] = file.tell()
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        file.write(b"\0")  # an empty file cannot be mapped
        file.flush()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {
        name: np.frombuffer(content, dtype=array.dtype, count=array.size, offset=places[name]).reshape(array.shape)
        for name, array in arrays.items()
    }
