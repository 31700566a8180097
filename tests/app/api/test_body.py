"""What is sent as a body, seen through POST /interactions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.api.running import Running

ROW = {"user_id": "a", "item_id": "b"}
DIGITS = b"9" * 5000


def send(service: Running, content: bytes | Iterator[bytes], **headers: str) -> Any:
    return service.client.post("/interactions", content=content, headers=headers)


def is_problem(response: Any, status: int) -> bool:
    document = response.json()
    return (
        response.status_code == document["status"] == status
        and response.headers["content-type"] == "application/problem+json"
        and {"type", "title", "status", "detail", "code", "request_id"} <= document.keys()
        and (status != 422 or 1 <= len(document["errors"]) <= 20)
    )


MALFORMED = {
    "empty": b"",
    "space": b"  \n",
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(ROW).encode(),
    "utf-16": json.dumps(ROW).encode("utf-16"),
    "invalid utf-8": b'{"user_id":"\xff","item_id":"b"}',
    "binary": bytes(range(256)) * 10,
    "truncated": b'{"user_id":"a","item_id"',
    "trailing": b'{"user_id":"a","item_id":"b"} x',
    "two values": b'{"user_id":"a","item_id":"b"}\n{"user_id":"a","item_id":"b"}',
    "deep arrays": b"[" * 100_000,
    "deep arrays, closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "single quotes": b"{'user_id':'a'}",
    "control character": b'{"user_id":"a\nb","item_id":"b"}',
    "5,000 digits": DIGITS,
    "5,000 digits and no end": b'{"user_id":"a","item_id":"b","value":' + DIGITS,
    "a bare word": b"nonsense",
    "null": b"null",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_body_that_is_not_one_json_value_is_a_422_problem(shared: Running, name: str) -> None:
    assert is_problem(send(shared, MALFORMED[name]), 422)


ROW_ERRORS = {
    "NaN": (b'[{"user_id":"a","item_id":"b"},{"user_id":"a","item_id":"b","value":NaN}]', "/1/value"),
    "Infinity": (b'[{"user_id":"a","item_id":"b"},{"user_id":"a","item_id":"b","value":-Infinity}]', "/1/value"),
    "1e999": (b'{"user_id":"a","item_id":"b","value":1e999}', "/value"),
    "1e-999 is zero": (b'{"user_id":"a","item_id":"b","value":1e-999}', "/value"),
    "lone surrogate": (b'{"user_id":"\\ud800","item_id":"b"}', "/user_id"),
    "lone surrogate as a name": (b'{"user_id":"a","item_id":"b","\\udc00":1}', "/?"),
    "NUL": (b'{"user_id":"a\\u0000","item_id":"b"}', "/user_id"),
    "repeated name": (b'[{"user_id":"a","item_id":"b","value":1,"value":2}]', "/0/value"),
    "repeated name in the context": (b'{"user_id":"a","item_id":"b","context":{"x":1,"x":2}}', "/context"),
    "5,000 digits": (
        b'[{"user_id":"a","item_id":"b"},{"user_id":"a","item_id":"b","value":' + DIGITS + b"}]",
        "/1/value",
    ),
    "minus 5,000 digits": (b'{"user_id":"a","item_id":"b","value":-' + DIGITS + b"}", "/value"),
    "5,000 digits and a fraction": (b'{"user_id":"a","item_id":"b","value":' + DIGITS + b".5}", "/value"),
    "an exponent of 5,000 digits": (b'{"user_id":"a","item_id":"b","value":1e' + DIGITS + b"}", "/value"),
    "5,000 digits as an id": (b'[{"user_id":' + DIGITS + b',"item_id":"b"}]', "/0/user_id"),
    "5,000 digits as a time": (b'{"user_id":"a","item_id":"b","timestamp":' + DIGITS + b"}", "/timestamp"),
    "5,000 digits in the context": (b'{"user_id":"a","item_id":"b","context":{"x":' + DIGITS + b"}}", "/context"),
    "5,000 digits where a text belongs": (b'{"user_id":"a","item_id":"b","event_type":' + DIGITS + b"}", "/event_type"),
    "257 digits": (b'{"user_id":' + b"9" * 257 + b',"item_id":"b"}', "/user_id"),
}


@pytest.mark.parametrize("name", ROW_ERRORS)
def test_a_value_that_json_allows_and_we_do_not_is_pointed_at(shared: Running, name: str) -> None:
    body, pointer = ROW_ERRORS[name]
    response = send(shared, body)
    assert is_problem(response, 422)
    assert [entry["pointer"] for entry in response.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/predict", b'{"user_id":"a","item_ids":["b",' + DIGITS + b"]}", "/item_ids/1"),
        ("/predict", b'{"pairs":[{"user_id":"a","item_id":' + DIGITS + b"}]}", "/pairs/0/item_id"),
        ("/trainings", b'{"config":{"embedding_dim":' + DIGITS + b"}}", "/config/embedding_dim"),
        ("/trainings", b'{"config":{"learning_rate":' + DIGITS + b"}}", "/config/learning_rate"),
        ("/trainings", b'{"note":' + DIGITS + b"}", "/note"),
    ],
)
def test_a_number_too_long_to_read_is_pointed_at_everywhere(
    shared: Running, path: str, body: bytes, pointer: str
) -> None:
    response = shared.client.post(path, content=body)
    assert is_problem(response, 422)
    assert [entry["pointer"] for entry in response.json()["errors"]] == [pointer]


def test_an_id_too_long_to_read_is_refused_for_its_length(shared: Running) -> None:
    response = send(shared, b'{"user_id":' + DIGITS + b',"item_id":"b"}')
    assert [entry["code"] for entry in response.json()["errors"]] == ["id_too_long"]


def test_a_surrogate_pair_is_one_character(service: Running) -> None:
    assert send(service, b'{"user_id":"\\ud83e\\udd8a","item_id":"b"}').status_code == 201
    assert service.client.get("/users/🦊").status_code == 200


def test_an_integer_id_of_256_digits_is_taken(service: Running) -> None:
    assert send(service, b'{"user_id":' + b"9" * 256 + b',"item_id":"b"}').status_code == 201
    assert service.client.get("/users/" + "9" * 256).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413_however_it_comes(shared: Running, chunked: bool) -> None:
    chunk = b" " * 65_536
    content = (chunk for _ in range(1024)) if chunked else chunk * 1024
    assert is_problem(send(shared, content), 413)


def test_a_body_of_exactly_the_limit_is_read(shared: Running) -> None:
    row = json.dumps(ROW | {"value": 0}).encode()
    limit = shared.state.settings.max_body_bytes
    assert send(shared, row.ljust(limit)).status_code == 422
    assert send(shared, row.ljust(limit + 1)).status_code == 413


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson", "multipart/form-data", "application/xml"])
def test_a_body_of_another_kind_is_415(shared: Running, kind: str) -> None:
    assert is_problem(send(shared, b"[]", **{"content-type": kind}), 415)


@pytest.mark.parametrize(
    "charset",
    ["utf-16", "latin-1", '"ISO-8859-1"', "utf-8; charset=utf-16", "", '"', "utf-8utf-8", "x" * 1000, "utf-8,utf-16"],
)
@pytest.mark.parametrize("before", ["; ", ";", ' ; v="1"; ', "; v=1;"])
def test_a_body_in_another_charset_is_415(shared: Running, before: str, charset: str) -> None:
    kind = f"application/json{before}Charset={charset}"
    response = send(shared, json.dumps(ROW).encode(), **{"content-type": kind})
    assert is_problem(response, 415)
    assert "UTF-8" in response.json()["detail"]


def test_a_content_type_of_any_length_is_read_in_no_time(shared: Running) -> None:
    started = time.perf_counter()
    for part in ("x", " ", ";", ";x=", '"', ';x="', ";x", "\\"):
        send(shared, b"[]", **{"content-type": "application/json;" + part * (60_000 // len(part))})
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "application/json",
        "Application/JSON; charset=utf-8",
        'application/json;CHARSET="UTF-8"',
        "application/json ; charset = utf8",
        "application/json; charset=us-ascii; v=1",
        'application/json; profile="a; charset=utf-16"',
        'application/json; profile="a\\"; charset=utf-16"',
        "application/json;",
        "application/json; odd",
        "application/vnd.x+json",
    ],
)
def test_json_may_be_called_by_any_of_its_names_or_none(shared: Running, kind: str) -> None:
    assert send(shared, b"[]", **{"content-type": kind}).status_code == 422


def test_a_compressed_body_is_415(shared: Running) -> None:
    assert is_problem(send(shared, b"\x1f\x8b", **{"content-encoding": "gzip"}), 415)


def test_very_many_wrong_names_give_a_short_answer(shared: Running) -> None:
    body = json.dumps({f"{'x' * 70}{number}": number for number in range(10_000)}).encode()
    response = send(shared, body)
    assert is_problem(response, 422)
    assert len(response.content) < 5000


def test_twenty_errors_are_listed_and_the_rest_counted(shared: Running) -> None:
    response = send(shared, json.dumps([{}] * 1000).encode())
    assert is_problem(response, 422)
    assert len(response.json()["errors"]) == 20
    assert "1999 more" in response.json()["detail"]
