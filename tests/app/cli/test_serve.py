from __future__ import annotations

import signal
import time
from pathlib import Path

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


def test_more_than_one_worker_is_wrong_usage(tmp_path: Path) -> None:
    done = CommandLine(tmp_path).run("serve", "--workers", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--workers: this version runs one worker in a process; start more replicas instead" in done.stderr
    assert not (tmp_path / "data").exists()


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
