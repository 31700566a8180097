"""Cursors: what a list hands out, and what it takes back."""

from __future__ import annotations

import base64
import json

import pytest

from app.api.pages import decode_cursor, encode_cursor
from app.errors import ApiError
from tests.app.api.running import Running

FILTERS = {"user_id": "ada", "item_id": None}
OF_THINGS = json.loads(base64.urlsafe_b64decode(encode_cursor("things", FILTERS, (1, 2)) + "=="))[:2]


@pytest.mark.parametrize("position", [(0, 0), (2**63 - 1, 1), (-5, 7)])
def test_a_cursor_comes_back_as_the_position_it_was_made_from(position: tuple[int, int]) -> None:
    assert decode_cursor(encode_cursor("things", FILTERS, position), "things", FILTERS, fields=2) == position


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def test_the_made_up_cursors_below_differ_from_a_good_one_only_in_what_they_are_about() -> None:
    assert decode_cursor(encoded([*OF_THINGS, 1, 2]), "things", FILTERS, fields=2) == (1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "é",
        "=",
        encoded(["others", *OF_THINGS[1:], 1, 2]),
        encoded([*OF_THINGS, 1]),
        encoded([*OF_THINGS, 1, 2, 3]),
        encoded([*OF_THINGS, 1, 2.0]),
        encoded([*OF_THINGS, 1, True]),
        encoded([*OF_THINGS, 1, 2**63]),
        encoded(["things", 1, 2]),
        encoded({"things": 1}),
        encoded("things"),
        encoded(None),
        encoded([*OF_THINGS, 1, 2]) + "=",
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("="),
        encode_cursor("things", FILTERS | {"user_id": "ben"}, (1, 2)),
        encode_cursor("things", FILTERS | {"item_id": "ada", "user_id": None}, (1, 2)),
        encode_cursor("things", {}, (1, 2)),
    ],
)
def test_anything_else_is_no_cursor_of_the_list(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_cursor(text, "things", FILTERS, fields=2)
    assert [(entry.pointer, entry.code) for entry in caught.value.errors] == [("/query/cursor", "invalid_cursor")]


def test_a_cursor_is_refused_under_other_filters_and_by_other_lists(service: Running) -> None:
    rows = [{"user_id": user, "item_id": "tea"} for user in ("ada", "ben") * 3]
    assert service.client.post("/interactions", json=rows).status_code == 201
    cursor = service.client.get("/interactions?user_id=ada&limit=1").json()["next"]
    for path in (
        "/interactions?",
        "/interactions?user_id=ben&",
        "/interactions?item_id=ada&",
        "/trainings?",
        "/models?",
    ):
        answer = service.client.get(f"{path}cursor={cursor}")
        assert answer.status_code == 422, path
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("/query/cursor", "invalid_cursor")]


def test_a_cursor_goes_on_with_the_same_filters_and_any_limit(service: Running) -> None:
    rows = [{"user_id": "ada", "item_id": "tea", "event_id": str(number)} for number in range(5)]
    assert service.client.post("/interactions", json=rows).status_code == 201
    first = service.client.get("/interactions?user_id=ada&limit=2").json()
    rest = service.client.get(f"/interactions?user_id=ada&limit=9&cursor={first['next']}").json()
    assert [row["event_id"] for row in first["items"] + rest["items"]] == ["4", "3", "2", "1", "0"]
    assert rest["next"] is None
