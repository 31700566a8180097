"""What lists and scores refuse besides ids: where it is wrong, and never with a failure of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import ITEMS, get, ids, post

DIGITS = "9" * 5000
LISTS = ["/users/ann/recommendations", "/users/ann/recommendations/diagnosis", "/items/item-1/similar", "/popular"]
PERSONAL = LISTS[:2]
SESSION = {"interactions": [{"item_id": "item-1"}]}
ASKED: dict[str, dict[str, Any]] = {
    "/users/ann/recommendations": {},
    "/recommendations": SESSION,
    "/recommendations/batch": {"user_ids": ["ann"]},
}
"""The least that each list in a body needs."""


def refusals(response: Any) -> list[tuple[str, str]]:
    """Pointers and codes of a 422 that is a problem document."""
    document = response.json()
    assert (response.status_code, document["status"], document["code"]) == (422, 422, "invalid_request"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["request_id"] == response.headers["x-request-id"]
    assert 1 <= len(document["errors"]) <= 20
    return [(error["pointer"], error["code"]) for error in document["errors"]]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("value", ["0", "501", "-1", DIGITS, "1.5", "1.0", "1e1", "", "ten", "+1", "%201", "٥", "0x1"])
def test_a_limit_that_is_no_number_from_1_to_500_is_refused(shared_shop: Running, path: str, value: str) -> None:
    assert refusals(shared_shop.client.get(path, params={"limit": value})) == [("/query/limit", "limit_range")]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("value", ["0", "501", "-1", DIGITS, "1.5", "1.0", "", "ten", "٥", "true"])
def test_so_is_such_a_number_of_items_per_category(shared_shop: Running, path: str, value: str) -> None:
    (refusal,) = refusals(shared_shop.client.get(path, params={"max_per_category": value}))
    assert refusal[0] == "/query/max_per_category"


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("name", ["limit", "max_per_category"])
@pytest.mark.parametrize(
    "value", ["0", "501", "-1", DIGITS, "-" + DIGITS, "1.5", "1.0", "NaN", '"5"', "true", "[]", "{}"]
)
def test_a_number_in_a_body_that_is_none_from_1_to_500_is_refused(
    shared_shop: Running, path: str, name: str, value: str
) -> None:
    body = json.dumps(ASKED[path])[:-1] + (", " if ASKED[path] else "") + f'"{name}": {value}}}'
    (refusal,) = refusals(shared_shop.client.post(path, content=body))
    assert refusal[0] == f"/{name}"


@pytest.mark.parametrize("path", ASKED)
def test_a_limit_in_a_body_is_not_null(shared_shop: Running, path: str) -> None:
    assert refusals(shared_shop.client.post(path, json=ASKED[path] | {"limit": None})) == [("/limit", "int_type")]


@pytest.mark.parametrize("path", PERSONAL)
@pytest.mark.parametrize("name", ["include_seen", "explain", "strict"])
@pytest.mark.parametrize("value", ["", "yes", "True", "2", "null", "tru"])
def test_a_flag_is_true_or_false(shared_shop: Running, path: str, name: str, value: str) -> None:
    assert refusals(shared_shop.client.get(path, params={name: value})) == [(f"/query/{name}", "boolean")]


@pytest.mark.parametrize("name", ["include_seen", "explain", "strict"])
@pytest.mark.parametrize("value", [1, 0, "true", [], float("nan")])
def test_a_flag_in_a_body_is_a_boolean(shared_shop: Running, name: str, value: object) -> None:
    response = shared_shop.client.post("/users/ann/recommendations", content=json.dumps({name: value}))
    assert refusals(response) == [(f"/{name}", "bool_type")]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("name", ["limt", "categories", "exclude_items", "user_id", "offset", "cursor", "", "a/b~c"])
def test_an_unknown_parameter_is_named(shared_shop: Running, path: str, name: str) -> None:
    pointer = "/query/" + name.replace("~", "~0").replace("/", "~1")
    assert refusals(shared_shop.client.get(path, params={name: "1"})) == [(pointer, "extra_forbidden")]


@pytest.mark.parametrize("path", ["/popular", "/items/item-1/similar"])
@pytest.mark.parametrize("name", ["include_seen", "explain", "strict"])
def test_what_is_personal_is_refused_where_nobody_is_meant(shared_shop: Running, path: str, name: str) -> None:
    response = shared_shop.client.get(path, params={name: "true"})
    assert refusals(response) == [(f"/query/{name}", "extra_forbidden")]


@pytest.mark.parametrize("path", LISTS)
def test_what_is_not_a_list_is_given_once(shared_shop: Running, path: str) -> None:
    response = shared_shop.client.get(f"{path}?limit=5&limit=5&max_per_category=1&max_per_category=2")
    assert refusals(response) == [("/query/limit", "repeated"), ("/query/max_per_category", "repeated")]


@pytest.mark.parametrize("path", [*ASKED, "/predict", "/users/ann/merge"])
def test_questions_in_a_body_take_no_parameters(shared_shop: Running, path: str) -> None:
    response = shared_shop.client.post(f"{path}?limit=5&category=even", json={})
    assert refusals(response) == [("/query/limit", "extra_forbidden"), ("/query/category", "extra_forbidden")]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/users/ann/recommendations", {"exclude_item": ["a"]}, "/exclude_item"),
        ("/users/ann/recommendations", {"user_id": "ann"}, "/user_id"),
        ("/recommendations", {**SESSION, "strict": True}, "/strict"),
        ("/recommendations", {**SESSION, "user_id": None}, "/user_id"),
        ("/recommendations", {"interactions": [{"item_id": "a", "user_id": "b"}]}, "/interactions/0/user_id"),
        ("/recommendations", {"interactions": [{"item_id": "a", "timestamp": 1}]}, "/interactions/0/timestamp"),
        ("/recommendations/batch", {"user_ids": ["ann"], "strict": True}, "/strict"),
        ("/predict", {"user_id": "ann", "items": ["a"]}, "/items"),
        ("/predict", {"user_id": "ann", "limit": 1}, "/limit"),
        ("/predict", {"pairs": [{"user_id": "a", "item_id": "b", "x": 1}]}, "/pairs/0/x"),
        ("/predict", {"pairs": [{"user_id": "a", "item_id": "b"}], "user_id": "a"}, "/user_id"),
    ],
)
def test_an_unknown_field_is_pointed_at(shared_shop: Running, path: str, body: object, pointer: str) -> None:
    assert refusals(shared_shop.client.post(path, json=body)) == [(pointer, "extra_forbidden")]


@pytest.mark.parametrize("path", [*ASKED, "/predict", "/users/ann/merge"])
@pytest.mark.parametrize("content", ["[]", "[{}]", '"ann"', "7", "null", "true", "NaN", DIGITS])
def test_a_body_that_is_no_object_is_refused(shared_shop: Running, path: str, content: str) -> None:
    assert refusals(shared_shop.client.post(path, content=content)) == [("", "model_type")]


@pytest.mark.parametrize("path", [*ASKED, "/predict", "/users/ann/merge"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"limit": 1, "limit": 1}', b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_refused(shared_shop: Running, path: str, content: bytes) -> None:
    (refusal,) = refusals(shared_shop.client.post(path, content=content))
    assert refusal in [("", "json_invalid"), ("", "duplicate_name")]


@pytest.mark.parametrize(
    ("path", "body", "pointer", "code"),
    [
        ("/recommendations", {}, "/interactions", "missing"),
        ("/recommendations", {"interactions": []}, "/interactions", "too_short"),
        ("/recommendations", {"interactions": [{"item_id": "a"}] * 1_001}, "/interactions", "too_long"),
        ("/recommendations", {"interactions": {"item_id": "a"}}, "/interactions", "list_type"),
        ("/recommendations", {"interactions": [{}]}, "/interactions/0/item_id", "missing"),
        ("/recommendations", {"interactions": ["a"]}, "/interactions/0", "model_type"),
        ("/recommendations/batch", {}, "/user_ids", "missing"),
        ("/recommendations/batch", {"user_ids": []}, "/user_ids", "too_short"),
        ("/recommendations/batch", {"user_ids": ["a"] * 1_001}, "/user_ids", "too_long"),
        ("/recommendations/batch", {"user_ids": "a"}, "/user_ids", "list_type"),
        ("/predict", {"user_id": "a", "item_ids": []}, "/item_ids", "too_short"),
        ("/predict", {"user_id": "a", "item_ids": "b"}, "/item_ids", "list_type"),
        ("/predict", {"user_id": "a", "item_ids": ["b"] * 50_001}, "/item_ids", "too_long"),
        ("/predict", {"pairs": []}, "/pairs", "too_short"),
        ("/predict", {"pairs": [{"user_id": "a", "item_id": "b"}] * 10_001}, "/pairs", "too_long"),
        ("/predict", {"pairs": {"user_id": "a", "item_id": "b"}}, "/pairs", "list_type"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_too_few_and_too_many_are_refused(
    shared_shop: Running, path: str, body: object, pointer: str, code: str
) -> None:
    assert refusals(shared_shop.client.post(path, json=body)) == [(pointer, code)]


@pytest.mark.parametrize("path", ASKED)
def test_fifty_thousand_and_one_excluded_items_are_refused(shared_shop: Running, path: str) -> None:
    response = shared_shop.client.post(path, json=ASKED[path] | {"exclude_items": ["x"] * 50_001})
    assert refusals(response) == [("/exclude_items", "too_long")]


@pytest.mark.parametrize("name", ["category", "category_any", "exclude_category"])
def test_a_hundred_categories_are_taken_and_one_more_is_refused(shared_shop: Running, name: str) -> None:
    hundred = [f"c{number}" for number in range(100)]
    for path in LISTS[0], LISTS[2], LISTS[3]:
        get(shared_shop, path, **{name: hundred})
        response = shared_shop.client.get(path, params={name: [*hundred, "even"]})
        assert refusals(response) == [(f"/query/{name}", "too_long")]
    for path, body in ASKED.items():
        post(shared_shop, path, body | {name: hundred})
        response = shared_shop.client.post(path, json=body | {name: [*hundred, "even"]})
        assert refusals(response) == [(f"/{name}", "too_long")]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("value", "NaN", "value_range"),
        ("value", "Infinity", "value_range"),
        ("value", "1e999", "value_range"),
        ("value", "0", "value_range"),
        ("value", "-1", "value_range"),
        ("value", "1000000.1", "value_range"),
        ("value", DIGITS, "value_range"),
        ("value", '"1"', "value_type"),
        ("value", "true", "value_type"),
        ("value", "null", "value_type"),
        ("event_type", '""', "event_type"),
        ("event_type", '"Click"', "event_type"),
        ("event_type", '"click\\n"', "event_type"),
        ("event_type", '"' + "x" * 65 + '"', "event_type"),
        ("event_type", "null", "event_type"),
        ("event_type", "7", "event_type"),
    ],
)
def test_a_row_of_a_session_keeps_to_the_rules_of_interactions(
    shared_shop: Running, field: str, value: str, code: str
) -> None:
    content = f'{{"interactions": [{{"item_id": "a"}}, {{"item_id": "item-1", "{field}": {value}}}]}}'
    response = shared_shop.client.post("/recommendations", content=content)
    assert refusals(response) == [(f"/interactions/1/{field}", code)]


@pytest.mark.parametrize("value", [1e-300, 5e-324, 1e-45, 1e6, 1])
def test_values_at_the_ends_of_their_range_shape_a_list(shared_shop: Running, value: float) -> None:
    rows = [{"item_id": "item-1", "value": value}, {"item_id": "item-2"}]
    answer = post(shared_shop, "/recommendations", {"interactions": rows, "explain": True})
    assert len(ids(answer)) == 10
    alone = post(shared_shop, "/recommendations", {"interactions": rows[:1], "limit": 500})
    assert set(ids(alone)) == set(ITEMS) - {"item-1"}
    assert all(abs(item["score"]) < 1e9 for item in alone["items"])


def test_a_wrong_item_of_thousands_is_pointed_at_and_no_more_than_twenty_are_told(shared_shop: Running) -> None:
    body = {"exclude_items": ["x"] * 20_000 + [True]}
    response = shared_shop.client.post("/users/ann/recommendations", json=body)
    assert refusals(response) == [("/exclude_items/20000", "id_type")]
    body = {"exclude_items": [""] * 20_000}
    assert len(refusals(shared_shop.client.post("/users/ann/recommendations", json=body))) == 20


def test_every_mistake_of_a_question_is_told(shared_shop: Running) -> None:
    body = {"limit": 0, "category": [""], "exclude_items": "a", "explain": 1, "strict": None, "x": 1}
    found = refusals(shared_shop.client.post("/users/ann/recommendations", json=body))
    assert {pointer for pointer, _ in found} == {
        *("/limit", "/category/0", "/exclude_items", "/explain", "/strict", "/x"),
    }


def test_what_was_wrong_is_not_repeated(shared_shop: Running) -> None:
    body = {"limit": "s3cret", "category": ["s3cret "], "exclude_items": ["\ns3cret"]}
    response = shared_shop.client.post("/users/ann/recommendations", json=body)
    assert len(refusals(response)) == 3
    assert "s3cret" not in response.text
    response = shared_shop.client.get("/popular?limit=s3cret&category=%20s3cret&max_per_category=s3cret")
    assert len(refusals(response)) == 3
    assert "s3cret" not in response.text


@pytest.mark.parametrize("path", [*ASKED, "/predict", "/users/ann/merge"])
def test_a_body_of_another_kind_or_over_the_limit_is_refused(shared_shop: Running, path: str) -> None:
    response = shared_shop.client.post(path, content=b"limit=5", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    response = shared_shop.client.post(path, content=b" " * (2**20 + 1))
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/users/ann/recommendations", "GET, HEAD, POST"),
        ("GET", "/recommendations", "POST"),
        ("GET", "/recommendations/batch", "POST"),
        ("POST", "/popular", "GET, HEAD"),
        ("PUT", "/items/item-1/similar", "GET, HEAD"),
        ("GET", "/users/ann/merge", "POST"),
        ("POST", "/users/ann/recommendations/diagnosis", "GET, HEAD"),
    ],
)
def test_another_method_is_refused_with_those_there_are(
    shared_shop: Running, method: str, path: str, allowed: str
) -> None:
    response = shared_shop.client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed


def test_head_is_the_get_without_its_list(shared_shop: Running) -> None:
    for path in LISTS:
        response = shared_shop.client.head(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
