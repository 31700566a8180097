"""The manifest of a snapshot: what it says, and the refusal of one that says anything else.

{"schema": 1, "kind": "...", "store": "uuid", "created_at": "RFC 3339", "facts": {...},
 "arrays": {NAME: {"file": "NAME.bin", "shape": [...], "dtype": "...", "bytes": n, "sha256": "..."}}}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 8 * 2**20
MAX_LENGTH = 2**48
DTYPES = ("uint8", "uint16", "int32", "int64", "uint64", "float32", "float64")

ARRAY_NAME = re.compile(r"[a-z0-9_]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANIFEST_FIELDS = {"schema", "kind", "store", "created_at", "facts", "arrays"}
_ARRAY_FIELDS = {"file", "shape", "dtype", "bytes", "sha256"}


class SnapshotError(ValueError):
    """A snapshot that must not be used; the message names the folder, the file and what does not match."""

    def __init__(self, folder: Path, file: str, problem: str) -> None:
        super().__init__(f"snapshot {folder.name}: {file}: {problem}")


def encode_manifest(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest. Raises SnapshotError if it is not JSON or too large."""
    try:
        encoded = json.dumps(manifest, allow_nan=False, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise SnapshotError(folder, MANIFEST, f"the facts are not JSON: {error}") from error
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise SnapshotError(folder, MANIFEST, f"{len(encoded)} bytes; at most {MAX_MANIFEST_BYTES} are allowed")
    return encoded


def parse_manifest(folder: Path, encoded: bytes, *, kind: str, store_id: str | None) -> dict[str, Any]:
    """Read a manifest and check all that can be checked without its files.

    Args:
        kind: the kind it must name.
        store_id: the store it must name, or None for any.
    Raises: SnapshotError.
    """
    try:
        manifest = json.loads(
            encoded.decode("utf-8"), object_pairs_hook=_object_without_repeats, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise SnapshotError(folder, MANIFEST, f"is not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise SnapshotError(folder, MANIFEST, "is not a JSON object")
    _check_head(folder, manifest, kind=kind, store_id=store_id)
    for name, entry in manifest["arrays"].items():
        _check_entry(folder, name, entry)
    return manifest


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is there twice")
    return result


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _check_head(folder: Path, manifest: dict[str, Any], *, kind: str, store_id: str | None) -> None:
    schema = manifest.get("schema")
    # Before the fields: another schema may well have others.
    if type(schema) is not int or schema != SCHEMA_VERSION:
        raise SnapshotError(folder, MANIFEST, f"schema is {schema!r}; this version reads {SCHEMA_VERSION}")
    _check_fields(folder, "the manifest", manifest, _MANIFEST_FIELDS)
    for name in ("kind", "store", "created_at"):
        if not isinstance(manifest[name], str):
            raise SnapshotError(folder, MANIFEST, f"{name} is not a string")
    for name in ("facts", "arrays"):
        if not isinstance(manifest[name], dict):
            raise SnapshotError(folder, MANIFEST, f"{name} is not an object")
    if manifest["kind"] != kind:
        raise SnapshotError(folder, MANIFEST, f"kind is {manifest['kind']!r}, not {kind!r}")
    if store_id is not None and manifest["store"] != store_id:
        raise SnapshotError(folder, MANIFEST, f"comes from store {manifest['store']!r}, not {store_id!r}")


def _check_fields(folder: Path, noun: str, found: Mapping[str, Any], wanted: set[str]) -> None:
    if set(found) != wanted:
        differing = ", ".join(sorted(map(repr, set(found) ^ wanted)))
        raise SnapshotError(folder, MANIFEST, f"{noun} has missing or unknown fields: {differing}")


def _check_entry(folder: Path, name: str, entry: object) -> None:
    if not ARRAY_NAME.fullmatch(name):
        raise SnapshotError(folder, MANIFEST, f"{name!r} is not an array's name (a-z, 0-9 and _)")
    if not isinstance(entry, dict):
        raise SnapshotError(folder, MANIFEST, f"the entry of {name} is not an object")
    _check_fields(folder, f"the entry of {name}", entry, _ARRAY_FIELDS)
    file, dtype, shape = f"{name}.bin", entry["dtype"], entry["shape"]
    # No other name is possible, so no path can lead out of the folder and no two arrays share a file.
    if entry["file"] != file:
        raise SnapshotError(folder, MANIFEST, f"the file of {name} is {entry['file']!r}, not {file!r}")
    if dtype not in DTYPES:
        raise SnapshotError(folder, MANIFEST, f"{file}: dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if not (isinstance(shape, list) and len(shape) in {1, 2} and all(map(_is_length, shape))):
        raise SnapshotError(folder, MANIFEST, f"{file}: shape {shape!r} is not one or two lengths")
    if not (isinstance(entry["sha256"], str) and _SHA256.fullmatch(entry["sha256"])):
        raise SnapshotError(folder, MANIFEST, f"{file}: sha256 is not 64 hexadecimal digits")
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if type(entry["bytes"]) is not int or entry["bytes"] != expected:
        raise SnapshotError(
            folder, MANIFEST, f"{file}: shape {shape} of {dtype} takes {expected} bytes, not {entry['bytes']!r}"
        )


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_LENGTH
