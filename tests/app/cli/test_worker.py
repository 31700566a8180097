"""Workers of `likewise serve --workers`, and what they count together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.cli.worker import _end_with_parent
from tests.command_line import CommandLine, Process

# Each starts processes.
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Workers:
    """A service of two workers, and the folder for temporary ones."""

    process: Process
    address: str
    temporary: Path

    def get(self, path: str) -> httpx.Response:
        """By a connection of its own, which any of them may take."""
        return httpx.get(self.address + path, timeout=10)

    def scrape(self) -> dict[tuple[str, ...], float]:
        """(name, label values) -> value, where the name is one of the service's own."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
        }

    def popular(self) -> float:
        """How many requests for /popular were counted."""
        return self.scrape().get(("likewise_requests_total", "GET", "/popular", "200"), 0)

    def counting(self) -> set[str]:
        """Numbers of the workers that have counted a request."""
        files = self.temporary.glob("likewise-metrics-*/histogram_*.db")
        return {path.stem.partition("_")[2] for path in files if b"/popular" in path.read_bytes()}

    def pids(self) -> set[int]:
        children = [path.read_text() for path in Path(f"/proc/{self.process.pid}/task").glob("*/children")]
        return set(map(int, " ".join(children).split()))


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def two_workers(folder: Path) -> Iterator[Workers]:
    temporary = folder / "temporary"
    temporary.mkdir()
    likewise = CommandLine(folder, {"LIKEWISE_TRAINER": "external", "TMPDIR": str(temporary)})
    with likewise.running("serve", "--port", "0", "--workers", "2") as process:
        yield Workers(process, process.address(), temporary)


def ask_both(workers: Workers) -> int:
    """Ask for /popular until both have answered; returns how often."""
    asked = 0
    while workers.counting() != {"0", "1"}:
        assert asked < 2_000
        assert workers.get("/popular").status_code == 200
        asked += 1
    return asked


def test_a_scrape_shows_the_counts_of_both_whichever_answers(tmp_path: Path) -> None:
    with two_workers(tmp_path) as workers:
        asked = ask_both(workers)
        assert [workers.popular() for _ in range(10)] == [asked] * 10
        assert workers.scrape()["likewise_lists_total", "popular"] == asked


def test_the_counts_go_on_when_a_worker_is_killed_and_started_again(tmp_path: Path) -> None:
    with two_workers(tmp_path) as workers:
        asked = ask_both(workers)
        before = workers.pids()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers.pids() - {victim}) == 2)
        assert workers.popular() == asked
        for _ in range(20):
            workers.get("/popular")
        assert workers.popular() == asked + 20


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


def test_a_scrape_shows_the_states_of_both_though_only_one_answers(tmp_path: Path) -> None:
    with two_workers(tmp_path) as workers:
        ask_both(workers)
        found = workers.scrape()
        memory = sum(map(resident_bytes, workers.pids()))
        assert found["process_resident_memory_bytes",] == pytest.approx(memory, rel=0.2)
        assert found["likewise_feed_age_seconds",] < 5


def test_the_folder_that_they_count_in_goes_with_the_service(tmp_path: Path) -> None:
    with two_workers(tmp_path) as workers:
        ask_both(workers)
        assert list(workers.temporary.iterdir())
        assert workers.process.stop() == 0, workers.process.log()
        assert list(workers.temporary.iterdir()) == []


def test_the_folder_goes_with_the_workers_of_a_service_that_is_killed(tmp_path: Path) -> None:
    with two_workers(tmp_path) as workers:
        ask_both(workers)
        workers.process.kill()
        eventually(lambda: not list(workers.temporary.iterdir()))


def test_a_single_process_leaves_no_files(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ = {"LIKEWISE_TRAINER": "external", "TMPDIR": str(temporary), "PROMETHEUS_MULTIPROC_DIR": str(temporary)}
    with CommandLine(tmp_path, environ).running("serve", "--port", "0") as process:
        workers = Workers(process, process.address(), temporary)
        workers.get("/popular")
        assert workers.popular() == 1
        assert list(temporary.iterdir()) == []
        assert process.stop() == 0, process.log()


def test_a_worker_whose_parent_is_gone_is_told_again_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "counts"))
    monkeypatch.setattr("app.cli.worker.os.kill", lambda *call: told.append(call))

    def waited(seconds: float) -> None:
        assert seconds >= 30
        if len(told) == 3:
            raise InterruptedError

    monkeypatch.setattr("app.cli.worker.time.sleep", waited)
    read_end, write_end = os.pipe()
    os.close(write_end)
    with pytest.raises(InterruptedError):
        _end_with_parent(read_end)
    os.close(read_end)
    assert told == [(os.getpid(), signal.SIGTERM)] * 3
