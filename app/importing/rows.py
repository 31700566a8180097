"""What a record of a file means: an interaction, by the rules of POST /interactions, or an item of the catalogue."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from app.db.interactions import NewInteraction
from app.errors import FieldError
from app.importing.records import BadLine, CellReader, Record, spanning
from app.interaction_rows import read_rows
from app.strict_json import RepeatedNames

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"\d{1,18}", re.ASCII)


def number_or_text(cell: str) -> object:
    """A number if the cell looks like one; otherwise the text, for the rules to refuse or read as a date."""
    if _INTEGER.fullmatch(cell):
        return int(cell)
    return float(cell) if len(cell) <= 64 and _NUMBER.fullmatch(cell) else cell


def json_or_text(cell: str) -> object:
    """What the cell says as JSON; otherwise the text, for the rules to refuse."""
    try:
        value: object = json.loads(cell, object_pairs_hook=_noting_repeats)
    except (ValueError, RecursionError):
        return cell
    return value


def _noting_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    return built if len(built) == len(pairs) else RepeatedNames(pairs)


INTERACTION_COLUMNS: Mapping[str, CellReader] = {
    "user_id": str,
    "item_id": str,
    "event_type": str,
    "value": number_or_text,
    "timestamp": number_or_text,
    "event_id": str,
    "recommendation_id": str,
    "context": json_or_text,
}
"""The columns of a CSV file of interactions; `context` holds JSON."""


def interaction(record: Record | BadLine, *, now_us: int) -> NewInteraction | BadLine:
    """The record as an interaction, or what is wrong with it. `now_us` is the time received."""
    if isinstance(record, BadLine):
        return record
    read = read_rows(record.fields, now_us=now_us)
    return read.rows[0] if read.rows else bad_row(record, read.rejected[0])


def bad_row(record: Record, errors: list[FieldError]) -> BadLine:
    """The first of a record's errors, with the field it is about."""
    first = errors[0]
    field = first.pointer.lstrip("/")
    detail = f"{field}: {first.detail}" if field else first.detail
    return BadLine(record.line, first.code, spanning(record.line, record.last, detail))
