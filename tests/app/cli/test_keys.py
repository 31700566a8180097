from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.command_line import CommandLine

# Real processes, or real waiting: too long for the fast suite.
pytestmark = pytest.mark.slow

BROKEN = os.fsdecode(b"a\xff")


@pytest.fixture
def likewise(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "1 to 100 characters"),
        ("x" * 101, "1 to 100 characters"),
        ("a\tb", "control characters"),
        ("a\nb", "control characters"),
        ("a\x7fb", "control characters"),
        ("a\x85b", "control characters"),
        (BROKEN, "broken UTF-8"),
        ("a\ufffdb", "broken UTF-8"),
        (" a", "white space"),
        ("a\u2003", "white space"),
    ],
    ids=ascii,
)
def test_a_name_that_would_not_show_as_it_is_is_wrong_usage(likewise: CommandLine, name: str, said: str) -> None:
    done = likewise.run("keys", "create", "--", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (likewise.folder / "data").exists()


@pytest.mark.parametrize("name", ["x" * 100, "Käthe's [shop] 店", "."])
def test_any_other_name_is_kept_as_it_is(likewise: CommandLine, name: str) -> None:
    assert likewise.run("keys", "create", name).returncode == 0
    (key,) = json.loads(likewise.run("keys", "list", "--json").stdout)["items"]
    assert key["name"] == name


def test_a_revocation_is_told_as_json_on_request(likewise: CommandLine) -> None:
    key_id = json.loads(likewise.run("keys", "create", "shop", "--json").stdout)["key_id"]
    done = likewise.run("keys", "revoke", "--json", key_id)
    assert json.loads(done.stdout) == {"key_id": key_id, "revoked": True}
    again = likewise.run("keys", "revoke", "--json", key_id)
    assert (again.returncode, again.stdout) == (1, "")


def test_an_id_with_broken_utf_8_is_no_key(likewise: CommandLine) -> None:
    done = likewise.run("keys", "revoke", BROKEN)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "likewise: there is no active key with this id; `likewise keys list` shows them"
    ]
