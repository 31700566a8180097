"""`/items` over HTTP, and what a record does to the lists of the same process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from app.db.engine import SchemaOutdated, StoreUnavailable
from tests.app.api.running import NOW_US, AwayStore, Running, StartService
from tests.app.api.test_interactions import FailingRefresher
from tests.app.api.test_never_500 import FEW, VALUES, accepted_or_explained
from tests.app.published import publish_model

NOW = "2025-01-31T12:00:00Z"
RECORD = {
    "title": "Espresso cup ☕",
    "categories": ["cups", "made in/Italy"],
    "metadata": {"sku": "C-17", "deep": {"er": [1, 2.5, None, True]}, "big": 12345678901234567890, "nul": "a\u0000b"},
    "hidden": True,
    "available_from": "2025-01-01T00:00:00.25+02:00",
    "available_until": 4_000_000_000,
}
EMPTY: dict[str, Any] = {
    "title": None,
    "categories": [],
    "metadata": {},
    "hidden": False,
    "available_from": None,
    "available_until": None,
}


def at(item_id: str) -> str:
    return f"/items/{quote(item_id, safe='')}"


def put(service: Running, item_id: str, body: object) -> dict[str, Any]:
    response = service.client.put(at(item_id), json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def get(service: Running, item_id: str) -> dict[str, Any]:
    response = service.client.get(at(item_id))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def buy(service: Running, item_id: str, user_id: str = "ben") -> None:
    assert service.client.post("/interactions", json={"user_id": user_id, "item_id": item_id}).status_code == 201


def listed(service: Running, path: str = "/popular") -> list[str]:
    return [item["item_id"] for item in service.client.get(path, params={"limit": 500}).json()["items"]]


def refusal(service: Running, method: str, path: str, content: bytes | None = None) -> tuple[int, str]:
    response = service.client.request(method, path, content=content)
    return response.status_code, response.json()["code"]


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


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("raw", ["", "x" * 257, "%00", "%ff", "%zz", "%20a", "%EF%BF%BD"])
def test_a_wrong_id_is_named(service: Running, method: str, raw: str) -> None:
    response = service.client.request(method, f"/items/{raw}", content=b"{}")
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/path/item_id"]


def test_an_item_nobody_has_named_is_404(service: Running) -> None:
    assert refusal(service, "GET", "/items/cup") == (404, "unknown_item")
    assert refusal(service, "DELETE", "/items/cup") == (404, "unknown_item")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"title": ""}, "/title", "string_too_short"),
        ({"title": "x" * 513}, "/title", "string_too_long"),
        ({"title": "x" * 1_000_000}, "/title", "string_too_long"),
        ({"title": "s3cret\n"}, "/title", "text_control_character"),
        ({"title": "s3cret\u0085"}, "/title", "text_control_character"),
        ({"title": "s3cret\ud800"}, "/title", "string_unicode"),
        ({"title": 7}, "/title", "string_type"),
        ({"categories": "s3cret"}, "/categories", "list_type"),
        ({"categories": {}}, "/categories", "list_type"),
        ({"categories": ["a"] * 101}, "/categories", "too_long"),
        ({"categories": ["a", ""]}, "/categories/1", "string_too_short"),
        ({"categories": ["a", "x" * 257]}, "/categories/1", "string_too_long"),
        ({"categories": [7]}, "/categories/0", "string_type"),
        ({"categories": [None]}, "/categories/0", "string_type"),
        ({"categories": [" s3cret"]}, "/categories/0", "id_surrounding_space"),
        ({"categories": ["s3\u0000cret"]}, "/categories/0", "id_control_character"),
        ({"categories": ["s3cret\ufffd"]}, "/categories/0", "id_replacement_character"),
        ({"categories": ["s3cret\ud800"]}, "/categories/0", "string_unicode"),
        ({"metadata": []}, "/metadata", "dict_type"),
        ({"metadata": "{}"}, "/metadata", "dict_type"),
        ({"metadata": {"a": "x" * 16_377}}, "/metadata", "metadata_too_large"),
        ({"metadata": {"a": "é" * 8_189}}, "/metadata", "metadata_too_large"),
        ({"metadata": {"a": [float("nan")]}}, "/metadata", "metadata_value"),
        ({"metadata": {"a": {"b": float("-inf")}}}, "/metadata", "metadata_value"),
        ({"metadata": {"a": 10**309}}, "/metadata", "metadata_value"),
        ({"metadata": {"s3cret\ud800": 1}}, "/metadata", "metadata_value"),
        ({"metadata": {"a": ["s3cret\udfff"]}}, "/metadata", "metadata_value"),
        ({"hidden": 1}, "/hidden", "bool_type"),
        ({"hidden": "true"}, "/hidden", "bool_type"),
        ({"hidden": None}, "/hidden", "bool_type"),
        ({"available_from": "2025-01-31"}, "/available_from", "timestamp_format"),
        ({"available_from": "2025-01-31T12:00:00"}, "/available_from", "timestamp_offset"),
        ({"available_from": 1_738_324_800_000}, "/available_from", "timestamp_range"),
        ({"available_from": "9999-12-31T23:30:00-01:00"}, "/available_from", "timestamp_range"),
        ({"available_from": -1}, "/available_from", "timestamp_past"),
        ({"available_until": float("nan")}, "/available_until", "timestamp_format"),
        ({"available_until": True}, "/available_until", "timestamp_type"),
        ({"available_from": 7, "available_until": 7}, "/available_until", "availability_order"),
        ({"available_until": 6, "available_from": 7}, "/available_until", "availability_order"),
        ({"item_id": "cup"}, "/item_id", "extra_forbidden"),
        ({"a/b~": 1}, "/a~1b~0", "extra_forbidden"),
        ([], "", "model_type"),
        ([{}], "", "model_type"),
        ("s3cret", "", "model_type"),
        (None, "", "model_type"),
        (float("nan"), "", "model_type"),
    ],
)
def test_a_wrong_record_is_refused_where_it_is_wrong(shared: Running, body: object, pointer: str, code: str) -> None:
    response = shared.client.put("/items/cup", content=json.dumps(body))
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [(pointer, code)]
    assert len(response.content) < 1_000
    assert "s3" not in response.text
    assert shared.client.get("/items/cup").status_code == 404


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "json_invalid"),
        (b"{", "json_invalid"),
        (b'{"title":"a","title":"b"}', "duplicate_name"),
        (b'{"metadata":{"a":[{"b":1,"b":1}]}}', "duplicate_name"),
        (b'{"metadata":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "json_invalid"),
    ],
)
def test_what_cannot_be_read_as_one_value_is_refused(shared: Running, content: bytes, code: str) -> None:
    response = shared.client.put("/items/cup", content=content)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [("", code)]


def test_every_mistake_of_a_record_is_told(shared: Running) -> None:
    body = {"title": 7, "categories": ["", 7], "hidden": 7, "available_from": "x", "available_until": -1, "x": 1}
    errors = shared.client.put("/items/cup", json=body).json()["errors"]
    assert {error["pointer"] for error in errors} == {
        *("/title", "/categories/0", "/categories/1", "/hidden", "/available_from", "/available_until", "/x"),
    }


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


def test_a_deleted_item_leaves_every_list_at_once_and_is_back_with_the_next_put(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for item_id in ("cup", "tea"):
        buy(service, item_id)
    assert listed(service) == ["cup", "tea"]
    assert service.client.delete("/items/cup").status_code == 204
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["tea"]
    put(service, "cup", {})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["cup", "tea"]


def test_interactions_with_a_deleted_item_are_accepted_and_do_not_bring_it_back(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    service.client.delete("/items/cup")
    buy(service, "cup", "ann")
    assert service.client.get("/users/ann").json()["interactions"] == 1
    assert service.client.get("/items/cup").status_code == 404
    assert listed(service) == []


def test_a_deletion_outlives_the_process(start: StartService) -> None:
    first = start()
    buy(first, "cup")
    buy(first, "tea")
    first.client.delete("/items/cup")
    again = start(database_url=first.state.settings.database_url)
    assert listed(again) == ["tea"]


def test_a_hidden_item_leaves_every_list_at_once(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for item_id in ("cup", "tea"):
        buy(service, item_id)
    put(service, "cup", {"hidden": True})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["tea"]
    assert get(service, "cup")["hidden"] is True
    put(service, "cup", {})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["cup", "tea"]


def test_an_item_is_in_lists_within_its_window_only(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    seconds = NOW_US // 1_000_000
    put(service, "cup", {"available_from": seconds + 10, "available_until": seconds + 20})
    shown = {}
    for after in (0, 9.999999, 10, 19.999999, 20):
        service.clock.us = NOW_US + round(after * 1_000_000)
        shown[after] = listed(service)
    assert shown == {0: [], 9.999999: [], 10: ["cup"], 19.999999: ["cup"], 20: []}


def test_a_models_lists_follow_at_once(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for number in range(8):
        buy(service, f"item-{number}", f"user-{number}")
    buy(service, "item-1", "ann")
    publish_model(service.state.store, service.state.settings.model_dir)
    service.state.refresher.poll()
    path = "/users/ann/recommendations"
    before = service.client.get(path, params={"limit": 3}).json()
    assert (before["source"], len(before["items"])) == ("model", 3)
    gone, hidden, late = (item["item_id"] for item in before["items"])
    service.client.delete(at(gone))
    put(service, hidden, {"hidden": True})
    put(service, late, {"available_from": "2030-01-01T00:00:00Z"})
    after = service.client.get(path, params={"limit": 3}).json()
    assert {gone, hidden, late}.isdisjoint(item["item_id"] for item in after["items"])
    assert len(after["items"]) == 3


def test_a_title_is_in_the_next_list_and_gone_from_it_when_it_is_cleared(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    put(service, "cup", {"title": "Cup"})
    assert service.client.get("/popular").json()["items"][0]["title"] == "Cup"
    put(service, "cup", {})
    assert "title" not in service.client.get("/popular").json()["items"][0]


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


@FEW
@given(body=st.dictionaries(st.sampled_from([*EMPTY, "other"]), VALUES, max_size=7) | VALUES)
def test_whatever_is_put_is_refused_or_shown_again(shared: Running, body: object) -> None:
    accepted_or_explained(shared, "PUT", "/items/whatever", json.dumps(body).encode())
    assert shared.client.get("/items/whatever").status_code in (200, 404)


def fits(service: Running, schema: dict[str, Any], value: object) -> None:
    Draft202012Validator({**schema, "components": service.app.openapi()["components"]}).validate(value)


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


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""},
        {"title": "a\nb"},
        {"categories": [""]},
        {"metadata": 7},
        {"hidden": None},
        {"x": 1},
        {"available_from": -1},
    ],
)
def test_a_wrong_record_does_not_fit_the_documented_body(shared: Running, body: dict[str, Any]) -> None:
    content = shared.app.openapi()["paths"]["/items/{item_id}"]["put"]["requestBody"]["content"]["application/json"]
    with pytest.raises(jsonschema.ValidationError):
        fits(shared, content["schema"], body)
