from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import CommandLine

# Where no package index listens: what a machine without a network meets, only sooner.
OFFLINE = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_CONFIG_FILE": "/dev/null",
}


@pytest.mark.slow
def test_a_store_with_other_data_is_left_alone(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path, OFFLINE)
    (tmp_path / "a.csv").write_text("user_id,item_id\nann,alien\n")
    assert likewise.run("import", "a.csv").returncode == 0
    done = likewise.run("demo", "--no-serve")
    assert done.returncode == 1
    assert "holds other data, which is left alone" in done.stderr
    assert "LIKEWISE_DATABASE_URL=" in done.stderr
    assert '"interactions": 0' not in likewise.run("models", "list", "--json").stdout


@pytest.mark.slow
def test_without_a_network_the_demo_says_so_and_shows_made_up_titles(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path, OFFLINE)
    done = likewise.run("demo", "--no-serve", seconds=110)
    assert done.returncode == 0, done.stderr
    assert "NOT REAL DATA" in done.stdout
    assert "Model version 1 is live." in done.stdout
    assert "served policy" in done.stdout
    assert "User person-1:" in done.stdout
    assert " 10. The " in done.stdout
    tables = done.stdout[done.stdout.index("Interactions of ") :]
    assert max(map(len, tables.splitlines())) <= 100

    again = likewise.run("demo", "--no-serve")
    assert again.returncode == 0, again.stderr
    assert "nothing to train" in again.stdout
    assert done.stdout.split("User person-1:")[1] == again.stdout.split("User person-1:")[1]
