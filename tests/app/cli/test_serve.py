from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.command_line import CommandLine, Process

# Each starts processes.
pytestmark = pytest.mark.slow

# Nobody listens there: a store that is waited for.
NOWHERE = {"LIKEWISE_DATABASE_URL": "postgresql://likewise:open-sesame@127.0.0.1:9/likewise"}


def wait_until_caught(process: Process, number: signal.Signals) -> None:
    """Until the process takes the signal itself, which ends it at once before."""
    deadline = time.monotonic() + 30
    while True:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught >> (number - 1) & 1:
            return
        assert time.monotonic() < deadline, status
        time.sleep(0.001)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["trainer"]])
def test_sigterm_while_it_is_still_loading_ends_with_0(tmp_path: Path, command: list[str]) -> None:
    with CommandLine(tmp_path).running(*command) as process:
        wait_until_caught(process, signal.SIGTERM)
        assert process.stop() == 0, process.log()
        assert process.log() == ""
    assert not (tmp_path / "data").exists()  # so it was early enough


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_waits_for_the_store_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with CommandLine(tmp_path, NOWHERE).running("serve", "--port", "0") as process:
        process.wait_for("The store does not answer yet")
        assert process.stop(number, seconds=10) == 0, process.log()
        assert len(process.log().splitlines()) == 1


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["trainer"]])
def test_a_file_that_is_no_database_is_one_line_at_once(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "letter.db").write_text("dear store, " * 100)
    done = CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": "sqlite:///letter.db"}).run(*command, seconds=20)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
    assert "letter.db is not a database; name another file" in done.stderr


@pytest.mark.postgres
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["trainer"], ["db", "upgrade"]])
@pytest.mark.parametrize(
    ("replace", "said"),
    [(("/test_", "/nonesuch_"), "does not exist; create the database"), (("sesame", "says-me"), "correct the user")],
    ids=["database", "password"],
)
def test_what_postgresql_does_not_know_is_one_line_at_once(
    tmp_path: Path, postgres_url: str, command: list[str], replace: tuple[str, str], said: str
) -> None:
    done = CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": postgres_url.replace(*replace)}).run(*command, seconds=20)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert "says-me" not in done.stderr


def get(address: str, path: str) -> dict[str, object]:
    document: dict[str, object] = httpx.get(address + path, timeout=10).json()
    return document


def workers_of(process: Process) -> set[int]:
    # Threads start them.
    children = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/children")]
    found = set()
    for pid in map(int, " ".join(children).split()):
        if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            found.add(pid)
    return found


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[Process, str]]:
    likewise = CommandLine(folder, {"LIKEWISE_TRAINER": "external"})
    with likewise.running("serve", "--port", "0", "--workers", "2") as process:
        address = process.address()
        eventually(lambda: get(address, "/readyz")["status"] == "ok")
        eventually(lambda: len(workers_of(process)) == 2)
        yield process, address


def test_workers_share_a_port_and_end_in_order(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (process, address):
        pids = workers_of(process)
        assert get(address, "/healthz") == {"status": "ok"}
        assert process.stop() == 0, process.log()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_worker_that_is_killed_is_started_again_and_the_other_goes_on(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (process, address):
        victim, other = sorted(workers_of(process))
        os.kill(victim, signal.SIGKILL)
        assert get(address, "/healthz") == {"status": "ok"}
        eventually(lambda: len(workers_of(process) - {victim}) == 2)
        assert other in workers_of(process)
        assert process.stop() == 0, process.log()


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (process, _):
        pids = workers_of(process)
        process.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_one_worker_is_what_runs_anyway(tmp_path: Path) -> None:
    with CommandLine(tmp_path, {"LIKEWISE_TRAINER": "external"}).running(
        "serve", "--port", "0", "--workers", "1"
    ) as process:
        assert process.address()
        assert process.stop() == 0, process.log()


@pytest.mark.parametrize("host", ["a..b", "\udcff", "x" * 70])
def test_what_is_no_host_name_is_one_line(tmp_path: Path, host: str) -> None:
    likewise = CommandLine(tmp_path, {"LIKEWISE_TRAINER": "external", "LIKEWISE_ALLOW_ANONYMOUS": "true"})
    done = likewise.run("serve", "--host", host, "--port", "0")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot listen on" in done.stderr
