from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from starlette.types import Message, Receive, Scope, Send

from app.api.context import RequestContext
from tests.app.api.running import Running


@pytest.mark.parametrize("request_id", ["abc", "A-1_2.z", "x" * 128])
def test_a_request_keeps_its_own_id(shared: Running, request_id: str) -> None:
    response = shared.client.get("/nothing", headers={"x-request-id": request_id})
    assert response.headers["x-request-id"] == response.json()["request_id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "a/b", "<script>", "a\tb"])
def test_an_id_of_another_form_is_replaced(shared: Running, request_id: str) -> None:
    answer = shared.client.get("/healthz", headers={"x-request-id": request_id}).headers["x-request-id"]
    assert answer
    assert answer != request_id


def test_every_answer_carries_an_id_of_its_own_and_nosniff(shared: Running) -> None:
    seen = set()
    for path in ("/healthz", "/nothing", "/users/%zz", "/docs", "/docs/docs.js"):
        response = shared.client.get(path)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
        assert not [name for name in response.headers if name.startswith("access-control")]
        seen.add(response.headers["x-request-id"])
    assert len(seen) == 5


def test_one_line_is_logged_per_request_without_query_or_key(shared: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        shared.client.get("/interactions?user_id=s3cret", headers={"x-api-key": "lw_x_s3cret"})
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/interactions", 401)
    assert "s3cret" not in str(lines)


def test_the_path_is_logged_whole_with_the_ids_in_it(shared: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        shared.client.get("/users/ada%2Fb?x=s3cret")
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/users/ada%2Fb"]


def run(inner: Any, *, raw_path: bytes = b"/x") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "raw_path": raw_path,
        "path": "?",
        "headers": [],
        "query_string": b"",
    }
    asyncio.run(RequestContext(inner)(scope, receive, send))
    return sent


def test_a_failure_nobody_foresaw_is_a_500_problem_without_details() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("s3cret")

    start, body = run(broken)
    assert start["status"] == 500
    names = {name for name, _ in start["headers"]}
    assert {b"x-request-id", b"content-type"} <= names
    assert b"internal_error" in body["body"]
    assert b"s3cret" not in body["body"]


def test_a_failure_in_the_middle_of_an_answer_closes_the_connection() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    with pytest.raises(RuntimeError, match="late"):
        run(broken)


def test_routing_sees_the_path_as_it_came_over_the_wire() -> None:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    run(inner, raw_path=b"/users/a%2Fb")
    assert seen == ["/users/a%2Fb"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/users", "/interactions/a/b", "/docs/VERSIONS", "/docs/../main.py", "//"]
)
def test_an_unknown_path_is_a_404_problem(shared: Running, path: str) -> None:
    response = shared.client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/interactions", "GET, HEAD, POST"),
        ("OPTIONS", "/interactions", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("GET", "/interactions/e1", "DELETE"),
        ("TRACE", "/stats", "GET, HEAD"),
        ("NONSENSE", "/stats", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_problem_with_all_right_ones(
    shared: Running, method: str, path: str, allow: str
) -> None:
    response = shared.client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_head_answers_like_get(shared: Running) -> None:
    get, head = shared.client.get("/healthz"), shared.client.head("/healthz")
    assert head.status_code == get.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]
