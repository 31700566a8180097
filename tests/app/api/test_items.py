"""`/items` over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.db.engine import SchemaOutdated, StoreUnavailable
from tests.app.api.item_records import EMPTY, NOW, RECORD, at, buy, fits, get, put, refusal
from tests.app.api.running import NOW_US, AwayStore, Running, StartService
from tests.app.api.test_interactions import FailingRefresher


def test_a_record_comes_back_as_it_was_put(service: Running) -> None:
    expected = {"item_id": "cup"} | RECORD
    expected |= {"available_from": "2024-12-31T22:00:00.250000Z", "available_until": "2096-10-02T07:06:40Z"}
    expected |= {"updated_at": NOW}
    assert put(service, "cup", RECORD) == expected
    assert get(service, "cup") == expected
    assert list(get(service, "cup")["metadata"]) == ["sku", "deep", "big", "nul"]


@pytest.mark.parametrize(
    "body", [{}, {name: None for name in EMPTY if name != "hidden"}, {"title": "New"}, {"hidden": True}]
)
def test_a_put_replaces_the_whole_record(service: Running, body: dict[str, Any]) -> None:
    put(service, "cup", RECORD)
    service.clock.us = NOW_US + 1_000_000
    assert put(service, "cup", body) == {"item_id": "cup", **EMPTY, **body, "updated_at": "2025-01-31T12:00:01Z"} | (
        {"categories": [], "metadata": {}}
    )


def test_what_get_shows_can_be_put_again(service: Running) -> None:
    shown = put(service, "cup", RECORD)
    body = {name: value for name, value in shown.items() if name not in ("item_id", "updated_at")}
    assert put(service, "cup", body) == shown


def test_a_category_that_stands_twice_counts_once_in_its_first_place(service: Running) -> None:
    assert put(service, "cup", {"categories": ["b", "a", "b"]})["categories"] == ["b", "a"]


def test_an_item_that_only_interactions_have_named_has_an_empty_record(service: Running) -> None:
    buy(service, "cup")
    assert get(service, "cup") == {"item_id": "cup", **EMPTY, "updated_at": None}


@pytest.mark.parametrize("item_id", ["a/b", "%2F", "☕️👩‍👩‍👧", "x" * 256, "é" * 256, "a+b c", "cafe\u0301", "?#&="])
def test_any_id_leads_to_its_own_record(service: Running, item_id: str) -> None:
    put(service, "other", {})
    assert put(service, item_id, {"title": "Its own"})["item_id"] == item_id
    assert get(service, item_id)["title"] == "Its own"
    assert [item["item_id"] for item in service.client.get("/items").json()["items"]] == ["other", item_id]
    assert service.client.delete(at(item_id)).status_code == 204
    assert service.client.get(at(item_id)).status_code == 404


def test_an_item_nobody_has_named_is_404(service: Running) -> None:
    assert refusal(service, "GET", "/items/cup") == (404, "unknown_item")
    assert refusal(service, "DELETE", "/items/cup") == (404, "unknown_item")


def nested(levels: int) -> dict[str, Any]:
    return {} if levels == 1 else {"a": [nested(levels - 2)] if levels % 3 == 0 else nested(levels - 1)}


def test_a_record_at_its_limits_is_taken(service: Running) -> None:
    body = {
        "title": "👩" * 512,
        "categories": [f"{number:0256}" for number in range(100)],
        "metadata": {"a": "é" * 8_188},
        "available_from": 0,
        "available_until": "9999-12-31T23:59:59.999999Z",
    }
    shown = put(service, "cup", body)
    assert {name: shown[name] for name in body} == body | {"available_from": "1970-01-01T00:00:00Z"}


def test_metadata_is_nested_to_a_depth_that_can_be_shown_again(service: Running) -> None:
    deep = nested(32)
    assert put(service, "cup", {"metadata": deep})["metadata"] == deep
    response = service.client.put("/items/cup", json={"metadata": {"a": deep}})
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [
        ("/metadata", "metadata_depth")
    ]
    assert get(service, "cup")["metadata"] == deep


def test_a_deleted_item_is_gone_until_it_is_put_again(service: Running) -> None:
    put(service, "cup", RECORD)
    assert service.client.delete("/items/cup").status_code == 204
    assert refusal(service, "GET", "/items/cup") == (404, "unknown_item")
    assert refusal(service, "DELETE", "/items/cup") == (404, "unknown_item")
    assert service.client.get("/items").json()["items"] == []
    assert put(service, "cup", {"title": "Back"}) == {"item_id": "cup", **EMPTY, "title": "Back", "updated_at": NOW}


def test_items_are_paged_in_the_order_they_became_known_and_deletions_between_cost_nothing(service: Running) -> None:
    for number in range(12):
        if number % 3:
            put(service, f"i{number}", {"title": str(number)})
        else:
            buy(service, f"i{number}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = service.client.get("/items", params={"limit": 4} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["item_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        # The item that the cursor stands on, and the one that would come next but one.
        last = int(seen[-1][1:])
        service.client.delete(f"/items/i{last}")
        service.client.delete(f"/items/i{last + 2}")
    assert seen == ["i0", "i1", "i2", "i3", "i4", "i6", "i7", "i8", "i9", "i11"]


def test_a_page_shows_items_as_get_does(service: Running) -> None:
    put(service, "cup", RECORD)
    buy(service, "tea")
    page = service.client.get("/items").json()
    assert page == {"items": [get(service, "cup"), get(service, "tea")], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=x", "category=cups", "limit=1&limit=2"])
def test_a_wrong_parameter_of_the_list_is_named(shared: Running, query: str) -> None:
    response = shared.client.get(f"/items?{query}")
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/query/{query.partition('=')[0]}"]


def test_a_cursor_of_another_list_is_refused(service: Running) -> None:
    for number in range(2):
        buy(service, f"i{number}")
    cursor = service.client.get("/interactions?limit=1").json()["next"]
    assert service.client.get("/items", params={"cursor": cursor}).status_code == 422


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SchemaOutdated("no tables"), None])
def test_what_is_committed_is_a_success_although_the_store_then_goes_away(
    start: StartService, error: Exception | None
) -> None:
    service = start(store_timeout_seconds=0.3)
    refresher, failing = service.state.refresher, FailingRefresher(error)
    service.state.refresher = failing  # type: ignore[assignment]
    try:
        assert put(service, "cup", {"title": "Cup"})["title"] == "Cup"
        assert service.client.delete("/items/cup").status_code == 204
    finally:
        service.state.refresher = refresher
    assert failing.asked == 2
    assert service.client.get("/items/cup").status_code == 404


def test_a_store_that_is_away_is_503(service: Running) -> None:
    store, service.state.store = service.state.store, AwayStore()  # type: ignore[assignment]
    try:
        for method, path in (("PUT", "/items/cup"), ("GET", "/items/cup"), ("DELETE", "/items/cup"), ("GET", "/items")):
            assert refusal(service, method, path, b"{}") == (503, "store_unavailable"), (method, path)
    finally:
        service.state.store = store


def test_records_and_interactions_may_name_an_item_for_the_first_time_at_once(service: Running) -> None:
    def name(number: int) -> int:
        item_id = f"i{number // 2}"
        row = {"user_id": "ada", "item_id": item_id}
        request = ("PUT", at(item_id), {"title": item_id}) if number % 2 else ("POST", "/interactions", row)
        status: int = service.client.request(*request[:2], json=request[2]).status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(name, range(40))) == [201, 200] * 20
    assert {item["title"] for item in service.client.get("/items").json()["items"]} == {f"i{n}" for n in range(20)}


def test_documented_records_are_accepted_and_answered_as_documented(service: Running) -> None:
    operation = service.app.openapi()["paths"]["/items/{item_id}"]["put"]
    content = operation["requestBody"]["content"]["application/json"]
    assert len(content["examples"]) == 2
    for example in content["examples"].values():
        fits(
            service,
            operation["responses"]["200"]["content"]["application/json"]["schema"],
            put(service, "cup", example["value"]),
        )


def test_items_are_shown_as_documented(service: Running) -> None:
    put(service, "cup", RECORD)
    buy(service, "tea")
    for path, template in (
        ("/items/cup", "/items/{item_id}"),
        ("/items/tea", "/items/{item_id}"),
        ("/items", "/items"),
    ):
        answer = service.app.openapi()["paths"][template]["get"]["responses"]["200"]
        fits(service, answer["content"]["application/json"]["schema"], service.client.get(path).json())
