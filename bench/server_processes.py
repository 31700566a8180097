"""Servers that a benchmark starts: each a process on one core, with one thread of BLAS, stopped in the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Target

DEADLINE_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    target: Target


@contextmanager
def server(
    command: Sequence[str],
    target: Target,
    *,
    core: int | None,
    log: Path,
    environ: Mapping[str, str] | None = None,
    anything: bool = False,
) -> Iterator[Running]:
    """Start a program that says where it listens, wait until it answers the target, and stop it in the end.

    Args:
        target: its port does not matter.
        core: None for any.
        log: gets all that the program prints.
        anything: any answer will do, also that there is nothing.
    Raises: RuntimeError where it does not answer 200 in time.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [*pinned, sys.executable, "-m", *command],
            env=kept | threads | dict(environ or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, _answering(process, target, log, anything=anything))
    finally:
        process.terminate()
        try:
            process.wait(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answering(process: subprocess.Popen[bytes], target: Target, log: Path, *, anything: bool) -> Target:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes()):
            target = target._replace(port=int(found[1]))
            try:
                if _ask(target).get("source", "model") != "popular" or anything:
                    return target
            except urllib.error.HTTPError:
                if anything:
                    return target
            except (urllib.error.URLError, TimeoutError):
                pass  # not yet
        time.sleep(0.02)
    raise RuntimeError(f"{target.before}1 was not answered as it should: {log.read_text(errors='replace')[-2000:]}")


def wait_for_source(target: Target, source: str) -> None:
    """Wait until the last one of a target's lists comes from there. Raises: RuntimeError where it does not in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while _ask(target, target.numbers)["source"] != source:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no list came from {source} in time")
        time.sleep(0.1)


def _ask(target: Target, number: int = 1) -> dict[str, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{target.port}{target.before}{number}{target.after}")
    if target.key is not None:
        request.add_header("Authorization", f"Bearer {target.key}")
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - http on this machine
        answered: dict[str, Any] = json.load(answer)
        return answered


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """RSS and PSS of a process, MiB."""
    return memory_of(process.pid)


def memory_of(process: int) -> tuple[float, float]:
    """As `memory`, by the process's number."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    found = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE))
    return int(found["Rss"]) / 1024, int(found["Pss"]) / 1024


class OtherWork:
    """How much of a core is used by anybody but some processes, from now on.

    Args:
        own_seconds: processor time of these processes up to now.
    """

    def __init__(self, core: int, own_seconds: Callable[[], float]) -> None:
        self._core, self._own_seconds = core, own_seconds
        self._began = self._now()

    def share(self) -> float:
        """The share of the time since the start; 0.01 and less is the system's."""
        seconds, busy, own = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, busy - own) / seconds

    def _now(self) -> tuple[float, float, float]:
        found = re.search(rf"^cpu{self._core} (.*)$", Path("/proc/stat").read_text(encoding="ascii"), re.MULTILINE)
        if found is None:
            raise ValueError(f"there is no core {self._core}")
        user, nice, system, _idle, _wait, _irq, _softirq, steal = map(int, found[1].split()[:8])
        return time.monotonic(), (user + nice + system + steal) / _TICKS, self._own_seconds()


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
