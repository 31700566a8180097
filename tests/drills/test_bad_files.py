"""Files of a gigabyte that are no records: refused in bounded memory, with the line."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest

from bench.largest_memory import Ended, watched

pytestmark = pytest.mark.drill

GIB = 2**30
MOST_MIB = 200


def imported(folder: Path, source: Path) -> tuple[Ended, dict[str, object]]:
    """`likewise import`, and what it told."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
    environ |= {
        "LIKEWISE_DATABASE_URL": f"sqlite:///{folder}/likewise.db",
        "LIKEWISE_SPOOL_DIR": str(folder / "spool"),
        "LIKEWISE_MODEL_DIR": str(folder / "models"),
    }
    ended = watched([sys.executable, "-m", "app.cli", "import", "--json", str(source)], environ)
    return ended, json.loads(ended.output)


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
    ended, told = imported(tmp_path, source)
    assert ended.code != 0
    assert "line_too_long" in json.dumps(told)
    assert 0 < ended.most < MOST_MIB


def test_a_header_of_a_gigabyte_is_none(tmp_path: Path) -> None:
    source = tmp_path / "bomb.csv.gz"
    bomb(source)
    ended, told = imported(tmp_path, source)
    assert ended.code != 0
    assert told["accepted"] == 0
    assert "line 1: there is no header row: the line is over" in ended.errors.decode()
    assert 0 < ended.most < MOST_MIB
