"""The service over real sockets, with both parsers."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.http_protocols import MAX_HEAD_BYTES
from tests.app.serving import Answer, connect, new_server, read_answer, running

ROW = b'{"user_id":"upgraded","item_id":"b"}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(ROW)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ROW), ROW)


@pytest.fixture(scope="module", params=["httptools", "h11"])
def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[int]:
    with running(new_server(tmp_path_factory.mktemp("served"), sqlite_template, http=request.param)) as number:
        yield number


def ask(port: int, request: bytes) -> Answer:
    """Send bytes and read one whole answer."""
    with connect(port) as connection:
        connection.sendall(request)
        return read_answer(connection.makefile("rb"))


def get(port: int, target: bytes, *headers: bytes) -> Answer:
    return ask(port, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n")


def post(port: int, body: bytes) -> Answer:
    return ask(port, b"POST /interactions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(
    ("segment", "user_id"),
    [
        (b"a%2Fb", "a/b"),
        (b"a%252Fb", "a%2Fb"),
        (b"..", ".."),
        (b"%2e%2E", ".."),
        (b"%F0%9F%A6%8A", "🦊"),
        (b"a+b", "a+b"),
    ],
)
def test_an_id_is_decoded_once_from_the_raw_path(port: int, segment: bytes, user_id: str) -> None:
    assert post(port, json.dumps({"user_id": user_id, "item_id": "x"}).encode()).status == 201
    answer = get(port, b"/users/" + segment)
    assert answer.status == 200
    assert answer.document["user_id"] == user_id


@pytest.mark.parametrize("segment", [b"%zz", b"%ff", b"%00", b"%", b"%2", b"%ED%A0%80", b"%EF%BF%BD", b""])
def test_a_path_that_is_no_id_is_422(port: int, segment: bytes) -> None:
    answer = get(port, b"/users/" + segment)
    assert answer.status == 422
    assert answer.document["errors"][0]["pointer"] == "/path/user_id"  # type: ignore[index]


def test_a_plain_slash_always_separates(port: int) -> None:
    assert get(port, b"/users/a/b").status == 404


def test_answers_carry_an_id_and_no_banner(port: int) -> None:
    answer = get(port, b"/healthz", b"X-Request-ID: mine")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_a_connection_goes_on_after_an_answer_without_a_body(port: int) -> None:
    with connect(port) as connection:
        stream = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while stream.readline().strip():
                pass


def test_head_has_no_body(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_400_problem(port: int, request_: bytes) -> None:
    answer = ask(port, request_)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.document["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("headers", [b"", b"Host: x\r\nHost: x\r\n", b"Host: x\r\nX: y\r\nHost: y\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_without_one_host_an_http_1_1_request_is_a_400_problem(port: int, method: bytes, headers: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(method + b" /healthz HTTP/1.1\r\n" + headers + b"\r\n")
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert stream.read() == b""
    assert (answer.status, answer.document["code"]) == (400, "bad_request")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(("headers", "status"), [(b"", 200), (b"Host: x\r\n", 200), (b"Host: x\r\nHost: x\r\n", 400)])
def test_http_1_0_needs_no_host(port: int, headers: bytes, status: int) -> None:
    assert ask(port, b"GET /healthz HTTP/1.0\r\n" + headers + b"\r\n").status == status


@pytest.mark.parametrize("line", [b"gzip, chunked", b"gzip", b"identity"])
def test_a_transfer_encoding_other_than_chunked_is_refused_by_name(port: int, line: bytes) -> None:
    head = b"POST /interactions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + line + b"\r\n\r\n"
    answer = ask(port, head + CHUNKS)
    assert (answer.status, answer.document["code"]) == (400, "bad_request")
    assert "chunked" in str(answer.document["detail"])


def test_chunked_is_taken_once_and_in_any_case(port: int) -> None:
    line, twice = b"Transfer-Encoding: Chunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n"
    head = b"POST /interactions HTTP/1.1\r\nHost: x\r\n"
    assert ask(port, head + line + b"\r\n" + CHUNKS).status == 201
    assert ask(port, head + line + line + b"\r\n" + CHUNKS).status == 400
    assert ask(port, head + twice + b"\r\n" + CHUNKS).status == 400


def test_a_large_head_within_the_limit_is_served(port: int) -> None:
    assert get(port, b"/healthz", b"X: " + b"x" * 30_000).status == 200


@pytest.mark.parametrize("finished", [True, False])
def test_a_head_over_the_limit_is_refused_also_before_its_end(port: int, finished: bool) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000
    answer = ask(port, head + b"\r\n\r\n" if finished else head)
    assert (answer.status, answer.document["code"]) == (431, "headers_too_large")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_head_is_measured_anew_for_each_request_of_a_connection(port: int) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (MAX_HEAD_BYTES // 4) + b"\r\n\r\n"
    with connect(port) as connection:
        stream = connection.makefile("rb")
        for _ in range(10):
            connection.sendall(request)
            assert stream.readline().startswith(b"HTTP/1.1 200")
            while stream.readline().strip():
                pass
            stream.read(len(b'{"status":"ok"}'))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_64_mib_is_413(port: int, chunked: bool) -> None:
    size, block = 64 * 1024 * 1024, b"x" * 1024 * 1024
    head = b"POST /interactions HTTP/1.1\r\nHost: x\r\n"
    with connect(port) as connection:
        connection.sendall(
            head + (b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size) + b"\r\n\r\n"
        )
        for _ in range(size // len(block)):
            connection.sendall(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_an_upgrade_is_answered_as_if_it_were_not_asked_for(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = get(port, b"/healthz", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    assert answer.status == 200
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


def test_what_is_stored_is_acknowledged_to_a_client_that_has_half_closed(port: int) -> None:
    row = b'{"user_id":"a","item_id":"b"}'
    with connect(port) as connection:
        connection.sendall(b"POST /interactions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(row) + row)
        connection.shutdown(socket.SHUT_WR)
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert (answer.status, answer.document["accepted"]) == (201, 1)
        assert stream.read() == b""


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
H2C_GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"
H2C_POST = H2C_GET.replace(b"GET /healthz", b"POST /interactions")[:-2]


@pytest.mark.parametrize(("framing", "body"), [(LENGTH, ROW), (CHUNKED, CHUNKS)])
@pytest.mark.parametrize("pieces", ["one", "head and body", "bytes"])
def test_a_body_after_an_offer_of_http_2_is_taken(port: int, framing: bytes, body: bytes, pieces: str) -> None:
    head = H2C_POST + framing
    with connect(port) as connection:
        for _ in range(2):  # the connection is as good as before
            if pieces == "one":
                connection.sendall(head + body)
            elif pieces == "head and body":
                connection.sendall(head)
                time.sleep(0.1)
                connection.sendall(body)
            else:
                for place in range(len(head + body)):
                    connection.sendall((head + body)[place : place + 1])
                    time.sleep(0.0002)
            answer = read_answer(connection.makefile("rb"))
            assert (answer.status, answer.document["accepted"]) == (201, 1)
            assert "connection" not in answer.headers


def test_requests_that_offer_http_2_may_be_pipelined(port: int) -> None:
    get_plainly, wanted = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", [201, 200, 201, 200, 404]
    requests = [
        H2C_POST + LENGTH + ROW,
        H2C_GET,
        H2C_POST + CHUNKED + CHUNKS,
        get_plainly,
        H2C_GET.replace(b"healthz", b"nowhere"),
    ]
    with connect(port) as connection:
        connection.sendall(b"".join(requests))
        stream = connection.makefile("rb")
        assert [read_answer(stream).status for _ in wanted] == wanted


def test_an_offer_of_http_2_keeps_everything_else_of_its_head(port: int) -> None:
    head = H2C_GET.replace(b"Upgrade, HTTP2-Settings", b"close, Upgrade, HTTP2-Settings")
    head = head.replace(b"/healthz", b"/users/a%2Fb?x=1")[:-2] + b"X-Empty:\r\nX-Request-ID: mine\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(head)
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert stream.read() == b""
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["connection"] == "close"
    assert answer.document["errors"][0]["pointer"] == "/query/x"  # type: ignore[index]


@pytest.mark.parametrize("finished", [True, False])
def test_a_head_that_offers_http_2_is_measured_too(port: int, finished: bool) -> None:
    head = H2C_GET[:-2] + b"X: " + b"x" * 200_000
    answer = ask(port, head + b"\r\n\r\n" if finished else head)
    assert (answer.status, answer.document["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("framing", [b"Content-Length: x\r\n\r\n", CHUNKED + b"zz\r\n"])
def test_a_broken_body_after_an_offer_of_http_2_is_a_400(port: int, framing: bytes) -> None:
    assert ask(port, H2C_POST + framing).status == 400


def test_connect_is_no_upgrade_to_be_ignored(port: int) -> None:
    assert ask(port, b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
