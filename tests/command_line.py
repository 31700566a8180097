"""`likewise` as a process, as its users run it: nothing of this process's environment reaches it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 60


class CommandLine:
    """Runs commands in a folder of their own.

    Args:
        folder: the working folder; the default store comes to lie in its `data`.
        settings: variables LIKEWISE_*.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.settings = dict(settings or {})

    def run(self, *arguments: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Process]:
        """A command that goes on until it is told to stop."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("wb") as stderr:
            popen = subprocess.Popen(
                self._command(arguments), cwd=self.folder, env=self._environ(), stdout=subprocess.PIPE, stderr=stderr
            )
        process = Process(popen, log)
        try:
            yield process
        finally:
            process.kill()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "app.cli", *arguments]

    def _environ(self) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return base | self.settings


class Process:
    """A running command."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def address(self) -> str:
        """Where `serve` says that it listens; waits for that line."""
        assert self._popen.stdout is not None
        watchdog = threading.Timer(SECONDS, self._popen.kill)
        watchdog.start()
        try:
            for line in self._popen.stdout:
                if match := re.search(rb"listens on (http://\S+)", line):
                    return match[1].decode()
        finally:
            watchdog.cancel()
        raise AssertionError(f"it ended without listening:\n{self.log()}")

    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        """Until it has written these words to stderr."""
        deadline = time.monotonic() + SECONDS
        while words not in self.log():
            assert not self.ended(), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def ended(self) -> bool:
        """Whether it is no longer running."""
        return self._popen.poll() is not None

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 30) -> int:
        """Send a signal; returns the exit code."""
        self._popen.send_signal(number)
        return self._popen.wait(timeout=seconds)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
