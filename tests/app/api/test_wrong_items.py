"""What `/items` refuses, and where it says that it is wrong."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.api.item_records import EMPTY, fits
from tests.app.api.running import Running
from tests.app.api.test_never_500 import FEW, VALUES, accepted_or_explained


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("raw", ["", "x" * 257, "%00", "%ff", "%zz", "%20a", "%EF%BF%BD"])
def test_a_wrong_id_is_named(service: Running, method: str, raw: str) -> None:
    response = service.client.request(method, f"/items/{raw}", content=b"{}")
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/path/item_id"]


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


@FEW
@given(body=st.dictionaries(st.sampled_from([*EMPTY, "other"]), VALUES, max_size=7) | VALUES)
def test_whatever_is_put_is_refused_or_shown_again(shared: Running, body: object) -> None:
    accepted_or_explained(shared, "PUT", "/items/whatever", json.dumps(body).encode())
    assert shared.client.get("/items/whatever").status_code in (200, 404)


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
