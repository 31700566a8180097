"""How much memory a process takes at most while something happens.

`getrusage` does not tell: a process takes over the mark of the one that started it, across `exec`. `VmHWM` belongs to
the program alone.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.02


class LargestMemory:
    """The largest RSS of a process and of its children since their start, MiB."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._over = threading.Event()
        self.own = self.child = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> LargestMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            self.own = max(self.own, largest_rss(self._process))
            for child in _children(self._process):
                self.child = max(self.child, largest_rss(child))


@dataclass(frozen=True)
class Ended:
    """A command that has run.

    Args:
        code: its exit code.
        output: its standard output.
        errors: its standard error.
        most: its largest RSS, MiB.
    """

    code: int
    output: bytes
    errors: bytes
    seconds: float
    most: float


def watched(command: Sequence[str], environ: Mapping[str, str]) -> Ended:
    """Run a command to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - our own programs
    with LargestMemory(process.pid) as memory:
        output, errors = process.communicate()
    return Ended(process.returncode, output, errors, time.perf_counter() - started, memory.own)


def largest_rss(process: int | str = "self") -> float:
    """The largest RSS of a process since it runs its program, MiB; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _children(process: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found
