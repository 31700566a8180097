"""Which operation answers a path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message

from app.api.operations import Operations
from app.api.routing import Dispatcher


def told(name: str) -> Any:
    async def handler(request: Request) -> Response:
        return PlainTextResponse(f"{name} {request.path_params}")

    return handler


SOME = Operations("some")
SOME.get("/things", scope="open", summary="x")(told("list"))
SOME.get("/things/{thing:segment}", scope="open", summary="x")(told("one"))
SOME.delete("/things/{thing:segment}", scope="open", summary="x")(told("delete"))
SOME.post("/things/bulk", scope="open", summary="x")(told("bulk"))
SOME.get("/things/{thing:segment}/like/{other:segment}", scope="open", summary="x")(told("like"))
SOME.get("/things/latest/like/{other:segment}", scope="open", summary="x")(told("latest"))


class _Everybody:
    def authorise(self, headers: object, scope: object) -> Any:
        return type("Caller", (), {"key_id": None})()


def call(method: str, path: str, *, operations: Operations = SOME) -> tuple[int, bytes, dict[bytes, bytes]]:
    state = type("State", (), {"keyring": _Everybody()})()
    app = type("App", (), {"state": type("S", (), {"likewise": state})()})()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [],
        "query_string": b"",
        "state": {"request_id": "r"},
        "app": app,
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(Dispatcher(operations)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/things", b"list {}"),
        ("HEAD", "/things", b"list {}"),
        ("GET", "/things/x", b"one {'thing': 'x'}"),
        ("GET", "/things/", b"one {'thing': ''}"),
        ("GET", "/things/a%2Fb", b"one {'thing': 'a%2Fb'}"),
        ("POST", "/things/bulk", b"bulk {}"),
        ("DELETE", "/things/bulk", b"delete {'thing': 'bulk'}"),
        ("GET", "/things/bulk", b"one {'thing': 'bulk'}"),
        ("GET", "/things/x/like/y", b"like {'thing': 'x', 'other': 'y'}"),
        ("GET", "/things/latest/like/y", b"latest {'other': 'y'}"),
        ("GET", "/things//like/", b"like {'thing': '', 'other': ''}"),
    ],
)
def test_fixed_segments_go_before_parameters_and_let_other_methods_through(
    method: str, path: str, answer: bytes
) -> None:
    assert call(method, path)[:2] == (200, answer)


@pytest.mark.parametrize(
    "path", ["", "/", "things", "/thing", "/things/x/y", "/things/x/like", "/things/x/like/y/z", "//things"]
)
def test_another_path_is_404(path: str) -> None:
    assert call("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", "/things", b"GET, HEAD"), ("PUT", "/things/x", b"DELETE, GET, HEAD"), ("PUT", "/things/bulk", b"POST")],
)
def test_another_method_is_405_with_those_of_the_first_path_that_fits(method: str, path: str, allow: bytes) -> None:
    status, _, headers = call(method, path)
    assert (status, headers[b"allow"]) == (405, allow)


def test_an_operation_that_is_declared_twice_is_refused() -> None:
    twice = Operations("twice")
    for _ in range(2):
        twice.get("/x/{y:segment}", scope="read", summary="x")(told("x"))
    with pytest.raises(ValueError, match="declared twice"):
        Dispatcher(twice)


def test_what_nobody_foresaw_passes_on() -> None:
    broken = Operations("broken")

    async def fails(request: Request) -> Response:
        raise ZeroDivisionError

    broken.get("/x", scope="open", summary="x")(fails)
    with pytest.raises(ZeroDivisionError):
        call("GET", "/x", operations=broken)
