"""Frozen arrays on disk: a folder of raw little-endian files and a manifest that says what they must be.

    manifest.json   what the snapshot is, and file, shape, dtype, size and checksum of each array (`model.manifest`)
    NAME.bin        the array NAME, row by row; memory-mapped when loaded

Nothing in a folder is executed or unpickled, and what does not match its manifest is refused by name.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.manifest import (
    ARRAY_NAME,
    DTYPES,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SCHEMA_VERSION,
    SnapshotError,
    encode_manifest,
    parse_manifest,
)

__all__ = ["Snapshot", "SnapshotError", "load_snapshot", "write_snapshot"]

CHECK_BLOCK = 2**18


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A loaded snapshot.

    Attributes:
        kind: what sort of arrays these are.
        store_id: uuid of the store they were made from.
        created_at: when, RFC 3339.
        facts: what else the writer wanted to keep, JSON.
        arrays: read-only arrays by name, mapped from the files.
        sha256: of manifest.json, and so, through the checksums in it, of everything.
    """

    kind: str
    store_id: str
    created_at: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    sha256: str


def write_snapshot(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    kind: str,
    store_id: str,
    created_at: str,
    facts: Mapping[str, Any],
) -> str:
    """Write a new folder and flush it to the disk: every file, then the manifest, then the folder itself.

    Args:
        folder: must not exist; its parent must.
        arrays: by name ([a-z0-9_]+), of one or two dimensions and a dtype in `model.manifest.DTYPES`, floats finite.
        kind: what sort of arrays these are.
        store_id: uuid of the store they were made from.
        created_at: when, RFC 3339.
        facts: anything that JSON can hold.
    Returns: sha256 of the manifest, hexadecimal.
    Raises: SnapshotError, before anything is written, for arrays or facts that cannot be stored; OSError.
    """
    for name, array in arrays.items():
        _check_storable(folder, name, array)
    manifest: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "kind": kind,
        "store": store_id,
        "created_at": created_at,
        "facts": dict(facts),
        "arrays": {},
    }
    # Encoded without the arrays first, so that facts JSON cannot hold are refused before anything is written.
    encode_manifest(folder, manifest)
    folder.mkdir()
    for name, array in arrays.items():
        manifest["arrays"][name] = _write_array(folder, name, array)
    encoded = encode_manifest(folder, manifest)
    _write_file(folder / MANIFEST, memoryview(encoded))
    _sync_folder(folder)
    return hashlib.sha256(encoded).hexdigest()


def load_snapshot(
    folder: Path,
    *,
    kind: str,
    store_id: str | None,
    verify: bool = True,
    pause: Callable[[], object] = lambda: None,
) -> Snapshot:
    """Map a folder's arrays into memory, read-only, after checking that they are what the manifest says.

    Args:
        kind: the kind it must be.
        store_id: the store it must come from, or None for any.
        verify: also read every byte: checksums, and that floats are finite.
        pause: called after every CHECK_BLOCK bytes that were checked, for whoever has to let others run in between.
    Raises: SnapshotError.
    """
    with _open_folder(folder) as directory:
        encoded = _read_manifest(folder, directory)
        manifest = parse_manifest(folder, encoded, kind=kind, store_id=store_id)
        arrays = {
            name: _load_array(folder, directory, entry=entry, pause=pause if verify else None)
            for name, entry in manifest["arrays"].items()
        }
    return Snapshot(
        kind=manifest["kind"],
        store_id=manifest["store"],
        created_at=manifest["created_at"],
        facts=manifest["facts"],
        arrays=arrays,
        sha256=hashlib.sha256(encoded).hexdigest(),
    )


def _check_storable(folder: Path, name: str, array: NDArray[Any]) -> None:
    if not ARRAY_NAME.fullmatch(name):
        raise SnapshotError(folder, repr(name), "an array's name is made of a-z, 0-9 and _")
    if array.dtype.name not in DTYPES:
        raise SnapshotError(folder, f"{name}.bin", f"dtype {array.dtype} is not one of {', '.join(DTYPES)}")
    if array.ndim not in {1, 2}:
        raise SnapshotError(folder, f"{name}.bin", f"an array has one or two dimensions, not {array.ndim}")
    if not _all_finite(array):
        raise SnapshotError(folder, f"{name}.bin", "holds values that are not finite")


def _write_array(folder: Path, name: str, array: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    content = little.reshape(-1).view(np.uint8).data
    _write_file(folder / f"{name}.bin", content)
    return {
        "file": f"{name}.bin",
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "bytes": little.nbytes,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _write_file(path: Path, content: memoryview) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """A descriptor of the folder. Files are opened relative to it, so it cannot be exchanged in between."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise SnapshotError(folder, "folder", _reason(error)) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open_file(folder: Path, directory: int, name: str) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a regular file in the folder; a link is not followed and a pipe does not block."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        raise SnapshotError(folder, name, _reason(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SnapshotError(folder, name, "is not a regular file")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is missing"
    # O_NOFOLLOW reports a link as ELOOP, together with O_DIRECTORY as ENOTDIR.
    return f"cannot be opened or is a symbolic link ({error.strerror})"


def _read_manifest(folder: Path, directory: int) -> bytes:
    with _open_file(folder, directory, MANIFEST) as (descriptor, size):
        if size > MAX_MANIFEST_BYTES:
            raise SnapshotError(folder, MANIFEST, f"{size} bytes; at most {MAX_MANIFEST_BYTES} are allowed")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_MANIFEST_BYTES)


def _load_array(
    folder: Path, directory: int, *, entry: Mapping[str, Any], pause: Callable[[], object] | None
) -> NDArray[Any]:
    """The mapped array, checked unless `pause` is None."""
    file = entry["file"]
    with _open_file(folder, directory, file) as (descriptor, size):
        if size != entry["bytes"]:
            raise SnapshotError(folder, file, f"has {size} bytes, not {entry['bytes']}")
        # mmap refuses an empty file. The array keeps the mapping alive.
        content = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size else b""
    if pause is not None and _sha256(content, pause) != entry["sha256"]:
        raise SnapshotError(folder, file, "sha256 does not match the manifest")
    dtype = np.dtype(entry["dtype"])
    stored = dtype.newbyteorder("<")
    # Where that is the machine's own order, a dtype without one: memoryviews take no other.
    array = np.frombuffer(content, dtype=dtype if stored.isnative else stored).reshape(entry["shape"])
    if pause is not None and not _all_finite(array, pause):
        raise SnapshotError(folder, file, "holds values that are not finite")
    return array


def _sha256(content: mmap.mmap | bytes, pause: Callable[[], object]) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for start in range(0, len(view), CHECK_BLOCK):
            digest.update(view[start : start + CHECK_BLOCK])
            pause()
    return digest.hexdigest()


def _all_finite(array: NDArray[Any], pause: Callable[[], object] = lambda: None) -> bool:
    """Whether no float is NaN or infinite, in blocks, so that checking takes next to no memory."""
    if array.dtype.kind != "f":
        return True
    flat = array.reshape(-1)
    step = CHECK_BLOCK // array.itemsize
    for start in range(0, len(flat), step):
        if not np.isfinite(flat[start : start + step]).all():
            return False
        pause()
    return True
