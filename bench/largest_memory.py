"""How much memory a process takes at most while something happens."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path


class LargestMemory:
    """The largest RSS of a process and of its children since the start, MiB."""

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
        while not self._over.wait(0.02):
            self.own = max(self.own, _rss(self._process))
            for child in _children(self._process):
                self.child = max(self.child, _rss(child))


def _rss(process: int) -> float:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _children(process: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found
