"""The rows of CSV text, of which a broken one costs no more than the line that it began on."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator


class CsvRows:
    """The rows as lists of cells; iterate once.

    A quote that nobody closes makes the lines after it part of one cell, until the next quote, the limit of a cell
    (131,072 characters) or the end. Such a row raises csv.Error, and the row after it begins on the next line again.

    Args:
        lines: the physical lines with their ends.
        columns: how many cells a row has at most. One that reopens its quotes on more lines than that cannot become
            a row, and is given up there: otherwise text made for it could have every line swallow all that follow,
            and be read again as often as it has lines. So a line is read at most `columns` + 2 times.

    Attributes:
        first, last: the lines of the newest row, counted from 1; of one that raised, `last` is `first`.
    """

    def __init__(self, lines: Iterable[str], columns: int) -> None:
        self.first = 0
        self.last = 0
        self._columns = columns
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._rows = csv.reader(self._next_lines(), strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        """The next row. Raises: csv.Error; the row after it can be asked for all the same."""
        self._taken.clear()
        self.first = self.last + 1
        try:
            cells = next(self._rows)
        except csv.Error as error:
            swallowed = self._taken[1:]
            self._again.extendleft(reversed(swallowed))
            self.last = self.first
            self._rows = csv.reader(self._next_lines(), strict=True)
            if swallowed or _UNENDED in str(error):
                raise csv.Error("a quote that opens on this line is not closed") from error
            raise
        self.last = self.first + len(self._taken) - 1
        return cells

    @property
    def between_rows(self) -> bool:
        """Whether no line that was taken waits to be read again."""
        return not self._again

    def skip(self, lines: int) -> None:
        """Somebody else has read so many lines, whole rows."""
        self.last += lines

    def _next_lines(self) -> Iterator[str]:
        reopened = 0
        while True:
            if self._again:
                line = self._again.popleft()
            else:
                try:
                    line = next(self._lines)
                except StopIteration:
                    return
            if not self._taken:
                reopened = 0
            elif _closes_a_quote(line):
                reopened += 1
                # The lines so far each ended within quotes, or this one would not have been asked for.
                if reopened > self._columns:
                    self._taken.append(line)
                    raise csv.Error("the row has more cells than there are columns")
            self._taken.append(line)
            yield line


_UNENDED = "unexpected end of data"


def _closes_a_quote(line: str) -> bool:
    """Whether the line, which begins within quotes, leaves them: two quotes in a row stand for one of the text."""
    return '"' in line and '"' in line.replace('""', "")
