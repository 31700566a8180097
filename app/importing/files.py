"""CSV and NDJSON text, plain or gzipped, as records.

Nothing here knows what a record means. A line that cannot be read becomes a BadLine and the reading goes on; text that
cannot be read at all raises BadFile. Lines count from 1; the header of CSV is line 1.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from app.importing.csv_records import BadHeader, csv_records
from app.importing.lines import Lines, WrongEncoding, blocks
from app.importing.ndjson_records import ndjson_records
from app.importing.records import OWN, BadFile, BadLine, CellReader, Many, Preset, Record

Format = Literal["csv", "ndjson"]
_FORMATS: Mapping[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_GZIP = b"\x1f\x8b"

T = TypeVar("T")


def format_of(path: Path) -> Format:
    """`csv` or `ndjson`, by the name of the file (`.gz` may follow). Raises: BadFile for any other name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    try:
        return _FORMATS[suffixes[-1]]
    except (KeyError, IndexError):
        known = ", ".join(_FORMATS)
        raise BadFile(path.name, f"the name ends in none of {known} (.gz may follow) and .parquet") from None


class _TooLarge(Exception):
    """There is more of it than is taken."""


class RecordFile:
    """The records of one file or upload; iterate once.

    Args:
        stream: where it comes from, at its beginning; closed at the end of the block.
        name: what to call it.
        columns: the columns that CSV may have, each with what makes a value of a cell's text. An empty cell is an
            absent field.
        required: those of them that CSV must have.
        preset: what the columns are called; of NDJSON, the fields.
        max_bytes: how much is taken, inflated; None for any amount.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        *,
        format: Format,  # noqa: A002 - the field's word
        gzipped: bool,
        columns: Mapping[str, CellReader],
        required: Collection[str] = (),
        preset: Preset = OWN,
        max_bytes: int | None = None,
    ) -> None:
        self._raw = stream
        self._name = name
        self._format = format
        self._gzipped = gzipped
        self._columns = columns
        self._required = required
        self._preset = preset
        self._max_bytes = max_bytes
        self.size = stream.seek(0, 2)
        stream.seek(0)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        columns: Mapping[str, CellReader],
        required: Collection[str] = (),
        preset: Preset = OWN,
    ) -> RecordFile:
        """A file whose name says the format. Raises: BadFile when it says none, or the file cannot be opened."""
        found = format_of(path)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise BadFile(str(path), error.strerror or type(error).__name__) from error
        if not stream.seekable():
            stream.close()
            raise BadFile(
                path.name, "it is a pipe, and all is read before any of it is stored: write it to a file first"
            )
        gzipped = path.suffix.lower() == ".gz"
        return cls(stream, path.name, format=found, gzipped=gzipped, columns=columns, required=required, preset=preset)

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    @property
    def position(self) -> int:
        """How many bytes (compressed ones, if they are) are read; `size` at the end."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[Record | BadLine]:
        """The records. Raises: BadFile for what cannot be read on, or a wrong header."""
        for part in self.parts(lambda _: None):
            if part is not None:
                yield part

    def parts(self, many: Callable[[Many], T | None]) -> Iterator[T | Record | BadLine]:
        """The records, or what `many` makes of a lot of them at once: it is asked first, and may say None.

        Raises: BadFile for what cannot be read on, or a wrong header.
        """
        try:
            begins = self._peek(2)
            if self._gzipped and begins not in (_GZIP, b""):
                raise BadFile(self._name, "it is not a gzip file")
            if begins == _GZIP and not self._gzipped:
                raise BadFile(self._name, "it is a gzip file, which its name (or Content-Encoding) does not say")
            lines = Lines(blocks(self._reader()))
            if self._format == "csv":
                yield from csv_records(lines, self._columns, self._required, self._preset, many)
            else:
                yield from ndjson_records(lines, self._preset, many)
        except BadHeader as error:
            raise BadFile(self._name, str(error), code="csv_header") from error
        except _TooLarge as error:
            raise BadFile(self._name, str(error), code="body_too_large") from error
        except (EOFError, zlib.error, OSError, WrongEncoding) as error:
            raise BadFile(self._name, _reason(error)) from error

    def _peek(self, size: int) -> bytes:
        found = self._raw.read(size)
        self._raw.seek(0)
        return found

    def _reader(self) -> Callable[[int], bytes]:
        read = gzip.GzipFile(fileobj=self._raw).read if self._gzipped else self._raw.read
        if (most := self._max_bytes) is None:
            return read
        taken = 0

        def counted(size: int) -> bytes:
            nonlocal taken
            data = read(size)
            taken += len(data)
            if taken > most:
                raise _TooLarge(f"it is over {most} bytes; send it in parts")
            return data

        return counted


def _reason(error: Exception) -> str:
    """Why a file cannot be read on. In our words: the library's show bytes of the file."""
    if isinstance(error, EOFError):
        return "the compressed file ends in the middle"
    if isinstance(error, zlib.error | gzip.BadGzipFile):
        return "the compressed data is damaged"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
