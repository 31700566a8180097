"""`likewise export`, and what `likewise import` makes of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.command_line import CommandLine

# Real processes: too long for the fast suite.
pytestmark = pytest.mark.slow

ITEMS = (
    '{"item_id":"b|c","title":"A \\"title\\"","categories":["x","y z"],"metadata":{"sku":"C-17"},"hidden":true,'
    '"available_from":"2025-01-31T12:00:00Z"}\n{"item_id":"d"}\n'
)


@pytest.mark.parametrize("name", ["all.ndjson", "all.csv", "all.csv.gz"])
def test_an_export_is_imported_as_it_was(tmp_path: Path, name: str) -> None:
    first, second = (tmp_path / folder for folder in ("first", "second"))
    first.mkdir()
    second.mkdir()
    rows = "".join(f"u{n % 50},i{n % 20},e{n},{1_700_000_000 + n}.5\n" for n in range(7_000))
    (first / "a.csv").write_text(f"user_id,item_id,event_id,timestamp\n{rows}")
    assert CommandLine(first).run("import", "a.csv").returncode == 0
    done = CommandLine(first).run("export", name)
    assert (done.returncode, done.stdout) == (0, f"7,000 rows in {name}\n")
    (first / name).rename(second / name)
    told = json.loads(CommandLine(second).run("import", "--json", name).stdout)
    assert (told["accepted"], told["rejected"]) == (7_000, 0)
    assert CommandLine(second).run("export", "--json", f"again-{name}").returncode == 0
    read = gzip.decompress if name.endswith(".gz") else bytes
    # Rows of a first import lie in the order of their users.
    assert sorted(read((second / name).read_bytes()).splitlines()) == sorted(
        read((second / f"again-{name}").read_bytes()).splitlines()
    )


def test_records_of_items_too(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    (tmp_path / "items.ndjson").write_text(ITEMS)
    assert likewise.run("import", "--items", "items.ndjson").returncode == 0
    assert likewise.run("export", "--items", "again.ndjson").returncode == 0
    assert (tmp_path / "again.ndjson").read_text() == ITEMS
    assert likewise.run("export", "--items", "again.csv").returncode == 0
    assert likewise.run("import", "--items", "again.csv").returncode == 0
    assert likewise.run("export", "--items", "third.ndjson").returncode == 0
    assert (tmp_path / "third.ndjson").read_text() == ITEMS


def test_a_category_with_the_separator_of_csv_is_not_torn_apart(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path)
    (tmp_path / "items.ndjson").write_text('{"item_id":"a","categories":["x|y"]}\n')
    likewise.run("import", "--items", "items.ndjson")
    done = likewise.run("export", "--items", "items.csv")
    assert done.returncode == 1
    assert "export NDJSON" in done.stderr
    assert not (tmp_path / "items.csv").exists()
