"""Processes of the service's own: each may crash or run out of memory, and the others do not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

_log = structlog.get_logger(__name__)

_FIRST_BACKOFF_SECONDS = 1.0
_MAX_BACKOFF_SECONDS = 30.0
# One that ran this long had started well; the next failure counts as a first one again.
_HEALTHY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_WRONG_CONFIGURATION = 78


def trainer_command(read_end: int) -> list[str]:
    """The command line of the child; `read_end` is the pipe that tells it of its parent's end."""
    return [sys.executable, "-m", "app.cli", "trainer", "--parent-pipe", str(read_end)]


def worker_command(read_end: int, *, number: int, listener: int, loopback: bool) -> list[str]:
    """The command line of worker `number`, which takes connections from the listening socket `listener`."""
    bound = "--loopback" if loopback else "--no-loopback"
    options = ["--number", str(number), "--listener", str(listener), bound, "--parent-pipe", str(read_end)]
    return [sys.executable, "-m", "app.cli", "worker", *options]


class Child:
    """Keeps one process running until stopped.

    The child has a session of its own, so that Ctrl-C in a terminal reaches only the parent, which then stops it in
    order. It also holds the reading end of a pipe whose writing end is here: however this process ends, the pipe ends
    with it, and so does the child. A child that fails is started again after 1, 2, 4 ... 30 seconds, except for a wrong
    configuration, which a restart would not mend.

    Args:
        name: what it is called in the log.
        command: makes the command line from the pipe's descriptor.
        environ: the child's environment; this process's by default.
        pass_fds: further descriptors that it gets.
        first_backoff_seconds: the wait after the first failure.
        on_end: called whenever it has ended, before it is started again.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        *,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        first_backoff_seconds: float = _FIRST_BACKOFF_SECONDS,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._environ = None if environ is None else dict(environ)
        self._name = name
        self._command = command
        self._pass_fds = tuple(pass_fds)
        self._first_backoff = first_backoff_seconds
        self._on_end = on_end
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=f"{name}-child", daemon=True)

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        with self._lock:
            return None if self._process is None or _has_ended(self._process) else self._process.pid

    @property
    def given_up(self) -> bool:
        """Whether it was started, and ended in a way that another start would not mend."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Start the child and the thread that watches it."""
        self._thread.start()

    def stop(self, *, seconds: float = _STOP_SECONDS) -> None:
        """SIGTERM, `seconds` to end, then SIGKILL for the child's whole session. Returns when it is gone."""
        self.tell()
        if self._thread.ident is None:
            return  # never started
        self._thread.join(timeout=seconds)
        if self._thread.is_alive():
            _log.warning(f"{self._name}_killed", after_seconds=seconds)
            self._signal(signal.SIGKILL)
            self._thread.join()

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Let it end, and start none again; returns at once."""
        self._stopping.set()
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        # Under the lock the child is not reaped yet: its number cannot belong to somebody else.
        with self._lock:
            if self._process is not None and not _has_ended(self._process):
                os.killpg(self._process.pid, number)

    def _keep_running(self) -> None:
        backoff = self._first_backoff
        while not self._stopping.is_set():
            started = time.monotonic()
            exit_code = self._run_once()
            self._on_end()
            if self._stopping.is_set():
                return
            if exit_code == _WRONG_CONFIGURATION:
                _log.error(
                    f"{self._name}_not_started",
                    exit_code=exit_code,
                    reason="its configuration is wrong, its own line above says how; it is started again with the "
                    "service only",
                )
                return
            if time.monotonic() - started >= _HEALTHY_SECONDS:
                backoff = self._first_backoff
            _log.warning(f"{self._name}_ended", exit_code=exit_code, again_in_seconds=backoff)
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)

    def _run_once(self) -> int:
        read_end, write_end = os.pipe()
        try:
            with self._lock:
                if self._stopping.is_set():
                    return 0
                # S603: the command line is this program's own.
                process = subprocess.Popen(  # noqa: S603
                    self._command(read_end),
                    pass_fds=[read_end, *self._pass_fds],
                    start_new_session=True,
                    env=self._environ,
                )
                self._process = process
            _log.info(f"{self._name}_started", pid=process.pid)
            # Waited for without reaping it, which frees its number: that is done where nobody is about to signal it.
            with suppress(ChildProcessError):  # where SIGCHLD is ignored the system reaps by itself
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                self._process = None
                return process.wait()
        except OSError as error:
            _log.error(f"{self._name}_not_started", reason=str(error))
            return -1
        finally:
            os.close(read_end)
            os.close(write_end)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over, without reaping it."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
