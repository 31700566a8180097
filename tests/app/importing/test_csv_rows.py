from __future__ import annotations

import csv
import time

import pytest

from app.importing.csv_rows import CsvRows


def read(text: str, columns: int = 2) -> list[tuple[int, int, list[str] | str]]:
    """Each row with the lines it began and ended on; the words of the error where it is none."""
    rows = CsvRows(text.splitlines(keepends=True), columns)
    found: list[tuple[int, int, list[str] | str]] = []
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return found
        except csv.Error as error:
            found.append((rows.first, rows.last, str(error)))
        else:
            found.append((rows.first, rows.last, cells))


UNCLOSED = "a quote that opens on this line is not closed"


def test_rows_come_with_the_lines_they_began_and_ended_on() -> None:
    assert read('a,b\n"c\nd","e\nf"\n\ng,"h ""i"""\n') == [
        (1, 1, ["a", "b"]),
        (2, 4, ["c\nd", "e\nf"]),
        (5, 5, []),
        (6, 6, ["g", 'h "i"']),
    ]


@pytest.mark.parametrize("last", ["", 'e,"f"\n'], ids=["the end of the file", "a later quote"])
def test_after_an_open_quote_the_next_line_is_a_row_again(last: str) -> None:
    after = [(4, 4, ["e", "f"])] if last else []
    assert read('a,"b\nc,1\nd,2\n' + last) == [(1, 1, UNCLOSED), (2, 2, ["c", "1"]), (3, 3, ["d", "2"]), *after]


def test_open_quotes_one_after_the_other_are_each_told() -> None:
    assert read('a,"b\nc,"d\n"e\nf,1\n') == [
        (1, 1, UNCLOSED),
        (2, 2, UNCLOSED),
        (3, 3, UNCLOSED),
        (4, 4, ["f", "1"]),
    ]


def test_a_line_broken_by_itself_keeps_its_own_reason() -> None:
    first, second = read('"a"b,1\nc,2\n')
    assert "expected after" in first[2]
    assert second == (2, 2, ["c", "2"])


def test_a_row_that_reopens_its_quotes_more_often_than_it_has_cells_is_given_up() -> None:
    assert read('"a\n","b\n"\n', columns=2) == [(1, 3, ["a\n", "b\n"])]
    found = read('x","\n' * 10, columns=2)
    assert found[:8] == [(n, n, UNCLOSED) for n in range(1, 9)]


@pytest.mark.slow
@pytest.mark.parametrize("line", ['"ann,1\n', 'x","\n', 'ann,"""b\n'])
def test_each_line_is_read_a_few_times_at_most_however_many_are_bad(line: str) -> None:
    lines = 200_000
    began = time.monotonic()
    found = read(line * lines)
    assert time.monotonic() - began < 20  # about one second; read again for each line it would be an hour
    assert [place for place, _, cells in found if cells == UNCLOSED][: lines - 10] == list(range(1, lines - 9))
