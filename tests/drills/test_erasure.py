"""Erasing on one of two replicas while both are written to: within two seconds the other one has forgotten too."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.db.engine import Store
from app.main import create_app
from app.server import Server
from app.settings import Settings
from tests.app.published import publish_model
from tests.app.serving import running
from tests.drills.test_two_replicas import Replica

pytestmark = pytest.mark.drill

USERS = 40
# What is promised.
WITHIN_SECONDS = 2.0


def url_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")


def test_an_erased_user_is_gone_from_both_and_comes_back_afresh(store: Store, tmp_path: Path) -> None:
    with ExitStack() as stack:
        replicas = []
        for _ in range(2):
            values: dict[str, Any] = {"database_url": url_of(store), "model_dir": tmp_path / "models"}
            settings = Settings.model_validate(values)
            app = create_app(settings)
            port = stack.enter_context(running(Server(app, settings, port=0)))
            replicas.append(Replica(port, app.state.likewise.history))
        one, other = replicas
        rows = [{"user_id": f"user-{n % USERS}", "item_id": f"item-{n % 13}"} for n in range(400)]
        one.ask("POST", "/interactions", rows, status=201)
        version = publish_model(store, tmp_path / "models")
        _until(lambda: one.version() == other.version() == version)
        slowest = 0.0
        for number in range(USERS // 2):
            user_id = f"user-{number}"
            here, there = (one, other) if number % 2 else (other, one)
            there.ask("POST", "/interactions", {"user_id": user_id, "item_id": "item-late"}, status=201)
            old_key = there.history.user_key(user_id)
            started = time.monotonic()
            receipt = here.ask("DELETE", f"/users/{user_id}")
            assert (receipt["interactions_deleted"], receipt["models_trained_on_user"]) == (11, [version])
            assert here.ask("GET", f"/users/{user_id}/recommendations")["source"] == "popular"
            path = f"/users/{user_id}/recommendations"
            _until(lambda there=there, path=path: there.ask("GET", path)["source"] == "popular")  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - started)
            assert there.history.held.size(old_key or -1) == 0
            if number % 3 == 0:
                there.ask("POST", "/interactions", {"user_id": user_id, "item_id": "item-1"}, status=201)
                assert there.history.user_key(user_id) not in (None, old_key)
                assert there.ask("GET", f"/users/{user_id}")["interactions"] == 1
        assert slowest < WITHIN_SECONDS
        # Everybody else is as before, on both.
        for replica in replicas:
            assert replica.ask("GET", f"/users/user-{USERS - 1}/recommendations")["source"] == "model"


def _until(condition: Any, seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)
