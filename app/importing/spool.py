"""Checked rows on their way into the store, in a file without a name: whatever ends the process takes it along."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import msgspec

B = TypeVar("B", bound=Sized)
_LENGTH_BYTES = 4


class Spool(Generic[B]):
    """Batches of rows, written once and read in the same order.

    Args:
        folder: on a disk with room for about as much as the rows take as text; it is made.
        kind: what a batch is; msgspec encodes it.
    """

    def __init__(self, folder: Path, kind: type[B]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, prefix="likewise-")  # noqa: SIM115 - closed by __exit__
        self._encode: Callable[[B], bytes] = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self.rows = 0

    def __enter__(self) -> Spool[B]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, batch: B) -> None:
        """Write a batch. Raises: OSError, for example when the disk is full."""
        encoded = self._encode(batch)
        self._file.write(len(encoded).to_bytes(_LENGTH_BYTES, "big"))
        self._file.write(encoded)
        self.rows += len(batch)

    def __iter__(self) -> Iterator[B]:
        """The batches, from the first one on."""
        self._file.seek(0)
        while size := self._file.read(_LENGTH_BYTES):
            yield self._decode(self._file.read(int.from_bytes(size, "big")))
