"""The rules of ids wherever one can stand: in every path, query parameter and body that is about lists and scores."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import get, ids, poll, post

PATHS: list[tuple[str, str, object]] = [
    ("GET", "/users/{}/recommendations", None),
    ("POST", "/users/{}/recommendations", {}),
    ("GET", "/users/{}/recommendations/diagnosis", None),
    ("POST", "/users/{}/merge", {"into": "ann"}),
    ("GET", "/users/{}", None),
    ("GET", "/items/{}/similar", None),
    ("GET", "/items/{}", None),
    ("PUT", "/items/{}", {}),
    ("DELETE", "/items/{}", None),
    ("DELETE", "/interactions/{}", None),
]
BAD_IN_URLS = {
    "": "id_empty",
    "%00": "id_control_character",
    "a%1Fb": "id_control_character",
    "a%0A": "id_control_character",
    "%7F": "id_control_character",
    "%C2%85": "id_control_character",
    "%EF%BF%BD": "id_replacement_character",
    "%ED%A0%80": "percent_encoding",
    "%ff": "percent_encoding",
    "%C3": "percent_encoding",
    "%C0%AF": "percent_encoding",
    "%zz": "percent_encoding",
    "%4": "percent_encoding",
    "%20a": "id_surrounding_space",
    "a%20": "id_surrounding_space",
    "%C2%A0a": "id_surrounding_space",
    "a%E3%80%80": "id_surrounding_space",
    "x" * 257: "id_too_long",
    "%F0%9F%A6%8A" * 257: "id_too_long",
}
"""As it stands in a URL, and the code it is refused with."""

QUERIES = [
    f"{path}?{name}="
    for path in (
        "/users/ann/recommendations",
        "/users/ann/recommendations/diagnosis",
        "/items/item-1/similar",
        "/popular",
    )
    for name in ("category", "category_any", "exclude_category", "exclude_item")
]

BAD_IN_JSON: dict[str, str] = {
    '""': "id_empty",
    '"a\\u0000"': "id_control_character",
    '"a\\u001fb"': "id_control_character",
    '"\\u007f"': "id_control_character",
    '"\\u009f"': "id_control_character",
    '"a\\nb"': "id_control_character",
    '"\\ufffd"': "id_replacement_character",
    '"\\ud800"': "id_not_unicode",
    '"a\\udfff"': "id_not_unicode",
    '" a"': "id_surrounding_space",
    '"a "': "id_surrounding_space",
    '"\\u00a0a"': "id_surrounding_space",
    '"a\\u2028"': "id_surrounding_space",
    '"' + "x" * 257 + '"': "id_too_long",
    "1" * 257: "id_too_long",
    "-" + "1" * 256: "id_too_long",
    "1" * 5000: "id_too_long",
    "true": "id_type",
    "false": "id_type",
    "1.0": "id_type",
    "1e3": "id_type",
    "NaN": "id_type",
    "null": "id_type",
    "[]": "id_type",
    "{}": "id_type",
    '["a"]': "id_type",
}
"""As it stands in a body, and the code it is refused with."""

BODIES = [
    ("/users/ann/recommendations", '{"exclude_items": ["a", %s]}', "/exclude_items/1"),
    ("/users/ann/recommendations", '{"category": [%s]}', "/category/0"),
    ("/users/ann/recommendations", '{"category_any": ["a", %s]}', "/category_any/1"),
    ("/users/ann/recommendations", '{"exclude_category": [%s]}', "/exclude_category/0"),
    ("/recommendations", '{"interactions": [{"item_id": "a"}, {"item_id": %s}]}', "/interactions/1/item_id"),
    ("/recommendations", '{"interactions": [{"item_id": "a"}], "exclude_items": [%s]}', "/exclude_items/0"),
    ("/recommendations/batch", '{"user_ids": ["a", %s]}', "/user_ids/1"),
    ("/recommendations/batch", '{"user_ids": ["a"], "category": [%s]}', "/category/0"),
    ("/predict", '{"user_id": %s, "item_ids": ["a"]}', "/user_id"),
    ("/predict", '{"user_id": "ann", "item_ids": ["a", "b", %s]}', "/item_ids/2"),
    ("/predict", '{"pairs": [{"user_id": %s, "item_id": "a"}]}', "/pairs/0/user_id"),
    ("/predict", '{"pairs": [{"user_id": "a", "item_id": "b"}, {"user_id": "a", "item_id": %s}]}', "/pairs/1/item_id"),
    ("/users/ann/merge", '{"into": %s}', "/into"),
]
GOOD = [
    "x",
    "x" * 256,
    "🦊" * 256,
    "a/b",
    "a%2Fb",
    "café",
    "cafe\u0301",
    "a b",
    "a+b",
    "?&#=;",
    "//",
    "null",
    "true",
    "\u200b",
    "\u202e",
    "'; --",
    "{}",
    "%",
]


def refusals(response: Any) -> list[tuple[str, str]]:
    """Pointers and codes of a 422 that is a problem document."""
    document = response.json()
    assert (response.status_code, document["status"], document["code"]) == (422, 422, "invalid_request"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 3_000
    return [(error["pointer"], error["code"]) for error in document["errors"]]


@pytest.mark.parametrize("raw", BAD_IN_URLS, ids=lambda raw: raw[:20])
@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_a_bad_id_in_a_path_is_refused(shared_shop: Running, method: str, path: str, body: object, raw: str) -> None:
    response = shared_shop.client.request(method, path.format(raw), content=None if body is None else json.dumps(body))
    name = "event_id" if "interactions" in path else "user_id" if "users" in path else "item_id"
    assert refusals(response) == [(f"/path/{name}", BAD_IN_URLS[raw])]


@pytest.mark.parametrize("raw", BAD_IN_URLS, ids=lambda raw: raw[:20])
@pytest.mark.parametrize("query", QUERIES)
def test_a_bad_id_in_a_query_is_refused(shared_shop: Running, query: str, raw: str) -> None:
    name = query.partition("?")[2].removesuffix("=")
    found = refusals(shared_shop.client.get(query + raw))
    # Where the escapes are broken nobody knows how many values there are.
    assert found == [(f"/query/{name}" + ("" if BAD_IN_URLS[raw] == "percent_encoding" else "/0"), BAD_IN_URLS[raw])]


def test_the_place_of_a_bad_id_among_repeated_parameters_is_told(shared_shop: Running) -> None:
    response = shared_shop.client.get("/popular?exclude_item=a&category=&exclude_item=b&exclude_item=%20")
    assert refusals(response) == [("/query/category/0", "id_empty"), ("/query/exclude_item/2", "id_surrounding_space")]


@pytest.mark.parametrize("value", BAD_IN_JSON, ids=lambda value: value[:20])
@pytest.mark.parametrize(("path", "body", "pointer"), BODIES)
def test_a_bad_id_in_a_body_is_refused(shared_shop: Running, path: str, body: str, pointer: str, value: str) -> None:
    response = shared_shop.client.post(path, content=body % value)
    assert refusals(response) == [(pointer, BAD_IN_JSON[value])]


@pytest.mark.parametrize("name", ["category", "category_any", "exclude_category"])
@pytest.mark.parametrize("value", ['""', '" a"', '"\\ud800"', '"a\\u0000"'])
def test_a_bad_category_that_stands_alone_is_refused(shared_shop: Running, name: str, value: str) -> None:
    response = shared_shop.client.post("/users/ann/recommendations", content=f'{{"{name}": {value}}}')
    assert refusals(response) == [(f"/{name}/0", BAD_IN_JSON[value])]


@pytest.mark.parametrize("name", GOOD, ids=lambda name: ascii(name)[:20])
def test_a_good_id_is_taken_in_every_place(shared_shop: Running, name: str) -> None:
    encoded = quote(name, safe="")
    for path in (f"/users/{encoded}/recommendations", f"/popular?exclude_item={encoded}&exclude_category={encoded}"):
        assert len(ids(get(shared_shop, path))) == 10
    assert get(shared_shop, f"/users/{encoded}/recommendations/diagnosis")["user_id"] == name
    assert shared_shop.client.get(f"/items/{encoded}/similar").json()["code"] == "unknown_item"
    answer = post(shared_shop, "/recommendations/batch", {"user_ids": [name], "exclude_items": [name]})
    assert [result["user_id"] for result in answer["results"]] == [name]
    assert post(shared_shop, "/recommendations", {"interactions": [{"item_id": name}]})["source"] == "popular"
    assert post(shared_shop, "/predict", {"user_id": name, "item_ids": [name]})["scores"] == [
        {"item_id": name, "score": None}
    ]
    pair = {"user_id": name, "item_id": name}
    assert post(shared_shop, "/predict", {"pairs": [pair]})["scores"] == [pair | {"score": None}]


def test_ids_that_look_alike_are_kept_apart(shop: Running) -> None:
    alike = ["café", "cafe\u0301", "CAFÉ", "a/b", "a%2Fb", "a%252Fb", "a+b", "a b", "1", "01", "\u200b1"]
    rows = [{"user_id": name, "item_id": f"of {name}"} for name in alike]
    assert shop.client.post("/interactions", json=rows).status_code == 201
    poll(shop)
    every = {f"of {name}" for name in alike}
    for name in alike:
        encoded = quote(name, safe="")
        assert get(shop, f"/users/{encoded}")["interactions"] == 1
        listed = get(shop, f"/users/{encoded}/recommendations", limit=500)
        assert every - set(ids(listed)) == {f"of {name}"}
        similar = shop.client.get(f"/items/{quote('of ' + name, safe='')}/similar?limit=500")
        assert every - set(ids(similar.json())) == {f"of {name}"}
        excluded = get(shop, "/popular", limit=500, exclude_item=f"of {name}")
        assert every - set(ids(excluded)) == {f"of {name}"}


@pytest.mark.parametrize("number", [7, 0, -1, 10**255])
def test_an_integer_in_a_body_is_its_decimal_digits(shared_shop: Running, number: int) -> None:
    answer = post(shared_shop, "/predict", {"user_id": number, "item_ids": [number, str(number)]})
    assert answer["user_id"] == str(number)
    assert [line["item_id"] for line in answer["scores"]] == [str(number)] * 2
