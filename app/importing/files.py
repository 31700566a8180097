"""CSV and NDJSON files, plain or gzipped, as records with the line each began on.

Nothing here knows what a record means. A line that cannot be read becomes a BadLine and the reading goes on; a file
that cannot be read at all raises BadFile. Lines count from 1; the header of a CSV file is line 1.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.importing.csv_rows import CsvRows

MAX_LINE_BYTES = 1024 * 1024
_FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
# Stands in for a line too long to keep; no record may hold it, so that the record is refused.
_TOO_LONG = "\x00\n"
_OVER_LIMIT = f"the line is over {MAX_LINE_BYTES} bytes"
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"

CellReader = Callable[[str], object]


class BadFile(Exception):
    """The file as a whole cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line it began on, its fields by name, and the line it ended on where that is a later one."""

    line: int
    fields: dict[str, object]
    last: int | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is refused: a stable code and a sentence that does not repeat the line."""

    line: int
    code: str
    detail: str


def format_of(path: Path) -> str:
    """`csv` or `ndjson`, by the name of the file (`.gz` may follow). Raises: BadFile for any other name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    try:
        return _FORMATS[suffixes[-1]]
    except (KeyError, IndexError):
        raise BadFile(f"{path.name}: the name ends in none of {', '.join(_FORMATS)}, with or without .gz") from None


class _BadHeader(Exception):
    """The first row of a CSV file does not name its columns."""


class RecordFile:
    """The records of one file; iterate once.

    Args:
        path: a file whose name says the format.
        columns: the columns a CSV file may have, each with what makes a value of a cell's text. An empty cell is an
            absent field.
        required: those of them that a CSV file must have.
    Raises: BadFile when the name says no format, the file cannot be opened or read, or the header is wrong.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, CellReader], required: Collection[str] = ()) -> None:
        self._path = path
        self._columns = columns
        self._required = required
        self._format = format_of(path)
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise BadFile(f"{path}: {error.strerror}") from error

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    @property
    def position(self) -> int:
        """How many bytes of the file (compressed ones, if it is) are read; `size` at the end."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[Record | BadLine]:
        zipped = self._path.suffix.lower() == ".gz"
        lines = _lines(gzip.GzipFile(fileobj=self._raw).readline if zipped else self._raw.readline)
        try:
            if zipped and self._raw.peek(2)[:2] not in (_GZIP, b""):
                raise BadFile(f"{self._path.name}: it is not a gzip file")
            if self._format == "csv":
                yield from _csv_records(lines, self._columns, self._required)
            else:
                yield from _ndjson_records(lines)
        except (EOFError, zlib.error, OSError, _BadHeader) as error:
            raise BadFile(f"{self._path.name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a file cannot be read on. In our words: the library's show bytes of the file."""
    if isinstance(error, EOFError):
        return "the compressed file ends in the middle"
    if isinstance(error, zlib.error | gzip.BadGzipFile):
        return "the compressed data is damaged"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes | None]:
    """The physical lines; None for one over the limit."""
    first = True
    while line := readline(MAX_LINE_BYTES + 1):
        if first:
            line, first = line.removeprefix(_BOM), False
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield line


def _ndjson_records(lines: Iterator[bytes | None]) -> Iterator[Record | BadLine]:
    for number, line in enumerate(lines, start=1):
        if line is None:
            yield _too_long(number)
        elif line.strip():
            yield _json_record(number, line)


def _json_record(number: int, line: bytes) -> Record | BadLine:
    code = "json_invalid"
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
        if isinstance(fields, dict):
            return Record(number, fields)
        detail = "the line is JSON, but not an object"
    except UnicodeDecodeError:
        code, detail = "encoding", "the line is not valid UTF-8"
    except json.JSONDecodeError as error:
        detail = f"the line is not valid JSON at column {error.colno}: {error.msg}"
    except RecursionError:
        detail = "arrays and objects are nested too deeply"
    except _RepeatedName:
        code, detail = "duplicate_name", "a name stands more than once in one object"
    except ValueError:  # from int(), which refuses what would take quadratic time
        code, detail = "number_too_long", "the line holds an integer of over 4,300 digits"
    return BadLine(number, code, detail)


class _RepeatedName(Exception):
    """A JSON object in which a name stands more than once: two readers would take two different values of it."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _RepeatedName
    return fields


def _csv_records(
    lines: Iterator[bytes | None], columns: Mapping[str, CellReader], required: Collection[str]
) -> Iterator[Record | BadLine]:
    rows = CsvRows(
        (_TOO_LONG if line is None else line.decode("utf-8", "surrogateescape") for line in lines), len(columns)
    )
    header = _header(rows, columns, required)
    readers = [columns[name] for name in header]
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(rows.first, "csv_invalid", f"the row cannot be read as CSV: {error}")
            continue
        if cells:
            yield _csv_record(rows, cells, header, readers)


def _header(reader: Iterator[list[str]], columns: Mapping[str, CellReader], required: Collection[str]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise _BadHeader(f"line 1: the header cannot be read as CSV: {error}") from error
    if not header:
        raise _BadHeader("line 1: there is no header row; a CSV file names its columns first")
    if unknown := sorted(set(header) - columns.keys()):
        shown = ascii(unknown[0][:64])
        raise _BadHeader(f"line 1: the column {shown} is not known; columns are {', '.join(columns)}")
    if len(set(header)) != len(header):
        raise _BadHeader("line 1: a column is named twice")
    if missing := [name for name in required if name not in header]:
        raise _BadHeader(f"line 1: the column {missing[0]} is missing")
    return header


def _csv_record(rows: CsvRows, cells: list[str], header: list[str], readers: list[CellReader]) -> Record | BadLine:
    last = None if rows.last == rows.first else rows.last
    if wrong := _wrong_row(cells, len(header)):
        code, detail = wrong
        return BadLine(rows.first, code, detail if code == "line_too_long" else spanning(rows.first, last, detail))
    fields = {name: read(cell) for name, read, cell in zip(header, readers, cells, strict=True) if cell}
    return Record(rows.first, fields, last)


def _wrong_row(cells: list[str], columns: int) -> tuple[str, str] | None:
    """What is wrong with the row, whatever its cells mean: a code and a sentence."""
    text = "".join(cells)
    if "\x00" in text:
        too_long = text == _TOO_LONG.strip("\n")
        return ("line_too_long", _OVER_LIMIT) if too_long else ("csv_invalid", "the row holds NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "encoding", "the row is not valid UTF-8"
    if len(cells) != columns:
        return "csv_invalid", f"the row has {len(cells)} cells, the header {columns}"
    return None


def spanning(first: int, last: int | None, detail: str) -> str:
    """The sentence, with the lines it is about where they are more than one."""
    return detail if last is None else f"lines {first} to {last}: {detail}"


def _too_long(number: int) -> BadLine:
    return BadLine(number, "line_too_long", _OVER_LIMIT)
