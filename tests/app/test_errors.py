from __future__ import annotations

import pytest

from app.errors import MAX_LISTED_ERRORS, TITLES, ApiError, FieldError, Problem, invalid, pointer_to


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ((), ""),
        ((1, "value"), "/1/value"),
        (("a/b",), "/a~1b"),
        (("a~b",), "/a~0b"),
        (("",), "/"),
        (("\ud800",), "/?"),
        (("x" * 100,), "/" + "x" * 64 + "…"),
    ],
)
def test_pointers_follow_rfc_6901_and_stay_short_and_encodable(parts: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_to(parts) == pointer


def test_at_most_twenty_errors_are_listed() -> None:
    error = invalid([FieldError(f"/{number}", "missing", "this field is needed") for number in range(50)])
    assert len(error.errors) == MAX_LISTED_ERRORS
    assert "49 more" in error.detail


def test_a_problem_document_has_the_members_that_callers_rely_on() -> None:
    document = Problem(ApiError(404, "unknown_user", "nobody"), "r1").document()
    assert document == {
        "type": "urn:likewise:problem:unknown_user",
        "title": TITLES["unknown_user"],
        "status": 404,
        "detail": "nobody",
        "code": "unknown_user",
        "request_id": "r1",
    }
