"""Lists and scores beside the service's own OpenAPI document: examples are taken, answers and refusals fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

from app.api.operations import Operation
from app.main import operations
from tests.app.api.running import Running
from tests.app.api.shop import ITEMS, WAYS, get, post

TAGS = ("recommendations", "predictions", "users")
DESCRIBED = [operation for operation in operations() if operation.tag in TAGS]


@pytest.fixture(scope="module")
def document(shared_shop: Running) -> dict[str, Any]:
    answer: dict[str, Any] = shared_shop.client.get("/openapi.json").json()
    return answer


def described(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method.lower()]
    return found


def check(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def check_answer(document: dict[str, Any], method: str, path: str, response: Any) -> None:
    contents = described(document, method, path)["responses"][str(response.status_code)]["content"]
    check(document, contents[response.headers["content-type"]]["schema"], response.json())


def questions(operation: Operation, known: dict[str, str]) -> Iterator[tuple[str, str | None]]:
    """Paths and bodies: one without a body, or one for each example of it."""
    path = re.sub(r"\{(\w+):\w+\}", lambda match: known[match[1]], operation.path)
    if operation.body is None:
        yield path, None
    else:
        yield from ((path, json.dumps(example)) for example in operation.body.examples.values())


@pytest.mark.parametrize("operation", DESCRIBED, ids=lambda each: f"{each.method} {each.path}")
def test_examples_are_taken_and_answered_as_documented(
    shop: Running, document: dict[str, Any], operation: Operation
) -> None:
    path = re.sub(r":\w+\}", "}", operation.path)
    asked = 0
    for url, body in questions(operation, {"user_id": "ann", "item_id": "item-1"}):
        response = shop.client.request(operation.method, url, content=body)
        assert response.status_code == 200, response.text
        check_answer(document, operation.method, path, response)
        asked += 1
    assert asked


def test_every_kind_of_list_is_as_documented(shop: Running, document: dict[str, Any]) -> None:
    shop.client.put("/items/latest", json={"categories": ["even"]})
    shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-9"})
    schema = {"$ref": "#/components/schemas/ItemList"}
    personal = {"limit": 500, "include_seen": True, "explain": True}
    answers = [ask(shop, {"limit": 500}) for ask in WAYS.values()]
    answers += [WAYS[way](shop, personal) for way in ("user", "user by POST", "unknown user", "session", "batch")]
    for answer in answers:
        check(document, schema, answer)
    sources = {item["source"] for answer in answers for item in answer["items"]}
    assert {"model", "fold_in", "popular", "new", "repeat"} >= sources >= {"fold_in", "popular", "new", "repeat"}


@pytest.mark.parametrize("fixture", ["shared_shop", "untrained_shop"])
def test_a_list_of_nothing_and_its_diagnosis_are_as_documented(
    request: pytest.FixtureRequest, document: dict[str, Any], fixture: str
) -> None:
    service: Running = request.getfixturevalue(fixture)
    for end in ("", "/diagnosis"):
        path = f"/users/ann/recommendations{end}"
        response = service.client.get(path, params={"category": "nothing"})
        check_answer(document, "GET", f"/users/{{user_id}}/recommendations{end}", response)


def test_scores_and_their_absence_are_as_documented(
    shared_shop: Running, untrained_shop: Running, document: dict[str, Any]
) -> None:
    for body in ({"user_id": "ann", "item_ids": ["item-1", "x"]}, {"pairs": [{"user_id": "x", "item_id": "x"}]}):
        for service, status in ((shared_shop, 200), (untrained_shop, 503)):
            response = service.client.post("/predict", json=body)
            assert response.status_code == status
            check_answer(document, "POST", "/predict", response)


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/users/%20/recommendations", "/users/{user_id}/recommendations"),
        ("GET", "/users/nobody/recommendations?strict=true", "/users/{user_id}/recommendations"),
        ("GET", "/users/nobody/recommendations/diagnosis?strict=true", "/users/{user_id}/recommendations/diagnosis"),
        ("GET", "/items/nothing/similar", "/items/{item_id}/similar"),
        ("GET", "/popular?limit=0", "/popular"),
        ("POST", "/recommendations", "/recommendations"),
        ("POST", "/recommendations/batch", "/recommendations/batch"),
        ("POST", "/predict", "/predict"),
        ("POST", "/users/ann/merge", "/users/{user_id}/merge"),
    ],
)
def test_refusals_are_as_documented(
    shared_shop: Running, document: dict[str, Any], method: str, path: str, template: str
) -> None:
    response = shared_shop.client.request(method, path, content=b"[]" if method == "POST" else None)
    assert 400 <= response.status_code < 500
    check_answer(document, method, template, response)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/{user_id}/recommendations", {"limit": 0}),
        ("/users/{user_id}/recommendations", {"limit": 1.5}),
        ("/users/{user_id}/recommendations", {"exclude_items": [""]}),
        ("/users/{user_id}/recommendations", {"category": ["x" * 257]}),
        ("/users/{user_id}/recommendations", {"category": ["x"] * 101}),
        ("/users/{user_id}/recommendations", {"explain": 1}),
        ("/users/{user_id}/recommendations", {"exclude_item": ["a"]}),
        ("/recommendations", {}),
        ("/recommendations", {"interactions": []}),
        ("/recommendations", {"interactions": [{"item_id": "a"}] * 1_001}),
        ("/recommendations", {"interactions": [{"item_id": "a", "value": 0}]}),
        ("/recommendations", {"interactions": [{"item_id": "a", "event_type": "A"}]}),
        ("/recommendations/batch", {"user_ids": []}),
        ("/recommendations/batch", {"user_ids": ["a"] * 1_001}),
        ("/predict", {"pairs": []}),
        ("/predict", {"user_id": "a", "x": 1}),
        ("/users/{user_id}/merge", {}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_refused_does_not_fit_the_documented_body(
    shared_shop: Running, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    response = shared_shop.client.post(path.replace("{user_id}", "ann"), json=body)
    assert response.status_code == 422
    content = described(document, "POST", path)["requestBody"]["content"]["application/json"]
    with pytest.raises(jsonschema.ValidationError):
        check(document, content["schema"], body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/{user_id}/recommendations", {"category": "even"}),
        ("/users/{user_id}/recommendations", {"category_any": ["even"], "exclude_items": [7], "include_seen": None}),
        ("/users/{user_id}/recommendations", {"max_per_category": None, "strict": True}),
        ("/recommendations", {"interactions": [{"item_id": 7, "value": 1, "event_type": "a.b-c_d"}]}),
        ("/recommendations/batch", {"user_ids": [7, "7"], "limit": 500}),
        ("/predict", {"user_id": 7, "item_ids": None}),
        ("/predict", {"user_id": "ann", "item_ids": ITEMS}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_taken_fits_the_documented_body(
    shared_shop: Running, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    post(shared_shop, path.replace("{user_id}", "ann"), body)
    content = described(document, "POST", path)["requestBody"]["content"]["application/json"]
    check(document, content["schema"], body)


@pytest.mark.parametrize(
    "path",
    [
        "/users/{user_id}/recommendations",
        "/users/{user_id}/recommendations/diagnosis",
        "/items/{item_id}/similar",
        "/popular",
    ],
)
def test_documented_parameters_are_taken(shared_shop: Running, document: dict[str, Any], path: str) -> None:
    parameters = [each for each in described(document, "GET", path)["parameters"] if each["in"] == "query"]
    names = {each["name"] for each in parameters}
    every = {"limit", "category", "category_any", "exclude_category", "exclude_item", "max_per_category"}
    personal = {"include_seen", "explain", "strict"} if path.startswith("/users") else set()
    assert names == every | personal
    values = {"integer": 3, "boolean": "true", "array": ["even"], "string": "even"}
    for each in parameters:
        kind = each["schema"].get("type") or each["schema"]["anyOf"][0]["type"]
        url = path.replace("{user_id}", "ann").replace("{item_id}", "item-1")
        get(shared_shop, url, **{each["name"]: values[kind]})
