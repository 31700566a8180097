"""`GET /interactions/export`."""

from __future__ import annotations

import json
from typing import Any

from tests.app.api.running import AwayStore, Running, StartService

ROWS: list[dict[str, Any]] = [
    {
        "user_id": "é/1",
        "item_id": "=cmd",
        "event_type": "click",
        "value": 0.1,
        "timestamp": "2025-01-31T11:59:59.000001Z",
    },
    {
        "user_id": "ada",
        "item_id": "cup",
        "event_type": "interaction",
        "value": 1.0,
        "timestamp": "2025-01-30T00:00:00Z",
        "event_id": "e1",
        "recommendation_id": "r1",
        "context": {"page": 3, "quote": '"\\', "none": None, "yes": True},
    },
]


def test_everything_comes_back_as_it_went_in_and_is_taken_again(service: Running, start: StartService) -> None:
    assert service.client.post("/interactions", json=ROWS).status_code == 201
    answer = service.client.get("/interactions/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == ROWS
    other = start()
    done = other.client.post(
        "/interactions/bulk", content=answer.content, headers={"Content-Type": "application/x-ndjson"}
    )
    assert done.json() == {"accepted": 2, "duplicates": 0, "rejected": 0, "errors": []}
    assert other.client.get("/interactions/export").content == answer.content


def test_several_pages_are_one_stream(service: Running) -> None:
    text = "user_id,item_id\n" + "".join(f"u{n},i{n % 7}\n" for n in range(12_001))
    service.client.post("/interactions/bulk", content=text, headers={"Content-Type": "text/csv"})
    lines = service.client.get("/interactions/export").text.splitlines()
    assert len({json.loads(line)["user_id"] for line in lines}) == len(lines) == 12_001


def test_an_empty_store_gives_an_empty_stream(service: Running) -> None:
    answer = service.client.get("/interactions/export")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_store_that_is_away_is_told_before_anything_is_sent(service: Running) -> None:
    store, service.state.store = service.state.store, AwayStore()  # type: ignore[assignment]
    try:
        assert service.client.get("/interactions/export").status_code == 503
    finally:
        service.state.store = store
