"""The whole product as its user runs it: `likewise serve` as a process, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

USERS_PER_GROUP = 15
ITEMS_PER_GROUP = 12
ITEMS_PER_USER = 8
DEADLINE_SECONDS = 60.0

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(ask: Callable[[], T | None], *, what: str, seconds: float = DEADLINE_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {seconds} s")


class Service:
    """`likewise serve` with its trainer, started and stopped as often as a test wants."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._log = folder / "log.txt"
        self._folder = folder
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LIKEWISE_DATABASE_URL": database_url,
            "LIKEWISE_MODEL_DIR": str(folder / "models"),
        }
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "app.cli", "serve", "--port", str(self.port)]
            self._process = subprocess.Popen(command, env=self._environ, cwd=self._folder, stdout=log, stderr=log)
        eventually(self._ready, what=f"readyz ({self._log})")

    def signal(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)

    def close(self) -> None:
        self.http.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return True if self.http.get("/readyz").status_code == 200 else None
        except httpx.TransportError:
            return None


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'likewise.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
        environ = {"PATH": os.environ["PATH"], "LIKEWISE_DATABASE_URL": url}
        subprocess.run([sys.executable, "-m", "app.cli", "db", "upgrade"], env=environ, cwd=tmp_path, check=True)
    service = Service(url, tmp_path)
    yield service
    service.close()


def planted() -> list[dict[str, Any]]:
    """Two groups of users who share no item, each user with some of the group's."""
    return [
        {"user_id": f"{group}{user}", "item_id": f"{group}-item{(user + step) % ITEMS_PER_GROUP}"}
        for group in ("a", "b")
        for user in range(USERS_PER_GROUP)
        for step in range(ITEMS_PER_USER)
    ]


def items(answer: httpx.Response) -> list[tuple[str, float]]:
    assert answer.status_code == 200, answer.text
    return [(entry["item_id"], entry["score"]) for entry in answer.json()["items"]]


def popularity(http: httpx.Client) -> list[tuple[str, float]]:
    return items(http.get("/popular?limit=100"))


@pytest.mark.slow
def test_interactions_become_personal_lists_that_survive_a_kill(service: Service) -> None:
    service.start()
    http = service.http
    assert http.get("/models/active").json()["code"] == "no_model"

    rows = planted()
    answer = http.post("/interactions", json=rows)
    assert (answer.status_code, answer.json()) == (201, {"accepted": len(rows), "duplicates": 0})
    before_model = http.get("/users/a1/recommendations", params={"limit": 4}).json()
    assert (before_model["source"], before_model["model_version"]) == ("popular", None)

    # 240 rows: the first training starts by itself.
    version = eventually(lambda: http.get("/models/active").json().get("version"), what="a first model")
    trained = eventually(
        lambda: a if (a := http.get("/users/a1/recommendations?limit=4").json())["model_version"] == version else None,
        what="the model being served",
        seconds=2,
    )
    assert trained["source"] == "model"
    had = {row["item_id"] for row in rows if row["user_id"] == "a1"}
    recommended = [entry["item_id"] for entry in trained["items"]]
    assert sorted(recommended) == sorted({f"a-item{n}" for n in range(ITEMS_PER_GROUP)} - had)

    # What is acknowledged changes the next list, without a training.
    first = recommended[0]
    assert http.post("/interactions", json={"user_id": "a1", "item_id": first}).status_code == 201
    assert first not in dict(items(http.get("/users/a1/recommendations?limit=100")))

    users = [f"{group}{n}" for group in "ab" for n in range(USERS_PER_GROUP)] + ["nobody"]

    def lists_of_all() -> dict[str, list[tuple[str, float]]]:
        return {user: items(http.get(f"/users/{user}/recommendations?limit=100")) for user in users}

    # Popularity, which is everybody's, follows the interaction within the refresh: from then on nothing moves.
    before = popularity(http)
    assert http.post("/interactions", json={"user_id": "a2", "item_id": first}).status_code == 201
    eventually(lambda: True if popularity(http) != before else None, what="popularity that follows", seconds=5)
    time.sleep(1)
    lists = lists_of_all()
    assert service.signal(signal.SIGKILL) == -signal.SIGKILL
    service.start()
    assert lists_of_all() == lists

    assert service.signal(signal.SIGTERM) == 0
