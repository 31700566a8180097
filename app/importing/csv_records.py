"""CSV: the first row names the columns, and a record is a row after it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from app.importing.csv_rows import CsvRows
from app.importing.lines import Lines
from app.importing.records import OVER_LIMIT, BadLine, CellReader, Many, Preset, Record, Rows, spanning

T = TypeVar("T")
# Stands in for a line too long to keep; no record may hold it, so that the record is refused.
_TOO_LONG = "\x00\n"
_REASONS = {
    "new-line character seen in unquoted field": "a carriage return stands in a cell; lines end in LF or CRLF",
    "expected after": "something stands between a closing quote and the next comma",
    "field larger than field limit": "a cell is over 131,072 characters",
}
# No row of ours has as many.
_MOST_COLUMNS = 64


class BadHeader(Exception):
    """The first row of CSV does not name its columns."""


def csv_records(
    lines: Lines,
    columns: Mapping[str, CellReader],
    required: Collection[str],
    preset: Preset,
    many: Callable[[Many], T | None],
) -> Iterator[T | Record | BadLine]:
    """The records of CSV, or what `many` makes of a lot of them at once. Raises: BadHeader."""
    rows = CsvRows(map(_decoded, lines), _MOST_COLUMNS)
    header = _header(rows, columns, required, preset)
    readers = [_reader(name, columns, preset) for name in header]
    while True:
        if rows.between_rows and (data := lines.together()) is not None:
            if (found := many(Rows(data, header, preset))) is not None:
                rows.skip(lines.take())
                yield found
                continue
            lines.one_by_one()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(rows.first, "csv_invalid", f"the row cannot be read as CSV: {_reason(error)}")
            continue
        if cells:
            yield _csv_record(rows, cells, header, readers)


def _decoded(line: bytes | None) -> str:
    return _TOO_LONG if line is None else line.decode("utf-8", "surrogateescape")


def _reader(name: str | None, columns: Mapping[str, CellReader], preset: Preset) -> CellReader:
    """What a cell of a column means; None for an absent field."""
    if name is None:
        return lambda _: None
    read, change = columns[name], preset.cells.get(name)
    return read if change is None else lambda cell: read(changed) if (changed := change(cell)) else None


def _header(
    reader: Iterator[list[str]],
    columns: Mapping[str, CellReader],
    required: Collection[str],
    preset: Preset,
) -> tuple[str | None, ...]:
    """The column that each cell of a row is of; None for one that is passed over."""
    try:
        given = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadHeader(f"line 1: the header cannot be read as CSV: {_reason(error)}") from error
    if not given:
        raise BadHeader("line 1: there is no header row; CSV names its columns first")
    if given == [_TOO_LONG.strip("\n")]:
        raise BadHeader(f"line 1: there is no header row: {OVER_LIMIT}")
    header = tuple(map(preset.column, given))
    if unknown := sorted({name for name in header if name is not None} - columns.keys()):
        shown = ascii(unknown[0][:64])
        raise BadHeader(f"line 1: the column {shown} is not known; columns are {', '.join(columns)}")
    kept = [name for name in header if name is not None]
    if twice := sorted({name for name in kept if kept.count(name) > 1}):
        raise BadHeader(f"line 1: two columns stand for {twice[0]}")
    if missing := [name for name in required if name not in kept]:
        theirs = next((other for other, ours in preset.names.items() if ours == missing[0]), missing[0])
        raise BadHeader(f"line 1: the column {theirs} is missing")
    return header


def _reason(error: csv.Error) -> str:
    """What is wrong, in our words where the library's speak of Python."""
    said = str(error)
    return next((ours for theirs, ours in _REASONS.items() if theirs in said), said)


def _csv_record(
    rows: CsvRows, cells: list[str], header: tuple[str | None, ...], readers: list[CellReader]
) -> Record | BadLine:
    last = None if rows.last == rows.first else rows.last
    if wrong := _wrong_row(cells, len(header)):
        code, detail = wrong
        return BadLine(rows.first, code, detail if code == "line_too_long" else spanning(rows.first, last, detail))
    fields: dict[str, object] = {}
    for name, read, cell in zip(header, readers, cells, strict=True):
        if cell and name is not None and (value := read(cell)) is not None:
            fields[name] = value
    return Record(rows.first, fields, last)


def _wrong_row(cells: list[str], columns: int) -> tuple[str, str] | None:
    """What is wrong with the row, whatever its cells mean: a code and a sentence."""
    text = "".join(cells)
    if "\x00" in text:
        too_long = text == _TOO_LONG.strip("\n")
        return ("line_too_long", OVER_LIMIT) if too_long else ("csv_invalid", "the row holds NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "encoding", "the row is not valid UTF-8"
    if len(cells) != columns:
        return "csv_invalid", f"the row has {len(cells)} cells, the header {columns}"
    return None
