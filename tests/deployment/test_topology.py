"""The topology of docker-compose.yml as processes of this machine: its commands, its variables, a real PostgreSQL.

No Docker engine is needed. Only places differ: the database's address, the model folder, the address of the API.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.command_line import CommandLine
from tests.deployment import compose

GROUPS, USERS, ITEMS, TAKEN = 2, 20, 15, 9
SECONDS = 60.0


def eventually(ask: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {SECONDS:.0f} s")


def replayed(service: str, folder: Path, database_url: str) -> CommandLine:
    """A service's process: its own variables, with the places of this machine put in."""
    url = sa.make_url(database_url)
    environment = compose.environment(service, {"POSTGRES_PASSWORD": str(url.password)})
    there = f"likewise:{url.password}@database:5432/likewise"
    here = f"{url.username}:{url.password}@{url.host}:{url.port}/{url.database}"
    assert there in environment["LIKEWISE_DATABASE_URL"]
    environment["LIKEWISE_DATABASE_URL"] = environment["LIKEWISE_DATABASE_URL"].replace(there, here)
    if "LIKEWISE_MODEL_DIR" in environment:
        environment["LIKEWISE_MODEL_DIR"] = str(folder / "models")
    working_folder = folder / service
    working_folder.mkdir()
    return CommandLine(working_folder, environment)


def interactions() -> list[dict[str, Any]]:
    """Two groups of people who take from two groups of items."""
    rows = []
    for group in range(GROUPS):
        for user in range(USERS):
            for step in range(TAKEN):
                item = (user + step * (1 + user % 2)) % ITEMS
                moment = 1_700_000_000 + 100_000 * step + 1_000 * user + group
                rows.append({"user_id": f"u{group}-{user}", "item_id": f"i{group}-{item}", "timestamp": moment})
    return rows


@pytest.mark.postgres
@pytest.mark.slow
def test_the_services_of_the_compose_file_train_and_serve_together(postgres_url: str, tmp_path: Path) -> None:
    commands = {name: compose.services()[name]["command"] for name in ("migrate", "api", "trainer")}
    assert commands["api"][1::2] == ["--host", "--port"]

    migrated = replayed("migrate", tmp_path, postgres_url).run(*commands["migrate"])
    assert migrated.returncode == 0, migrated.stderr

    api = replayed("api", tmp_path, postgres_url)
    trainer = replayed("trainer", tmp_path, postgres_url)
    with (
        api.running(commands["api"][0], "--host", "127.0.0.1", "--port", "0") as serving,
        trainer.running(*commands["trainer"]) as training,
        httpx.Client(base_url=serving.address(), timeout=10, trust_env=False) as http,
    ):
        eventually(lambda: http.get("/readyz").status_code == 200, "readyz")
        assert http.get("/users/u0-0/recommendations").json()["source"] == "popular"

        answer = http.post("/interactions", json=interactions())
        assert (answer.status_code, answer.json()) == (201, {"accepted": GROUPS * USERS * TAKEN, "duplicates": 0})

        def personal() -> list[str] | None:
            listed = http.get("/users/u0-0/recommendations", params={"limit": 3}).json()
            return [item["item_id"] for item in listed["items"]] if listed["source"] == "model" else None

        found = eventually(personal, f"a personal list\n{training.log()}\n{serving.log()}")
        assert len(found) == 3
        assert [item for item in found if not item.startswith("i0-")] == []

        assert serving.stop() == 0, serving.log()
        assert training.stop() == 0, training.log()
