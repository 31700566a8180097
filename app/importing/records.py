"""Records: what files and uploads hold, with the line each began on, before anybody asks what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.importing.lines import MAX_LINE_BYTES

CellReader = Callable[[str], object]
OVER_LIMIT = f"the line is over {MAX_LINE_BYTES} bytes"


@dataclass(frozen=True)
class Preset:
    """How another program names and writes what we have columns for.

    Attributes:
        names: its names -> ours. Other columns are passed over, unless there are no names at all.
        cells: by our name, what makes our text of its; an empty one is an absent field.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, Callable[[str], str]] = field(default_factory=dict)

    def column(self, name: str) -> str | None:
        """The column of ours that one of its is; None for one that is passed over."""
        return self.names.get(name) if self.names else name


OWN = Preset()
"""Our own names."""


class BadFile(Exception):
    """The text as a whole cannot be read; the message says why.

    Attributes:
        code: stable. reason: the message without the name of the file.
    """

    def __init__(self, name: str, reason: str, *, code: str = "file_unreadable") -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason
        self.code = code


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


class Rows(NamedTuple):
    """Whole lines that hold a record each, for whoever can read many at once.

    Attributes:
        header: of CSV, the column that each cell is of, None for one that is passed over.
        preset: what was said of the columns.
    """

    data: bytes
    header: tuple[str | None, ...] | None
    preset: Preset = OWN


class Columns(NamedTuple):
    """Rows of a file of columns, for whoever can read many at once.

    Attributes:
        fields: what each row has, by column; None for nothing.
        microseconds: whether timestamps are numbers of microseconds since the epoch.
    """

    fields: Mapping[str, list[Any]]
    microseconds: bool


Many = Rows | Columns
"""A lot of records at once."""


def spanning(first: int, last: int | None, detail: str) -> str:
    """The sentence, with the lines it is about where they are more than one."""
    return detail if last is None else f"lines {first} to {last}: {detail}"
