"""NDJSON: a record is the object of a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from app.importing.lines import Lines
from app.importing.records import OVER_LIMIT, BadLine, Many, Preset, Record, Rows

T = TypeVar("T")


def ndjson_records(lines: Lines, preset: Preset, many: Callable[[Many], T | None]) -> Iterator[T | Record | BadLine]:
    """The records of NDJSON, or what `many` makes of a lot of them at once."""
    while True:
        if (data := lines.together()) is not None:
            if (found := many(Rows(data, None, preset))) is not None:
                lines.take()
                yield found
                continue
            lines.one_by_one()
        number = lines.number
        try:
            line = next(lines)
        except StopIteration:
            return
        if line is None:
            yield BadLine(number, "line_too_long", OVER_LIMIT)
        elif line.strip():
            yield _json_record(number, line, preset)


def _json_record(number: int, line: bytes, preset: Preset) -> Record | BadLine:
    code = "json_invalid"
    try:
        fields = json.loads(line.rstrip(b"\r\n").decode("utf-8"), object_pairs_hook=_unique)
        if isinstance(fields, dict):
            return Record(number, _renamed(fields, preset) if preset.names else fields)
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


def _renamed(fields: Mapping[str, object], preset: Preset) -> dict[str, object]:
    named = {ours: value for name, value in fields.items() if (ours := preset.column(name)) is not None}
    for name, change in preset.cells.items():
        if isinstance(cell := named.get(name), str):
            named[name] = change(cell)
    return {name: value for name, value in named.items() if value not in ("", None)}
