"""Files of a gigabyte that are no records: refused in bounded memory, with the line."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.drill

GIB = 2**30
MOST_MIB = 200


def imported(folder: Path, source: Path, *options: str) -> tuple[int, dict[str, object], float]:
    """The exit code of `likewise import`, what it told, and its largest RSS in MiB."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
    environ |= {
        "LIKEWISE_DATABASE_URL": f"sqlite:///{folder}/likewise.db",
        "LIKEWISE_SPOOL_DIR": str(folder / "spool"),
        "LIKEWISE_MODEL_DIR": str(folder / "models"),
    }
    output = folder / "told.json"
    with output.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "import", "--json", *options, str(source)], env=environ, stdout=told
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, json.loads(output.read_bytes()), usage.ru_maxrss / 1024


def one_long_line(path: Path) -> None:
    with path.open("wb") as out:
        out.write(b"user_id,item_id\n" if path.suffix == ".csv" else b'{"user_id":"a","item_id":"b"}\n')
        out.truncate(GIB)


def bomb(path: Path) -> None:
    """A gigabyte of blanks in members of a megabyte each."""
    path.write_bytes(gzip.compress(b" " * 2**20) * 1024)


@pytest.mark.parametrize("name", ["long.csv", "long.ndjson", "bomb.ndjson.gz"])
def test_a_line_of_a_gigabyte_is_refused_in_bounded_memory(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    (bomb if source.suffix == ".gz" else one_long_line)(source)
    code, told, memory = imported(tmp_path, source)
    assert code != 0
    assert "line_too_long" in json.dumps(told)
    assert memory < MOST_MIB


def test_a_header_of_a_gigabyte_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "bomb.csv.gz"
    bomb(source)
    code, told, memory = imported(tmp_path, source)
    assert code != 0
    assert told["accepted"] == 0
    assert "line 1: there is no header row: the line is over" in capfd.readouterr().err
    assert memory < MOST_MIB
