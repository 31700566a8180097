"""Text as blocks of whole lines, with bounded memory whatever the lines are like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 1024 * 1024
BLOCK_BYTES = 512 * 1024
_BOM = b"\xef\xbb\xbf"
_TELLING_BYTES = 4
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class WrongEncoding(Exception):
    """The text is in an encoding of two bytes a character."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines.

    Attributes:
        first: the number of the first one, counted from 1.
        data: whole lines with their ends; only the last one of all may have none. None stands for one line of over
            MAX_LINE_BYTES.
    """

    first: int
    data: bytes | None


class Lines:
    """The lines of some blocks, one by one or all that are left of a block together.

    Attributes:
        number: of the line that comes next.
    """

    def __init__(self, found: Iterator[Block]) -> None:
        self._blocks = found
        self._block = Block(1, b"")
        self._start = 0
        self._together = True
        self.number = 1

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> bytes | None:
        """The next line with its end; None for one over the limit."""
        if not self._fill():
            raise StopIteration
        data = self._block.data
        self.number += 1
        if data is None:
            self._start = 1
            return None
        start, self._start = self._start, data.find(b"\n", self._start) + 1 or len(data)
        return data[start : self._start]

    def together(self) -> bytes | None:
        """All that is left of a block; None at the end, and where lines are to be read one by one."""
        if not self._fill() or not self._together or self._block.data is None:
            return None
        return self._block.data[self._start :]

    def take(self) -> int:
        """Go on after what `together` gave; how many lines that was."""
        data = self._block.data or b""
        lines = data.count(b"\n", self._start) + (not data.endswith(b"\n"))
        self._start = len(data)
        self.number += lines
        return lines

    def one_by_one(self) -> None:
        """Give the lines of this block only singly."""
        self._together = False

    def _fill(self) -> bool:
        """Whether there is another line."""
        if self._start < (1 if self._block.data is None else len(self._block.data)):
            return True
        found = next(self._blocks, None)
        if found is None:
            return False
        self._block, self._start, self._together = found, 0, True
        self.number = found.first
        return True


def blocks(read: Callable[[int], bytes]) -> Iterator[Block]:
    """The lines of what `read` brings, up to its first empty answer; a byte order mark is left out.

    Raises: WrongEncoding for UTF-16; what `read` raises.
    """
    rest = read(BLOCK_BYTES)
    while len(rest) < _TELLING_BYTES and (more := read(BLOCK_BYTES)):
        rest += more
    if rest.startswith(_UTF_16) or _is_unmarked_utf_16(rest[:4]):
        raise WrongEncoding("the text is UTF-16; save it as UTF-8")
    rest = rest.removeprefix(_BOM)
    number = 1
    while True:
        if end := rest.rfind(b"\n") + 1:
            yield from _checked(number, rest[:end])
            number += rest.count(b"\n", 0, end)
            rest = rest[end:]
        if len(rest) > MAX_LINE_BYTES:
            yield Block(number, None)
            number += 1
            rest = _after_this_line(read)
        elif data := read(BLOCK_BYTES):
            rest += data
        else:
            break
    if rest:
        yield from _checked(number, rest)


def _is_unmarked_utf_16(four: bytes) -> bool:
    """Whether each of two characters has one byte that is NUL, on the same side."""
    return [byte == 0 for byte in four] in ([True, False] * 2, [False, True] * 2)


def _after_this_line(read: Callable[[int], bytes]) -> bytes:
    """Skip the rest of a line; what was read beyond it."""
    while (data := read(BLOCK_BYTES)) and b"\n" not in data:
        pass
    return data[data.find(b"\n") + 1 :]


def _checked(number: int, data: bytes) -> Iterator[Block]:
    """A block, of which only the first line can be over the limit: it alone began in an earlier read."""
    first_end = data.find(b"\n") + 1 or len(data)
    if first_end > MAX_LINE_BYTES:
        yield Block(number, None)
        number, data = number + 1, data[first_end:]
    if data:
        yield Block(number, data)
