from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from app.child import Child, trainer_command, worker_command

# A trainer as far as its parent can tell: it ends when the pipe does, and on SIGTERM.
TRAINER = "import os, sys; os.read(int(sys.argv[1]), 1)"
STUBBORN = (
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def python(code: str) -> Callable[[int], list[str]]:
    return lambda read_end: [sys.executable, "-S", "-c", code, str(read_end)]


def pid_of(child: Child) -> int:
    wait_for(lambda: child.pid is not None)
    pid = child.pid
    assert pid is not None
    return pid


def test_the_command_is_the_programs_own_trainer() -> None:
    assert trainer_command(7) == [sys.executable, "-m", "app.cli", "trainer", "--parent-pipe", "7"]


def test_the_command_of_a_worker_names_its_socket() -> None:
    assert worker_command(7, number=1, listener=3, loopback=True)[2:] == [
        *("app.cli", "worker", "--number", "1", "--listener", "3", "--loopback", "--parent-pipe", "7")
    ]
    assert "--no-loopback" in worker_command(7, number=1, listener=3, loopback=False)


def test_a_stopped_trainer_is_gone() -> None:
    child = Child("trainer", python(TRAINER))
    child.start()
    pid = pid_of(child)
    assert os.getsid(pid) == pid
    child.stop()
    assert not running(pid)
    assert child.pid is None


def test_a_trainer_that_ignores_the_signal_is_killed() -> None:
    child = Child("trainer", python(STUBBORN))
    child.start()
    pid = pid_of(child)
    time.sleep(0.3)
    child.stop(seconds=0.2)
    assert not running(pid)


def test_each_end_is_told_before_the_next_start() -> None:
    ends: list[int | None] = []
    child = Child("trainer", python("pass"), first_backoff_seconds=0.01, on_end=lambda: ends.append(child.pid))
    child.start()
    wait_for(lambda: len(ends) >= 2)
    child.stop()
    assert set(ends) == {None}


def test_a_trainer_that_dies_is_started_again() -> None:
    child = Child("trainer", python(TRAINER), first_backoff_seconds=0.05)
    child.start()
    first = pid_of(child)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: child.pid not in (None, first))
    child.stop()


def test_each_failure_waits_twice_as_long_as_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "starts"
    code = f"import time; open({str(log)!r}, 'a').write(f'{{time.time()}}\\n'); raise SystemExit(1)"
    child = Child("trainer", python(code), first_backoff_seconds=0.2)
    child.start()
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) >= 3)
    child.stop()
    first, second, third = (float(line) for line in log.read_text().splitlines()[:3])
    assert second - first >= 0.2
    assert third - second >= 0.4


def test_a_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "starts"
    code = f"open({str(log)!r}, 'a').write('x'); raise SystemExit(78)"
    child = Child("trainer", python(code), first_backoff_seconds=0.01)
    child.start()
    wait_for(lambda: log.exists() and log.read_text() != "")
    time.sleep(0.3)
    child.stop()
    assert log.read_text() == "x"


def test_a_number_that_was_given_back_to_the_system_is_not_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "pid"
    code = f"import os; open({str(log)!r}, 'w').write(f'{{os.getpid()}}.'); raise SystemExit(78)"
    child = Child("trainer", python(code))
    child.start()
    wait_for(lambda: log.exists() and log.read_text().endswith("."))
    wait_for(lambda: not Path("/proc", log.read_text().rstrip(".")).exists())
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, number: signalled.append(pid))
    child.stop()
    assert signalled == []


def test_a_wrong_configuration_is_said_once_and_plainly() -> None:
    child = Child("trainer", python("raise SystemExit(78)"), first_backoff_seconds=0.01)
    with structlog.testing.capture_logs() as logged:
        child.start()
        wait_for(lambda: any(entry["event"] == "trainer_not_started" for entry in logged))
        time.sleep(0.2)
        child.stop()
    (told,) = [entry for entry in logged if entry["event"] != "trainer_started"]
    assert (told["log_level"], told["exit_code"]) == ("error", 78)
    assert "configuration is wrong" in told["reason"]


def test_stopping_before_the_start_does_nothing() -> None:
    Child("trainer", python(TRAINER)).stop()


def test_a_trainer_ends_with_its_parent_even_when_that_is_killed() -> None:
    parent_code = textwrap.dedent(
        f"""
        import sys, time
        from app.child import Child
        child = Child("trainer", lambda fd: [sys.executable, "-S", "-c", {TRAINER!r}, str(fd)])
        child.start()
        while child.pid is None:
            time.sleep(0.01)
        # In one piece: a line of the log may be written at the same time.
        print("\\n" + str(child.pid) + "\\n", end="", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        # The service's log may share the stream; the line with the number is the one asked for.
        pid = next(int(line) for line in parent.stdout if line.strip().isdecimal())
        assert running(pid)
        parent.kill()
        wait_for(lambda: not running(pid))


@pytest.mark.parametrize("environ", [{"LIKEWISE_MODELS_KEPT": "3"}])
def test_the_child_gets_the_environment_it_is_given(tmp_path: Path, environ: dict[str, str]) -> None:
    log = tmp_path / "environ"
    code = f"import os; open({str(log)!r}, 'w').write(os.environ['LIKEWISE_MODELS_KEPT']); {TRAINER}"
    child = Child("trainer", python(code), environ=environ)
    child.start()
    wait_for(lambda: log.exists() and log.read_text() == "3")
    child.stop()
