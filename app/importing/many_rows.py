"""Whole blocks of lines as interactions at once, for what is plainly right; the rest is read row by row.

`app.interaction_rows` says what the rules are, and of a row that breaks one, which. Here they are only kept: whatever
is not certain to be right row by row too gives None. That takes under a microsecond a row instead of ten.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from pydantic_core import PydanticCustomError

from app.clock import DAY_US, MICROSECONDS
from app.db.new_interactions import NewInteractions
from app.ids import MAX_ID_LENGTH, InvalidId, check_id
from app.importing.many_times import times_us
from app.importing.records import Columns, Many, Rows
from app.importing.rows import json_or_text, number_or_text
from app.interaction_rows import DEFAULT_TYPE, MAX_SECONDS, MAX_VALUE, context_text, timestamp_us
from app.quick_rows import DECODER
from app.settings import EVENT_TYPE

Column = list[Any]
# What a column of ours can be made of; a boolean, for one, is no number here.
_TAKEN = {str, int, float, UnsetType}


class _Unsure(Exception):
    """Not certain to be right."""


def interactions(rows: Many, *, now_us: int) -> NewInteractions | None:
    """The interactions of some lines or columns, or None where any of them may be wrong.

    Args:
        now_us: the time received: of rows that say none, and what "a day ahead" is measured from.
    """
    try:
        if isinstance(rows, Columns):
            return _from_columns(rows, now_us)
        return _from_ndjson(rows, now_us) if rows.header is None else _from_csv(rows, rows.header, now_us)
    except (_Unsure, InvalidId, PydanticCustomError):
        return None
    except (msgspec.MsgspecError, csv.Error, ValueError, OverflowError, RecursionError):
        return None


def _from_ndjson(rows: Rows, now_us: int) -> NewInteractions:
    if rows.preset.names:
        raise _Unsure
    data = _ending_lines(rows.data)
    lines = data.count(b"\n")
    # A line end between } and { stands between objects, so there is one object on each line if there are as many.
    if not (data.startswith(b"{") and data.endswith(b"}\n") and data.count(b"}\n{") == lines - 1):
        raise _Unsure
    decoded = DECODER.decode_lines(data)
    if len(decoded) != lines:
        raise _Unsure
    columns: dict[str, Column] = {
        "user_id": [row.user_id for row in decoded],
        "item_id": [row.item_id for row in decoded],
        "event_type": [row.event_type for row in decoded],
        "value": [row.value for row in decoded],
        "timestamp": [row.timestamp for row in decoded],
        "event_id": [row.event_id for row in decoded],
        "recommendation_id": [row.recommendation_id for row in decoded],
    }
    contexts = [bytes(row.context) for row in decoded] if b'"context"' in data else None
    # The decoder does not tell of a name that stands twice. Each name and each text has two quotes, and one that is
    # escaped makes more of them: as many as that are there only if no name stands twice.
    quotes = sum(map(_quotes, columns.values()))
    if contexts is not None:
        quotes += sum(2 + context.count(b'"') for context in contexts if context)
    if data.count(b'"') != quotes:
        raise _Unsure
    texts = None if contexts is None else [_context(raw.decode()) if raw else None for raw in contexts]
    return _checked(columns, texts, now_us)


def _quotes(column: Column) -> int:
    """How many quotes a column has in JSON without escapes."""
    kinds = set(map(type, column))
    texts = len(column) if kinds == {str} else sum(type(one) is str for one in column) if str in kinds else 0
    return 2 * (len(column) - column.count(UNSET) + texts)


def _from_csv(rows: Rows, header: Sequence[str | None], now_us: int) -> NewInteractions:
    data = _ending_lines(rows.data)
    if b"\x00" in data or b"\n\n" in data or data.startswith(b"\n"):
        raise _Unsure
    lines = data.decode("utf-8")[:-1].split("\n")
    if max(map(len, lines)) > csv.field_size_limit():
        raise _Unsure
    cells = list(csv.reader(lines, strict=True)) if b'"' in data else [line.split(",") for line in lines]
    if len(cells) != len(lines) or set(map(len, cells)) != {len(header)}:
        raise _Unsure
    named = {name: column for name, column in zip(header, zip(*cells, strict=True), strict=True) if name is not None}
    for name, change in rows.preset.cells.items():
        if name in named:
            meant = {cell: change(cell) if cell else cell for cell in set(named[name])}
            named[name] = tuple(meant[cell] for cell in named[name])
    contexts = named.pop("context", ())
    texts = [_context(cell) if cell else None for cell in contexts] if any(contexts) else None
    return _checked({name: _CELLS[name](column) for name, column in named.items()}, texts, now_us)


def _from_columns(rows: Columns, now_us: int) -> NewInteractions:
    fields = dict(rows.fields)
    contexts = fields.pop("context", [])
    texts = [None if one is None else context_text(one) for one in contexts]
    columns = {name: [UNSET if one is None else one for one in column] for name, column in fields.items()}
    if any(kind not in _TAKEN for column in columns.values() for kind in set(map(type, column))):
        raise _Unsure
    return _checked(columns, texts, now_us, microseconds=rows.microseconds)


def _ending_lines(data: bytes) -> bytes:
    """The lines with a line feed after each, and no carriage returns. Raises: _Unsure where one stands elsewhere."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            raise _Unsure
    return data if data.endswith(b"\n") else data + b"\n"


def _context(text: str) -> str | None:
    value = json_or_text(text)
    return None if value is None else context_text(value)


def _needed_cells(cells: Sequence[str]) -> Column:
    if "" in cells:
        raise _Unsure
    return list(cells)


def _optional_cells(cells: Sequence[str]) -> Column:
    return [cell or UNSET for cell in cells]


def _number_cells(cells: Sequence[str]) -> Column:
    if "".join(cells).isdecimal() and "" not in cells:
        return list(map(number_or_text, cells))
    meant = {cell: number_or_text(cell) if cell else UNSET for cell in set(cells)}
    return [meant[cell] for cell in cells]


_CELLS: dict[str, Callable[[Sequence[str]], Column]] = {
    "user_id": _needed_cells,
    "item_id": _needed_cells,
    "event_type": _optional_cells,
    "value": _number_cells,
    "timestamp": _number_cells,
    "event_id": _optional_cells,
    "recommendation_id": _optional_cells,
}


def _checked(
    columns: dict[str, Column], contexts: list[str | None] | None, now_us: int, *, microseconds: bool = False
) -> NewInteractions:
    """The columns, each kept to its rule. Raises: _Unsure, and what the rules raise."""
    user_ids = _ids(columns["user_id"])
    return NewInteractions(
        user_ids=user_ids,
        item_ids=_ids(columns["item_id"]),
        event_types=_event_types(columns.get("event_type"), len(user_ids)),
        values=_values(columns.get("value"), len(user_ids)),
        occurred_us=_times(columns.get("timestamp"), len(user_ids), now_us, microseconds=microseconds),
        event_ids=_optional_ids(columns.get("event_id")),
        recommendation_ids=_optional_ids(columns.get("recommendation_id")),
        contexts=contexts if contexts is not None and any(one is not None for one in contexts) else None,
    )


def _ids(column: Column) -> list[str]:
    if (kinds := set(map(type, column))) != {str}:
        if not kinds <= {str, int}:
            raise _Unsure
        column = list(map(str, column))
    _check_ids(set(column))
    return column


def _optional_ids(column: Column | None) -> list[str | None] | None:
    if column is None or column.count(UNSET) == len(column):
        return None
    if float in set(map(type, column)):
        raise _Unsure
    found = [None if one is None or one is UNSET else str(one) for one in column]
    given = set(found)
    given.discard(None)
    _check_ids(given)
    return found if given else None


def _check_ids(ids: Iterable[Any]) -> None:
    """All at once where nothing is unusual about any. Raises: InvalidId."""
    whole = "".join(ids)
    usual = whole.isascii() and whole.isprintable() and " " not in whole
    if not usual or min(map(len, ids), default=1) < 1 or max(map(len, ids), default=1) > MAX_ID_LENGTH:
        for one in ids:
            check_id(one)


def _event_types(column: Column | None, rows: int) -> list[str]:
    if column is None or column.count(UNSET) == rows:
        return [DEFAULT_TYPE] * rows
    if UNSET in (kinds := set(column)):
        column = [DEFAULT_TYPE if one is UNSET else one for one in column]
        kinds.discard(UNSET)
    if not all(isinstance(kind, str) and EVENT_TYPE.fullmatch(kind) for kind in kinds):
        raise _Unsure
    return column


def _values(column: Column | None, rows: int) -> list[float]:
    if column is None or (unset := column.count(UNSET)) == rows:
        return [1.0] * rows
    if unset:
        column = [1.0 if one is UNSET else one for one in column]
    if str in set(map(type, column)):
        raise _Unsure
    values = np.array(column, dtype=np.float64)
    if not ((values > 0) & (values <= MAX_VALUE)).all():
        raise _Unsure
    return values.tolist()  # type: ignore[no-any-return]


def _times(column: Column | None, rows: int, now_us: int, *, microseconds: bool) -> list[int]:
    """Microseconds since the epoch of timestamps in one form, or in several."""
    if column is None or (unset := column.count(UNSET)) == rows:
        return [now_us] * rows
    kinds = set(map(type, column))
    if microseconds:
        found = np.array([now_us if one is UNSET else one for one in column], dtype=np.int64)
        if found.min() < 0:
            raise _Unsure
    elif unset or len(kinds) > 1:
        found = np.array([now_us if one is UNSET else timestamp_us(one) for one in column], dtype=np.int64)
    elif kinds == {str}:
        found = times_us(column)
    else:
        seconds = np.array(column)
        if not ((seconds >= 0) & (seconds <= MAX_SECONDS)).all():
            raise _Unsure
        whole = seconds.dtype.kind == "i"
        found = seconds * MICROSECONDS if whole else np.rint(seconds * MICROSECONDS).astype(np.int64)
    if found.max() > now_us + DAY_US:
        raise _Unsure
    return found.tolist()  # type: ignore[no-any-return]
