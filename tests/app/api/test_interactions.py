from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from app.db.engine import SchemaOutdated, StoreFull, StoreUnavailable
from app.db.writer import Outcome
from tests.app.api.running import NOW_US, AwayStore, Running, StartService


def post(service: Running, body: object, query: str = "") -> Any:
    return service.client.post(f"/interactions{query}", json=body)


def stored(service: Running, query: str = "") -> list[dict[str, Any]]:
    return service.client.get(f"/interactions?limit=500{query}").json()["items"]


def test_one_interaction_is_stored_with_its_defaults(service: Running) -> None:
    response = post(service, {"user_id": "ada", "item_id": 7})
    assert response.status_code == 201
    assert response.json() == {"accepted": 1, "duplicates": 0}
    assert stored(service) == [
        {
            "user_id": "ada",
            "item_id": "7",
            "event_type": "interaction",
            "value": 1.0,
            "timestamp": "2025-01-31T12:00:00Z",
            "event_id": None,
            "recommendation_id": None,
            "context": None,
        }
    ]


def test_every_field_comes_back_as_it_was_sent(service: Running) -> None:
    row = {
        "user_id": "a/b ☕",
        "item_id": "cafe\u0301",
        "event_type": "purchase.v-2_x",
        "value": 2.5,
        "timestamp": "2025-01-30T12:00:00.25+02:00",
        "event_id": "order 1",
        "recommendation_id": "r1",
        "context": {"z": 1, "a": "é", "none": None, "yes": True, "big": 12345678901234567890, "nul": "a\u0000b"},
    }
    assert post(service, [row]).status_code == 201
    (back,) = stored(service)
    assert back == row | {"timestamp": "2025-01-30T10:00:00.250000Z"}
    assert list(back["context"]) == ["z", "a", "none", "yes", "big", "nul"]


def test_a_thousand_rows_are_one_upload(service: Running) -> None:
    rows = [{"user_id": number % 10, "item_id": number} for number in range(1000)]
    assert post(service, rows).json() == {"accepted": 1000, "duplicates": 0}


def test_a_known_event_id_is_a_duplicate_also_within_one_upload(service: Running) -> None:
    row = {"user_id": "a", "item_id": "b", "event_id": "e1"}
    assert post(service, [row, row]).json() == {"accepted": 1, "duplicates": 1}
    assert post(service, row | {"item_id": "other"}).json() == {"accepted": 0, "duplicates": 1}
    assert [entry["item_id"] for entry in stored(service)] == ["b"]


def test_the_same_event_from_many_clients_at_once_is_stored_once(service: Running) -> None:
    row = {"user_id": "a", "item_id": "b", "event_id": "e1"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(service, row).json(), range(20)))
    assert sum(answer["accepted"] for answer in answers) == 1
    assert sum(answer["duplicates"] for answer in answers) == 19


def test_one_bad_row_refuses_the_upload_and_nothing_is_stored(service: Running) -> None:
    response = post(service, [{"user_id": "a", "item_id": "b"}, {"user_id": "a", "item_id": "b", "value": -1}])
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "pointer": "/1/value",
            "code": "value_range",
            "detail": "a value is a finite number over 0 and at most 1e6",
        }
    ]
    assert stored(service) == []


def test_skip_stores_the_good_rows_and_names_each_bad_one(service: Running) -> None:
    rows = [{"user_id": "a", "item_id": number, "value": 1 if number % 2 else 0} for number in range(100)]
    answer = post(service, rows, "?on_error=skip").json()
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (50, 0, 50)
    assert [entry["pointer"] for entry in answer["errors"]] == [f"/{number}/value" for number in range(0, 100, 2)]
    assert len(stored(service)) == 50


def test_skip_with_no_good_row_is_still_an_answer(service: Running) -> None:
    answer = post(service, {"user_id": ""}, "?on_error=skip").json()
    assert (answer["accepted"], answer["rejected"]) == (0, 1)


def test_skip_with_nothing_wrong_says_so(service: Running) -> None:
    answer = post(service, {"user_id": "a", "item_id": "b"}, "?on_error=skip").json()
    assert answer == {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}


def test_an_upload_reaches_this_workers_history_before_the_answer(start: StartService) -> None:
    service = start(refresh_seconds=60)
    post(service, {"user_id": "ada", "item_id": "cup"})
    assert service.state.history.user_key("ada") is not None


def test_the_list_is_paged_newest_first_without_gaps_or_repeats(service: Running) -> None:
    rows = [{"user_id": "a", "item_id": number, "timestamp": 1000 + number // 3} for number in range(25)]
    post(service, rows)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = service.client.get("/interactions", params={"limit": 7} | ({"cursor": cursor} if cursor else {})).json()
        seen += [entry["item_id"] for entry in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["items"]) == 7
    assert sorted(seen, key=int) == [str(number) for number in range(25)]
    assert [int(item) // 3 for item in seen] == sorted((int(item) // 3 for item in seen), reverse=True)


def test_a_list_that_ends_with_a_full_page_has_no_next(service: Running) -> None:
    post(service, [{"user_id": "a", "item_id": number} for number in range(4)])
    assert service.client.get("/interactions?limit=4").json()["next"] is None


def test_the_list_can_be_narrowed_to_a_user_and_an_item(service: Running) -> None:
    post(service, [{"user_id": user, "item_id": item} for user in ("a/b", "c") for item in ("x", "y z")])
    assert {entry["item_id"] for entry in stored(service, "&user_id=a/b")} == {"x", "y z"}
    assert {entry["user_id"] for entry in stored(service, "&item_id=y+z")} == {"a/b", "c"}
    assert len(stored(service, "&user_id=a%2Fb&item_id=y%20z")) == 1
    assert stored(service, "&user_id=nobody") == []


def test_a_deleted_interaction_is_gone_from_store_and_memory_at_once(start: StartService) -> None:
    service = start(refresh_seconds=60)
    post(service, {"user_id": "ben", "item_id": "cup"})
    service.state.refresher.poll()
    post(service, {"user_id": "ada", "item_id": "cup", "event_id": "e/1"})
    key = service.state.history.user_key("ada")
    assert key is not None
    assert len(service.state.history.seen_item_keys(key, now_us=NOW_US)) == 1
    assert service.client.delete(f"/interactions/{quote('e/1', safe='')}").status_code == 204
    assert [row["user_id"] for row in stored(service)] == ["ben"]
    assert len(service.state.history.seen_item_keys(key, now_us=NOW_US)) == 0


def test_deleting_an_unknown_event_is_404(service: Running) -> None:
    response = service.client.delete("/interactions/e1")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_event")


class FailingRefresher:
    """A refresher whose store went away, or hangs (error None)."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked = 0

    async def poll_now(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await asyncio.sleep(60)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SchemaOutdated("no tables"), None])
def test_a_deletion_that_is_committed_is_204_although_the_store_then_goes_away(
    start: StartService, error: Exception | None
) -> None:
    service = start(store_timeout_seconds=0.3)
    post(service, {"user_id": "ada", "item_id": "cup", "event_id": "e1"})
    refresher, failing = service.state.refresher, FailingRefresher(error)
    service.state.refresher = failing  # type: ignore[assignment]
    try:
        assert service.client.delete("/interactions/e1").status_code == 204
    finally:
        service.state.refresher = refresher
    assert failing.asked == 1
    assert stored(service) == []


class FailingWriter:
    """A writer whose store is away, full, or hung."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.outcomes: list[Outcome] = []

    def submit_for(self, outcome: Outcome, rows: object, *, received_us: int) -> None:
        if self.error is not None:
            outcome.set_exception(self.error)
        self.outcomes.append(outcome)

    def stop(self, timeout_seconds: float) -> None:
        return


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(StoreUnavailable("away"), 503, "store_unavailable"), (StoreFull("full"), 507, "store_full")],
)
def test_a_store_that_cannot_take_an_upload_says_why(
    service: Running, error: Exception, status: int, code: str
) -> None:
    service.state.writer = FailingWriter(error)  # type: ignore[assignment]
    response = post(service, {"user_id": "a", "item_id": "b"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert ("retry-after" in response.headers) == (status == 503)


def test_an_upload_does_not_wait_for_a_hung_store_and_is_withdrawn(start: StartService) -> None:
    service = start(store_timeout_seconds=0.2)
    writer = FailingWriter(None)
    service.state.writer = writer  # type: ignore[assignment]
    assert post(service, {"user_id": "a", "item_id": "b"}).status_code == 503
    assert not writer.outcomes[0].set_running_or_notify_cancel()


def test_reads_of_a_store_that_is_away_are_503(service: Running) -> None:
    store, service.state.store = service.state.store, AwayStore()  # type: ignore[assignment]
    try:
        for path in ("/interactions", "/users/ada", "/stats"):
            response = service.client.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "store_unavailable"), path
            assert response.headers["retry-after"]
    finally:
        service.state.store = store


def test_a_body_is_never_echoed(service: Running) -> None:
    response = post(
        service, {"user_id": " s3cret", "item_id": {"s3cret": 1}, "value": "s3cret", "event_type": "S3cret!"}
    )
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 4
    assert "s3cret" not in response.text.lower()


def test_documented_examples_are_accepted(service: Running) -> None:
    content = service.app.openapi()["paths"]["/interactions"]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        assert service.client.post("/interactions", content=json.dumps(example["value"])).status_code == 201
