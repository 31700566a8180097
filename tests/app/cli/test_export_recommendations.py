"""`likewise export-recommendations`: everybody's list, as the service would give it."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from app.clock import now_us
from app.db import interactions, items
from app.db.engine import Store, open_store
from app.db.interactions import NewInteraction
from app.db.items import NewItem
from app.db.migrate import ensure_schema
from tests.app.published import publish_model
from tests.command_line import CommandLine

# Real processes: too long for the fast suite.
pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(f"sqlite:///{tmp_path}/likewise.db")
    ensure_schema(store)
    _append(store, [(f"user-{user}", f"item-{(user * 7 + step) % 40}") for user in range(30) for step in range(5)])
    return store


def _append(store: Store, pairs: list[tuple[str, str]]) -> None:
    rows = [NewInteraction(user, item, "click", 1.0, now_us() - 10**9) for user, item in pairs]
    with store.write() as connection:
        interactions.append(connection, rows, received_us=now_us())


def likewise(tmp_path: Path) -> CommandLine:
    url, models = f"sqlite:///{tmp_path}/likewise.db", str(tmp_path / "models")
    return CommandLine(tmp_path, {"LIKEWISE_DATABASE_URL": url, "LIKEWISE_MODEL_DIR": models})


def export(tmp_path: Path, name: str, *options: str) -> Path:
    done = likewise(tmp_path).run("export-recommendations", name, *options)
    assert done.returncode == 0, done.stderr
    return tmp_path / name


def lines(path: Path) -> dict[str, dict[str, object]]:
    read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {each["user_id"]: each for each in read}


def test_everybody_gets_the_list_that_the_service_gives(store: Store, tmp_path: Path) -> None:
    from app.main import create_app
    from app.recommend import Wanted
    from app.settings import Settings

    publish_model(store, tmp_path / "models")
    # After the training: one goes on, one is new, one is named by nothing that the model knows; and an item is hidden.
    _append(store, [("user-3", "item-39"), ("newcomer", "item-5"), ("stranger", "unheard-of")])
    with store.write() as connection:
        items.upsert(connection, [NewItem("item-12", hidden=True)], now_us=now_us())
    exported = lines(export(tmp_path, "lists.ndjson", "--limit", "7"))

    settings = Settings(database_url=f"sqlite:///{tmp_path}/likewise.db", model_dir=tmp_path / "models")
    state = create_app(settings).state.likewise
    state.refresher.poll()
    assert exported.keys() == {*(f"user-{user}" for user in range(30)), "newcomer", "stranger"}
    for user_id, told in exported.items():
        ranked = state.recommender.for_user(user_id, Wanted(limit=7))
        assert told["source"] == ranked.source
        assert told["items"] == [
            {"item_id": item.item_id, "rank": item.rank, "score": item.score, "source": item.source}
            for item in ranked.items
        ]
    assert (exported["user-3"]["source"], exported["user-4"]["source"]) == ("fold_in", "model")
    assert (exported["newcomer"]["source"], exported["stranger"]["source"]) == ("fold_in", "popular")
    state.store.dispose()


def test_a_csv_has_a_line_for_each_item_and_may_be_compressed(store: Store, tmp_path: Path) -> None:
    publish_model(store, tmp_path / "models")
    whole = lines(export(tmp_path, "lists.jsonl", "--limit", "3"))
    with gzip.open(export(tmp_path, "lists.csv.gz", "--limit", "3"), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 * 3
    assert [row["item_id"] for row in rows if row["user_id"] == "user-7"] == [
        item["item_id"]
        for item in whole["user-7"]["items"]  # type: ignore[attr-defined]
    ]
    assert list(rows[0]) == ["user_id", "rank", "item_id", "score", "source"]


def test_before_the_first_model_lists_are_popular(store: Store, tmp_path: Path) -> None:
    exported = lines(export(tmp_path, "lists.ndjson"))
    assert {(each["source"], each["model_version"]) for each in exported.values()} == {("popular", None)}


def test_a_file_of_another_kind_is_wrong_usage_and_nothing_is_left_behind(store: Store, tmp_path: Path) -> None:
    done = likewise(tmp_path).run("export-recommendations", "lists.xlsx")
    assert done.returncode == 2
    missing = likewise(tmp_path).run("export-recommendations", "nowhere/lists.csv")
    assert missing.returncode == 1
    assert "cannot be written" in missing.stderr
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]
