"""`/trainings` and `/models` over HTTP; the trainer's part is played by the store's own functions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.db import trainings
from app.training.run import FEWEST_FORCED, FEWEST_INTERACTIONS
from tests.app.api.running import NOW_US, Running
from tests.app.published import publish_model

VIEW = {
    *("id", "status", "trigger", "progress", "metrics", "model_version", "gate", "reason", "error"),
    *("created_at", "started_at", "finished_at"),
}


def claim(service: Running) -> trainings.ClaimedTraining:
    with service.state.store.write() as connection:
        claimed = trainings.claim(connection, "trainer", now_us=NOW_US, lease_us=10**9)
    assert claimed is not None
    return claimed


def test_everything_that_can_ask_for_a_training_is_documented(shared: Running) -> None:
    schema = shared.client.get("/openapi.json").json()["components"]["schemas"]["TrainingView"]
    named = re.findall(r"`(\w+)`", schema["properties"]["trigger"]["description"])
    assert named == ["api", "cli", "rows", "interval", "retry", "lost"]


def test_what_force_changes_is_documented_with_its_numbers(shared: Running) -> None:
    schema = shared.client.get("/openapi.json").json()["components"]["schemas"]["TrainingRequest"]
    told = schema["properties"]["force"]["description"]
    assert [int(number) for number in re.findall(r"\d+", told)] == [FEWEST_FORCED, FEWEST_INTERACTIONS]


def test_a_training_is_queued_and_found_under_its_location(service: Running) -> None:
    response = service.client.post("/trainings", json={"config": {"embedding_dim": 8}, "note": "smaller"})
    assert (response.status_code, response.headers["Location"]) == (202, f"/trainings/{response.json()['id']}")
    view = service.client.get(response.headers["Location"]).json()
    assert view == response.json()
    assert set(view) >= VIEW
    assert set(view["progress"]) == {"phase", "epoch", "epochs", "loss", "eta_seconds"}
    assert (view["status"], view["trigger"], view["config"], view["note"]) == (
        "queued",
        "api",
        {"embedding_dim": 8},
        "smaller",
    )
    assert claim(service).config == {"embedding_dim": 8}


def test_an_empty_body_asks_for_the_recipe_as_it_is(service: Running) -> None:
    assert service.client.post("/trainings").json()["config"] == {}


def test_a_second_training_is_refused_with_the_number_of_the_first(service: Running) -> None:
    first = service.client.post("/trainings", json={}).json()["id"]
    for _ in ("queued", "running"):
        response = service.client.post("/trainings", json={})
        assert (response.status_code, response.json()["code"]) == (409, "training_active")
        assert response.json()["training_id"] == first
        if service.client.get(f"/trainings/{first}").json()["status"] == "queued":
            claim(service)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"config": {"embeding_dim": 8}}, "/config/embeding_dim"),
        ({"config": {"embedding_dim": 0}}, "/config/embedding_dim"),
        ({"config": {"embedding_dim": "8"}}, "/config/embedding_dim"),
        ({"config": {"loss": "perfect"}}, "/config/loss"),
        ({"config": {"learning_rate": 1e999}}, "/config/learning_rate"),
        ({"config": 7}, "/config"),
        ({"tune": True}, "/tune"),
        ({"forse": True}, "/forse"),
        ({"force": "yes"}, "/force"),
        ({"dry_run": 1}, "/dry_run"),
        ({"note": "a\u0000b"}, "/note"),
        ([], ""),
    ],
)
def test_a_wrong_request_is_pointed_at_and_queues_nothing(service: Running, body: Any, pointer: str) -> None:
    content = json.dumps(body).replace("Infinity", "1e999")
    response = service.client.post("/trainings", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert service.client.get("/trainings").json() == {"items": [], "next": None}


def test_a_queued_training_is_cancelled_at_once_and_then_it_is_over(service: Running) -> None:
    number = service.client.post("/trainings", json={}).json()["id"]
    response = service.client.post(f"/trainings/{number}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    again = service.client.post(f"/trainings/{number}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "training_finished")


def test_a_running_training_is_told_to_stop_by_its_heartbeat(service: Running) -> None:
    number = service.client.post("/trainings", json={}).json()["id"]
    claimed = claim(service)
    assert service.client.post(f"/trainings/{number}/cancel").status_code == 202
    with service.state.store.write() as connection:
        assert trainings.heartbeat(connection, claimed, now_us=NOW_US, lease_us=10**9).cancel_requested


@pytest.mark.parametrize("path", ["/trainings/12", "/models/12"])
def test_an_unknown_number_is_404_and_a_wrong_one_422(service: Running, path: str) -> None:
    assert service.client.get(path).status_code == 404
    assert service.client.get(path.replace("12", "0")).status_code == 422
    assert service.client.get(path.replace("12", "x")).status_code == 422
    assert service.client.get(path.replace("12", "9" * 30)).status_code == 422


def test_trainings_are_paged_newest_first(service: Running) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(service.client.post("/trainings", json={}).json()["id"])
        service.client.post(f"/trainings/{numbers[-1]}/cancel")
    first = service.client.get("/trainings", params={"limit": 2}).json()
    second = service.client.get("/trainings", params={"limit": 2, "cursor": first["next"]}).json()
    assert [row["id"] for row in first["items"] + second["items"]] == numbers[::-1]
    assert second["next"] is None


def test_models_are_listed_and_the_active_one_is_the_newest(service: Running) -> None:
    response = service.client.get("/models/active")
    assert (response.status_code, response.json()["code"]) == (404, "no_model")
    service.client.post("/interactions", json={"user_id": "ann", "item_id": "tea"})
    for seed in (1, 2, 3):
        publish_model(service.state.store, service.state.settings.model_dir, seed=seed)
    active = service.client.get("/models/active").json()
    assert set(active) >= {"version", "created_at", "metrics", "config", "watermark"}
    assert active == service.client.get("/models/3").json()
    first = service.client.get("/models", params={"limit": 2}).json()
    rest = service.client.get("/models", params={"limit": 2, "cursor": first["next"]}).json()
    assert [model["version"] for model in first["items"] + rest["items"]] == [3, 2, 1]
    assert service.client.get("/models", params={"cursor": "x"}).status_code == 422
