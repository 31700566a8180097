from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.importing.lines import BLOCK_BYTES, MAX_LINE_BYTES, Lines, WrongEncoding, blocks

BOM = b"\xef\xbb\xbf"
Read = Callable[[int], bytes]


def reading(data: bytes, sizes: Iterable[int] = ()) -> Read:
    """A `read` that brings so many bytes at a time, where more are not asked for; at last all that it is asked for."""
    left = iter(sizes)
    place = 0

    def read(most: int) -> bytes:
        nonlocal place
        begin, place = place, place + min(next(left, most), most)
        return data[begin:place]

    return read


def numbered(lines: Lines) -> Iterator[tuple[int, bytes | None]]:
    """Each line after its number."""
    while True:
        number = lines.number
        try:
            yield number, next(lines)
        except StopIteration:
            return


def split(data: bytes) -> list[bytes | None]:
    """The lines with their ends, as they should come."""
    *ended, last = data.split(b"\n")
    return [line + b"\n" for line in ended] + ([last] if last else [])


TEXTS = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"\n", b"\r", b"a", b",", b"\x00", BOM]), max_size=60).map(b"".join),
).filter(lambda data: data[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" not in data[:2])
# The first piece is long enough for a byte order mark.
SIZES = st.tuples(st.integers(4, 20), st.lists(st.integers(1, 20), max_size=60)).map(lambda some: [some[0], *some[1]])


@given(TEXTS, SIZES)
def test_the_lines_are_those_between_line_feeds_however_they_are_read(data: bytes, sizes: list[int]) -> None:
    lines = Lines(blocks(reading(data, sizes)))
    assert list(numbered(lines)) == list(enumerate(split(data.removeprefix(BOM)), 1))


@given(TEXTS, SIZES)
def test_blocks_are_whole_lines_with_the_number_of_the_first(data: bytes, sizes: list[int]) -> None:
    found = list(blocks(reading(data, sizes)))
    number = 1
    for block in found:
        assert block.first == number
        assert block.data
        number += block.data.count(b"\n")
    assert all((block.data or b"").endswith(b"\n") for block in found[:-1])
    assert b"".join(block.data or b"" for block in found) == data.removeprefix(BOM)


@given(TEXTS, SIZES, st.lists(st.booleans(), max_size=60))
def test_lines_taken_together_and_one_by_one_are_all_lines_in_their_order(
    data: bytes, sizes: list[int], turns: list[bool]
) -> None:
    lines = Lines(blocks(reading(data, sizes)))
    found: list[bytes | None] = []
    for together in turns:
        if together and (some := lines.together()) is not None:
            taken = split(some)
            assert lines.take() == len(taken)
            found += taken
        elif (line := next(lines, None)) is not None:
            found.append(line)
        assert lines.number == len(found) + 1
    assert [*found, *lines] == split(data.removeprefix(BOM))


def test_what_is_looked_at_together_is_still_there_one_by_one() -> None:
    lines = Lines(blocks(reading(b"a\nb\nc\n")))
    assert next(lines) == b"a\n"
    assert lines.together() == b"b\nc\n"
    assert list(numbered(lines)) == [(2, b"b\n"), (3, b"c\n")]


def test_a_block_that_is_to_be_read_one_by_one_is_not_given_together_again_but_the_next_one_is() -> None:
    lines = Lines(blocks(reading(b"a\nb\nc\nd\n", [4])))
    assert lines.together() == b"a\nb\n"
    lines.one_by_one()
    assert lines.together() is None
    assert next(lines) == b"a\n"
    assert lines.together() is None
    assert next(lines) == b"b\n"
    assert lines.together() == b"c\nd\n"


def test_there_is_nothing_together_at_the_end() -> None:
    lines = Lines(blocks(reading(b"a\n")))
    assert list(lines) == [b"a\n"]
    assert lines.together() is None


def test_text_without_anything_in_it_has_no_lines() -> None:
    assert list(Lines(blocks(reading(b"")))) == []
    assert list(Lines(blocks(reading(BOM)))) == []


def test_only_the_first_byte_order_mark_is_left_out() -> None:
    assert list(Lines(blocks(reading(BOM + BOM + b"a\n" + BOM + b"b")))) == [BOM + b"a\n", BOM + b"b"]


@pytest.mark.parametrize("first", [1, 2])
def test_a_byte_order_mark_that_comes_in_pieces_is_left_out(first: int) -> None:
    assert list(Lines(blocks(reading(BOM + b"a\n", [first])))) == [b"a\n"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_of_two_bytes_a_character_is_refused(encoding: str) -> None:
    for text in ("\ufeffa\n", "ab\n"):
        with pytest.raises(WrongEncoding, match="save it as UTF-8"):
            next(blocks(reading(text.encode(encoding))))


LONG = st.sampled_from([MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 2 * MAX_LINE_BYTES + 7])
LENGTHS = st.lists(st.one_of(st.integers(1, 5), LONG), max_size=4)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.booleans(), st.lists(st.sampled_from([BLOCK_BYTES, BLOCK_BYTES - 1, 100_000]), max_size=30))
def test_lines_over_the_limit_come_as_none_and_those_around_them_as_they_are(
    lengths: list[int], ends: bool, sizes: list[int]
) -> None:
    whole = [b"x" * (length - 1) + b"\n" for length in lengths]
    if whole and not ends:
        whole[-1] = whole[-1][:-1] + b"y"
    lines = Lines(blocks(reading(b"".join(whole), sizes)))
    expected = [None if len(line) > MAX_LINE_BYTES else line for line in whole]
    assert list(numbered(lines)) == list(enumerate(expected, 1))


TOO_LONG = b"x" * (MAX_LINE_BYTES + 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TOO_LONG + b"\na\nb\n", [(1, None), (2, b"a\n"), (3, b"b\n")]),
        (b"a\n" + TOO_LONG + b"\nb\n", [(1, b"a\n"), (2, None), (3, b"b\n")]),
        (b"a\nb\n" + TOO_LONG + b"\n", [(1, b"a\n"), (2, b"b\n"), (3, None)]),
        (b"a\nb\n" + TOO_LONG, [(1, b"a\n"), (2, b"b\n"), (3, None)]),
        (TOO_LONG + b"\n\n" + TOO_LONG + b"\n\nb", [(1, None), (2, b"\n"), (3, None), (4, b"\n"), (5, b"b")]),
        (BOM + TOO_LONG[:MAX_LINE_BYTES] + b"\nb", [(1, None), (2, b"b")]),
        (BOM + TOO_LONG[: MAX_LINE_BYTES - 1] + b"\nb", [(1, TOO_LONG[: MAX_LINE_BYTES - 1] + b"\n"), (2, b"b")]),
    ],
    ids=["start", "middle", "end", "end without an end", "twice", "mark does not count", "mark does not count either"],
)
def test_the_lines_after_one_over_the_limit_keep_their_numbers(
    data: bytes, expected: list[tuple[int, bytes | None]]
) -> None:
    assert list(numbered(Lines(blocks(reading(data))))) == expected


@pytest.mark.parametrize("sizes", [[], [100_000] * 100], ids=["quickly", "in small pieces"])
def test_blocks_after_a_line_over_the_limit_have_the_right_numbers(sizes: list[int]) -> None:
    data = b"a\nb\n" + 2 * TOO_LONG + b"\n" + TOO_LONG + b"\nc\nd"
    found = [block.first for block in blocks(reading(data, sizes))]
    assert found == [1, 3, 4, 5, 6]


def test_a_line_over_the_limit_is_not_given_together() -> None:
    lines = Lines(blocks(reading(TOO_LONG + b"\na\n")))
    assert lines.together() is None
    assert next(lines) is None
    assert lines.together() == b"a\n"


def test_a_line_of_64_mib_takes_no_more_memory_than_one_at_the_limit() -> None:
    piece = b"x" * BLOCK_BYTES
    asked = 0

    def read(most: int) -> bytes:
        nonlocal asked
        asked += 1
        return b"\nafter" if asked == 130 else piece[:most] if asked < 130 else b""

    tracemalloc.start()
    try:
        found = list(Lines(blocks(read)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [None, b"after"]
    assert asked > 129
    assert peak < 3 * (MAX_LINE_BYTES + BLOCK_BYTES)


def test_reading_stops_where_the_reader_raises() -> None:
    def read(_: int) -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        next(blocks(read))
