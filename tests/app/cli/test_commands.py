"""What every command promises: its exit codes, one clear line, JSON on request."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from app.cli.train import summary_of
from app.training.run import TrainingOutcome
from tests.command_line import ROOT, CommandLine

pytestmark = pytest.mark.slow  # each starts a process of its own

NOWHERE = "postgresql://likewise:open-sesame@127.0.0.1:9/likewise"


@pytest.fixture
def likewise(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_help_names_every_command_and_comes_at_once(likewise: CommandLine) -> None:
    started = time.perf_counter()
    done = likewise.run("--help")
    assert time.perf_counter() - started < 1.5  # 0.1 s when the machine has nothing else to do
    assert done.returncode == 0
    for command in ("serve", "trainer", "train", "demo", "import", "recommend", "models", "keys", "db"):
        assert re.search(rf"^\s+{command}\b", done.stdout, flags=re.MULTILINE), command


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--port", "x"], ["import"], ["keys", "create"]])
def test_wrong_usage_ends_with_2(likewise: CommandLine, arguments: list[str]) -> None:
    done = likewise.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "settings", "said"),
    [
        (["keys", "list"], {"LIKEWISE_REFRESH_SECONDS": "soon"}, "LIKEWISE_REFRESH_SECONDS"),
        (["trainer"], {"LIKEWISE_REFRESH_SECOND": "1"}, "the nearest is LIKEWISE_REFRESH_SECONDS"),
        (["serve"], {"LIKEWISE_DATABASE_URL": "mysql://root:open-sesame@db/x"}, "LIKEWISE_DATABASE_URL"),
        (["serve"], {"LIKEWISE_DATABASE_URL": "sqlite:///x?mode=ro"}, "LIKEWISE_DATABASE_URL"),
        (["recommend", "ann"], {"LIKEWISE_DATABASE_URL": "sqlite:///file:x"}, "LIKEWISE_DATABASE_URL"),
        (["trainer"], {"LIKEWISE_DATABASE_URL": "postgresql+asyncpg://root:open-sesame@db/x"}, "LIKEWISE_DATABASE_URL"),
        (["db", "upgrade"], {"LIKEWISE_DATABASE_URL": "sqlite+aiosqlite:///x"}, "LIKEWISE_DATABASE_URL"),
    ],
)
def test_a_wrong_setting_ends_with_78_and_one_line(
    tmp_path: Path, command: list[str], settings: dict[str, str], said: str
) -> None:
    done = CommandLine(tmp_path, settings).run(*command)
    assert done.returncode == 78
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert "open-sesame" not in done.stderr


def test_a_store_that_does_not_answer_ends_with_1_and_one_line(tmp_path: Path) -> None:
    done = CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": NOWHERE}).run("keys", "list")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "open-sesame" not in done.stderr


def test_an_embedded_store_is_made_and_migrated_by_any_command(likewise: CommandLine) -> None:
    done = likewise.run("models", "list", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"active": None, "pinned": False, "items": []}
    assert (likewise.folder / "data" / "likewise.db").exists()
    assert json.loads(likewise.run("db", "current", "--json").stdout)["up_to_date"] is True


@pytest.mark.postgres
def test_postgres_is_migrated_by_db_upgrade_alone(postgres_url: str, tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": postgres_url})
    for command in (["serve", "--port", "0"], ["trainer"]):
        refused = likewise.run(*command)
        assert refused.returncode == 78
        assert len(refused.stderr.splitlines()) == 1
        assert "likewise db upgrade" in refused.stderr
    assert "likewise db upgrade" in likewise.run("db", "current").stdout
    assert likewise.run("db", "upgrade").returncode == 0
    assert "already" in likewise.run("db", "upgrade").stdout
    assert not (tmp_path / "data").exists()


def test_a_key_is_shown_once_and_can_be_revoked(likewise: CommandLine) -> None:
    created = likewise.run("keys", "create", "the shop", "--scope", "write")
    assert created.returncode == 0
    secret = created.stdout.strip()
    key_id = re.fullmatch(r"lw_([^_]+)_\S{40,}", secret)
    assert key_id is not None
    assert secret not in created.stderr

    listed = likewise.run("keys", "list", "--json")
    assert secret not in listed.stdout
    (key,) = json.loads(listed.stdout)["items"]
    assert (key["key_id"], key["name"], key["scope"], key["revoked_at"]) == (key_id[1], "the shop", "write", None)

    assert likewise.run("keys", "revoke", key_id[1]).returncode == 0
    assert likewise.run("keys", "revoke", key_id[1]).returncode == 1
    (key,) = json.loads(likewise.run("keys", "list", "--json").stdout)["items"]
    assert key["revoked_at"] is not None


def test_too_little_to_learn_from_is_said_with_the_numbers(likewise: CommandLine) -> None:
    done = likewise.run("train", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["status"], told["model_version"]) == ("skipped", None)
    assert "0 interactions" in told["reason"]


@pytest.mark.parametrize(("user", "said"), [(" ann", "white space"), (os.fsdecode(b"\xff"), "broken UTF-8")], ids=ascii)
def test_what_can_be_no_user_is_wrong_usage(likewise: CommandLine, user: str, said: str) -> None:
    done = likewise.run("recommend", user)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_recommend_says_why_there_is_no_list(likewise: CommandLine) -> None:
    done = likewise.run("recommend", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("There is nothing to recommend: the store is empty.")
    told = json.loads(likewise.run("recommend", "ann", "--json").stdout)
    assert told == {"user_id": "ann", "model_version": None, "source": "popular", "items": []}

    (likewise.folder / "a.csv").write_text("user_id,item_id\nann,film\n")
    likewise.run("import", "a.csv")
    done = likewise.run("recommend", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "There is nothing to recommend: this user has seen all items that may be shown.\n"
    assert likewise.run("recommend", "bob").stdout.startswith("1 item for bob, source: popular (no model yet)")


def test_recommend_tells_titles_as_the_service_does(likewise: CommandLine) -> None:
    (likewise.folder / "a.csv").write_text("user_id,item_id\nann,film\nann,book\n")
    (likewise.folder / "items.csv").write_text("item_id,title\nfilm,Heat\n")
    likewise.run("import", "a.csv")
    likewise.run("import", "--items", "items.csv")
    told = json.loads(likewise.run("recommend", "bob", "--json").stdout)["items"]
    assert {item["item_id"]: item.get("title", "left out") for item in told} == {"film": "Heat", "book": "left out"}


def test_what_a_training_came_to_is_a_sentence() -> None:
    outcome = partial(TrainingOutcome, 10, version=None, error="no space left")
    assert summary_of(outcome("failed")) == "Training 10 failed: no space left"
    assert summary_of(outcome("cancelled")) == "Training 10 was cancelled: no space left"


def test_a_store_with_the_tables_of_another_program_is_one_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE users (id integer)")
    likewise = CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": "sqlite:///shop.db"})
    for command in (["serve", "--port", "0"], ["trainer"], ["train"], ["db", "upgrade"], ["db", "current"]):
        done = likewise.run(*command)
        assert (done.returncode, done.stdout) == (78, "")
        assert len(done.stderr.splitlines()) == 1
        assert "holds other data, its table 'users' for one; name a store of its own" in done.stderr


def test_an_upgrade_is_told_as_json_on_request(likewise: CommandLine) -> None:
    first = json.loads(likewise.run("db", "upgrade", "--json").stdout)
    assert first == {"before": None, "current": first["head"], "head": first["head"]}
    again = json.loads(likewise.run("db", "upgrade", "--json").stdout)
    assert again == {**first, "before": first["head"]}


def test_serve_says_where_it_listens_and_ends_with_0(likewise: CommandLine) -> None:
    likewise.settings["LIKEWISE_TRAINER"] = "external"
    with likewise.running("serve", "--port", "0") as process:
        address = process.address()
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", address)
        taken = likewise.run("serve", "--port", address.rsplit(":", 1)[1])
        assert taken.returncode == 1
        assert "cannot listen on 127.0.0.1" in taken.stderr
        assert process.stop() == 0, process.log()


def test_serve_refuses_a_public_address_without_a_key(likewise: CommandLine) -> None:
    done = likewise.run("serve", "--host", "::", "--port", "0")
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert "likewise keys create" in done.stderr


def test_no_command_leaves_files_beside_the_store(likewise: CommandLine) -> None:
    for command in (["--help"], ["train"]):
        likewise.run(*command)
    assert {path.name for path in likewise.folder.iterdir()} == {"data"}
    assert "/data/" in (ROOT / ".gitignore").read_text().splitlines()
