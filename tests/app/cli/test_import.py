from __future__ import annotations

import gzip
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command_line import CommandLine

# Real processes, or real waiting: too long for the fast suite.
pytestmark = pytest.mark.slow


def test_a_gzipped_file_of_interactions_and_one_of_items(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    rows = "".join(f"u{n % 50},i{n % 20},e{n}\n" for n in range(1_000))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"user_id,item_id,event_id\n{rows}".encode()))
    (tmp_path / "items.ndjson").write_text('{"item_id":"i0","title":"[bold]The first[/bold]"}\n')

    done = likewise.run("import", "a.csv.gz")
    assert (done.returncode, done.stdout) == (0, "1,000 stored, 0 known already, 0 rejected\n")
    assert "1,000 rows" in done.stderr
    again = likewise.run("import", "--json", "a.csv.gz")
    assert json.loads(again.stdout) == {"accepted": 0, "duplicates": 1000, "rejected": 0, "errors": []}
    assert likewise.run("import", "--items", "items.ndjson").returncode == 0

    listed = likewise.run("recommend", "somebody", "--limit", "20")
    assert "[bold]The first[/bold]" in listed.stdout
    assert "source: popular (no model yet)" in listed.stdout


def test_a_bad_row_names_its_line_and_stores_nothing(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    (tmp_path / "a.ndjson").write_text('{"user_id":"a","item_id":"b"}\n{"user_id":"a"}\n')
    done = likewise.run("import", "a.ndjson")
    assert done.returncode == 1
    assert "a.ndjson:2: item_id: " in done.stderr
    assert "a.ndjson: 1 bad row, nothing was stored" in done.stderr
    skipped = likewise.run("import", "--on-error", "skip", "a.ndjson")
    assert (skipped.returncode, skipped.stdout) == (0, "1 stored, 0 known already, 1 rejected\n")


@pytest.mark.parametrize("there", [True, False])
def test_a_name_with_broken_utf_8_in_it_is_no_traceback(tmp_path: Path, there: bool) -> None:
    name = os.fsdecode(b"\xff.csv")
    if there:
        (tmp_path / name).write_text("user_id,item_id\na,b\n,\n")
    done = CommandLine(tmp_path).run("import", name)
    assert done.returncode == (1 if there else 2)
    assert "Traceback" not in done.stderr
    assert ".csv" in done.stderr


def test_a_name_that_says_no_format_fails_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    done = CommandLine(tmp_path).run("import", "a.txt")
    assert done.returncode == 1
    assert "a.txt: the name ends in none of .csv, .ndjson, .jsonl" in done.stderr


def test_of_a_file_that_breaks_off_nothing_is_stored(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    rows = "".join(f"u{n},i{n * 7919 % 1000},e{n}\n" for n in range(15_000))
    packed = gzip.compress(f"user_id,item_id,event_id\nx\n{rows}".encode(), mtime=0)
    (tmp_path / "a.csv.gz").write_bytes(packed[:-100])
    for on_error in ("abort", "skip"):
        done = likewise.run("import", "--on-error", on_error, "a.csv.gz")
        assert done.returncode == 1
        assert done.stderr.endswith("likewise: a.csv.gz: the compressed file ends in the middle; nothing was stored\n")
    told = json.loads(likewise.run("import", "--on-error", "skip", "--json", "a.csv.gz").stdout)
    error = {"line": 1, "code": "file_unreadable", "detail": "the compressed file ends in the middle"}
    assert (told["accepted"], told["errors"][-1]) == (0, error)
    (tmp_path / "a.csv.gz").write_bytes(packed)
    assert likewise.run("import", "--on-error", "skip", "a.csv.gz").stdout.startswith("15,000 stored")


def test_each_bad_row_is_one_line_wherever_the_output_goes(tmp_path: Path) -> None:
    names = ["x" * 90, "a\nb", "\x1b[2J"]
    rows = [{"user_id": "a", "item_id": "b", name: 1} for name in names]
    (tmp_path / "a.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CommandLine(tmp_path).run("import", "--on-error", "skip", "a.ndjson")
    told = [line for line in done.stderr.splitlines() if line.startswith("a.ndjson:")]
    assert [line.split(": ")[1] for line in told] == ["x" * 64 + "…", r"a\nb", r"\x1b[2J"]
    assert all(line.endswith("recommendation_id, context") for line in told)


def test_an_import_that_is_told_to_stop_says_what_is_stored(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    with (tmp_path / "a.csv").open("w") as out:
        out.write("user_id,item_id\n")
        out.writelines(f"u{n},i{n % 97}\n" for n in range(1_500_000))
    with likewise.running("import", "a.csv") as process:
        give_up = time.monotonic() + 30
        while not (tmp_path / "data" / "likewise.db").exists():
            assert time.monotonic() < give_up
            time.sleep(0.02)
        time.sleep(1)  # it is among the rows now, for some seconds more
        assert process.stop() == 1
    assert process.log().splitlines()[-1] == "likewise: a.csv: stopped; nothing was stored"


def test_a_store_that_is_locked_ends_the_import_with_what_it_came_to(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path, {"LIKEWISE_STORE_TIMEOUT_SECONDS": "0.2"})
    (tmp_path / "a.csv").write_text("user_id,item_id\nx\nann,film\n")
    likewise.run("db", "upgrade")
    with closing(sqlite3.connect(tmp_path / "data" / "likewise.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = likewise.run("import", "--on-error", "skip", "--json", "a.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("likewise: the store cannot be used now: ")
    told = json.loads(done.stdout)
    assert (told["accepted"], told["rejected"]) == (0, 1)


def test_a_preset_takes_the_column_names_of_another_program(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    refused = likewise.run("import", "ratings.csv")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "line 1: the column 'movieId' is not known" in refused.stderr
    assert likewise.run("import", "--preset", "movielens", "ratings.csv").returncode == 0
    assert likewise.run("import", "--preset", "netflix", "ratings.csv").returncode == 2


def test_a_parquet_file_is_imported(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["a", "b"], "item_id": [1, 2]}), tmp_path / "a.parquet")
    done = CommandLine(tmp_path).run("import", "a.parquet")
    assert (done.returncode, done.stdout) == (0, "2 stored, 0 known already, 0 rejected\n")
