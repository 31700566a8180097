from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import ROOT, CommandLine


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_trainer_ends_with_0_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    likewise = CommandLine(tmp_path)
    with likewise.running("trainer") as process:
        store = tmp_path / "data" / "likewise.db"
        deadline = time.monotonic() + 30
        while not store.exists() and time.monotonic() < deadline:
            time.sleep(0.02)  # it opens the store after its handlers are in place
        assert process.stop(number) == 0, process.log()


def test_the_trainer_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "app.cli", "trainer", "--parent-pipe", str(reading)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environ, pass_fds=[reading])
    os.close(reading)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        os.close(writing)  # what the system does for a parent that was killed
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
