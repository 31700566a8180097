"""Clients that are slow, or ask for several things at once, over real sockets and with both parsers."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import structlog
import uvicorn
from starlette.types import Receive, Scope, Send

from app.api.context import RequestContext
from app.http_protocols import MAX_HEAD_BYTES, LimitedH11Protocol, LimitedHttpToolsProtocol
from app.server import Server
from tests.app.serving import Answer, connect, eventually, new_server, read_answer, running

# Real processes, or real waiting: too long for the fast suite.
pytestmark = pytest.mark.slow

HEAD_SECONDS = 1.0
BODY_SECONDS = 1.5
UNREAD_SECONDS = 1.0
STREAM_SECONDS = 0.7
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /interactions HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nContent-Length: 30\r\n\r\n"
BODY = b'{"user_id":"a","item_id":"b" }'
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n"


class HastyHttpTools(LimitedHttpToolsProtocol):
    head_seconds, body_seconds, unread_seconds = HEAD_SECONDS, BODY_SECONDS, UNREAD_SECONDS
    stream_seconds = STREAM_SECONDS


class HastyH11(LimitedH11Protocol):
    head_seconds, body_seconds, unread_seconds = HEAD_SECONDS, BODY_SECONDS, UNREAD_SECONDS
    stream_seconds = STREAM_SECONDS


PROTOCOLS = {"httptools": HastyHttpTools, "h11": HastyH11}


@dataclass(frozen=True)
class Hasty:
    server: Server
    port: int

    def has_no_connection(self) -> bool:
        return not self.server.server_state.connections and not self.server.server_state.tasks

    def is_empty(self) -> bool:
        with connect(self.port) as connection:
            connection.sendall(b"GET /interactions HTTP/1.1\r\nHost: x\r\n\r\n")
            return read_answer(connection.makefile("rb")).document["items"] == []


@pytest.fixture(scope="module", params=PROTOCOLS)
def hasty(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Hasty]:
    server = new_server(tmp_path_factory.mktemp("hasty"), sqlite_template)
    server.config.http = PROTOCOLS[request.param]
    with running(server) as port:
        # Else the kernel takes megabytes either way, and all is well for the service.
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, buffer, 65536)
        yield Hasty(server, port)


def drip(connection: socket.socket, data: bytes, *, every: float = 0.1) -> bytes:
    """Send a byte at a time until the server has something to say or is gone; what it said until it closed."""
    for place in range(len(data)):
        try:
            connection.sendall(data[place : place + 1])
            connection.settimeout(every)
            if received := connection.recv(65536):
                connection.settimeout(10)
                return received + rest(connection.recv)
        except TimeoutError:
            continue
        except OSError:
            pass
        return b""
    raise AssertionError("the server took all of it")


def rest(read: Callable[[int], bytes]) -> bytes:
    """What comes until the server closes."""
    received = b""
    try:
        while part := read(65536):
            received += part
    except ConnectionError:
        pass  # closed with something unread: an end as well
    return received


def is_timeout(raw: bytes, what: str) -> bool:
    head, _, body = raw.partition(b"\r\n\r\n")
    return (
        raw.startswith(b"HTTP/1.1 408 ")
        and b"application/problem+json" in head
        and b"connection: close" in head.lower()
        and b'"request_timeout"' in body
        and what.encode() in body
    )


def test_a_client_that_says_nothing_is_closed_without_a_word(hasty: Hasty) -> None:
    started = time.monotonic()
    with connect(hasty.port) as connection:
        assert rest(connection.recv) == b""
    assert HEAD_SECONDS - 0.1 <= time.monotonic() - started < HEAD_SECONDS + 1


def test_a_head_that_drips_in_is_a_408_by_the_deadline_of_the_connection(hasty: Hasty) -> None:
    started = time.monotonic()
    with connect(hasty.port) as connection:
        time.sleep(HEAD_SECONDS / 2)
        assert is_timeout(drip(connection, GET[:-4] + b"\r\nX: " + b"x" * 100), "head")
    assert HEAD_SECONDS - 0.1 <= time.monotonic() - started < HEAD_SECONDS + 1


def test_a_later_head_has_its_own_time_from_its_first_byte(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(GET)
        assert read_answer(connection.makefile("rb")).status == 200
        time.sleep(HEAD_SECONDS * 1.5)  # idle: the keep-alive time is another one
        started = time.monotonic()
        connection.sendall(GET[:10])
        assert is_timeout(rest(connection.recv), "head")
        assert HEAD_SECONDS - 0.1 <= time.monotonic() - started < HEAD_SECONDS + 1


def test_blank_lines_between_requests_do_not_keep_a_connection(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(GET)
        assert read_answer(connection.makefile("rb")).status == 200
        drip(connection, b"\r\n" * 100)


def test_a_body_that_drips_in_is_a_408_under_its_id_and_nothing_is_stored(
    hasty: Hasty, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.INFO), connect(hasty.port) as connection:
        connection.sendall(POST)
        answer = drip(connection, BODY)
        assert eventually(hasty.has_no_connection)
    assert is_timeout(answer, "body")
    assert b"x-request-id: mine" in answer.lower()
    assert BODY_SECONDS - 0.1 <= time.monotonic() - started < BODY_SECONDS + 1
    assert [(line["event"], line["status"], line["log_level"]) for line in lines] == [("request", 408, "info")]
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []
    assert hasty.is_empty()


def test_a_body_that_comes_in_pieces_but_in_time_is_taken(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(POST[:-10])
        time.sleep(HEAD_SECONDS * 0.7)
        connection.sendall(POST[-10:] + BODY[:-1] + b"!")
        assert read_answer(connection.makefile("rb")).status == 422


def test_a_body_that_nobody_waits_for_ends_the_connection_silently(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert read_answer(connection.makefile("rb")).status == 200
        assert drip(connection, b"x" * 100) == b""


def test_a_body_after_an_offer_of_http_2_has_the_same_time(hasty: Hasty) -> None:
    started = time.monotonic()
    with connect(hasty.port) as connection:
        connection.sendall(
            POST[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
        )
        assert is_timeout(drip(connection, BODY), "body")
    assert BODY_SECONDS - 0.1 <= time.monotonic() - started < BODY_SECONDS + 1


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_a_client_that_does_not_read_is_dropped_also_when_the_answer_is_complete(hasty: Hasty, close: bytes) -> None:
    assert eventually(hasty.has_no_connection)
    with connect(hasty.port, receive_buffer=4096) as connection:
        connection.sendall(LARGE + close + b"\r\n")
        assert eventually(lambda: not hasty.has_no_connection())
        started = time.monotonic()
        assert eventually(hasty.has_no_connection)
        assert time.monotonic() - started < UNREAD_SECONDS + 1


def test_a_client_that_asks_on_and_on_and_does_not_read_is_dropped(hasty: Hasty) -> None:
    with connect(hasty.port, receive_buffer=4096) as connection:
        connection.settimeout(1)
        with pytest.raises(OSError):  # noqa: PT012 - which of them the server no longer takes depends on its buffers
            for _ in range(200):
                connection.sendall(GET * 1000)
        assert eventually(hasty.has_no_connection)


def test_a_client_that_leaves_while_its_requests_queue_is_no_failure(
    hasty: Hasty, caplog: pytest.LogCaptureFixture
) -> None:
    assert eventually(hasty.has_no_connection)
    with structlog.testing.capture_logs() as lines:
        with connect(hasty.port, receive_buffer=4096) as connection:
            connection.sendall((LARGE + b"\r\n") * 5)
            time.sleep(0.3)
        assert eventually(hasty.has_no_connection)
    assert [line["event"] for line in lines] == ["request"]
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_client_that_reads_slowly_gets_all_of_it(hasty: Hasty) -> None:
    with connect(hasty.port, receive_buffer=65536) as connection:
        connection.sendall(LARGE + b"Connection: close\r\n\r\n")
        started, received, length = time.monotonic(), b"", 0
        while part := connection.recv(65536):
            received += part
            time.sleep(0.06)
    assert time.monotonic() - started > UNREAD_SECONDS * 1.2
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(body) == length


def answers(port: int, *requests: bytes) -> tuple[list[Answer], bytes]:
    """Send all at once; as many answers as requests, and what follows until the server closes."""
    with connect(port) as connection:
        connection.sendall(b"".join(requests))
        stream = connection.makefile("rb")
        return [read_answer(stream) for _ in requests], rest(stream.read1)


def test_a_pipelined_head_that_stays_incomplete_is_a_408_after_the_answers_before_it(hasty: Hasty) -> None:
    found, end = answers(hasty.port, GET, GET, GET[:20])
    assert [answer.status for answer in found] == [200, 200, 408]
    assert end == b""


@pytest.mark.parametrize("finished", [True, False])
def test_a_pipelined_head_that_is_too_large_is_refused_after_the_answers_before_it(
    hasty: Hasty, finished: bool
) -> None:
    large = GET[:-4] + b"\r\nX: " + b"x" * 4 * MAX_HEAD_BYTES
    found, end = answers(hasty.port, GET, large + b"\r\n\r\n" if finished else large)
    assert found[0].status == 200
    assert found[1].status == 431
    assert end == b""


def test_pipelined_nonsense_is_a_400_after_the_answers_before_it(hasty: Hasty) -> None:
    found, end = answers(hasty.port, GET, GET, b"nonsense\r\n\r\n")
    assert [answer.status for answer in found] == [200, 200, 400]
    assert end == b""


def test_a_broken_body_is_a_400_under_the_requests_id_and_nothing_is_stored(hasty: Hasty) -> None:
    chunked = POST.replace(b"Content-Length: 30", b"Transfer-Encoding: chunked")
    found, end = answers(hasty.port, GET, chunked + b"1e\r\n" + BODY + b"\r\nzz\r\n")
    assert [answer.status for answer in found] == [200, 400]
    assert found[1].headers["x-request-id"] == "mine"
    assert end == b""
    assert hasty.is_empty()


def answers_after_eof(port: int, *requests: bytes) -> tuple[list[int], float]:
    """The statuses of all answers to a client that sends these and no more, and how long it took to the end."""
    with connect(port) as connection:
        connection.sendall(b"".join(requests))
        connection.shutdown(socket.SHUT_WR)
        started, received = time.monotonic(), rest(connection.recv)
        seconds = time.monotonic() - started
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], seconds


WRONG = POST + BODY.replace(b"{", b"!")


@pytest.mark.parametrize("requests", [[WRONG], [WRONG, WRONG], [GET, WRONG, GET], [WRONG, b"nonsense\r\n\r\n"]])
def test_what_was_asked_for_before_a_half_close_is_answered_and_then_the_connection_ends(
    hasty: Hasty, requests: list[bytes]
) -> None:
    wanted = [422 if request == WRONG else 200 if request == GET else 400 for request in requests]
    found, seconds = answers_after_eof(hasty.port, *requests)
    assert found == wanted
    assert seconds < HEAD_SECONDS
    assert eventually(hasty.has_no_connection)


@pytest.mark.parametrize("incomplete", [GET[:-1], POST, POST + BODY[:-1]])
def test_what_a_half_close_leaves_incomplete_is_not_answered_nor_stored(hasty: Hasty, incomplete: bytes) -> None:
    assert answers_after_eof(hasty.port, incomplete)[0] == []
    found, seconds = answers_after_eof(hasty.port, WRONG, incomplete)
    assert found == [422]
    assert seconds < HEAD_SECONDS
    assert eventually(hasty.has_no_connection)
    assert hasty.is_empty()


def test_a_half_close_after_an_answer_ends_the_connection(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(GET)
        assert read_answer(connection.makefile("rb")).status == 200
        connection.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        assert rest(connection.recv) == b""
        assert time.monotonic() - started < HEAD_SECONDS


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers GET after longer than a client may take, and POST with the length of its body."""
    if scope["type"] != "http":
        return
    body, more = b"", scope["method"] == "POST"
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    if scope["method"] == "GET":
        await asyncio.sleep(BODY_SECONDS * 1.5)
    text = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


@contextmanager
def serving_slowly(protocol: str, loop: Literal["uvloop", "asyncio"] = "uvloop") -> Iterator[int]:
    config = uvicorn.Config(
        RequestContext(slow), port=0, http=PROTOCOLS[protocol], ws="none", lifespan="off", log_config=None, loop=loop
    )
    with running(uvicorn.Server(config)) as port:
        yield port


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_an_answer_that_takes_long_reaches_a_client_that_has_half_closed(
    protocol: str, loop: Literal["uvloop", "asyncio"]
) -> None:
    sent = ([GET], [GET + GET[:5]], [GET, POST, BODY, GET[:5]])
    with serving_slowly(protocol, loop) as port, ThreadPoolExecutor(len(sent)) as clients:
        heard = list(clients.map(lambda requests: answers_after_eof(port, *requests), sent))
        for (found, seconds), wanted in zip(heard, ([200], [200], [200, 200]), strict=True):
            assert found == wanted
            assert BODY_SECONDS * 1.5 - 0.1 <= seconds < BODY_SECONDS * 1.5 + 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_time_that_the_service_takes_does_not_count_against_the_client(protocol: str) -> None:
    with serving_slowly(protocol) as port, connect(port) as connection:
        connection.sendall(GET + POST + BODY[:10])
        stream = connection.makefile("rb")
        assert read_answer(stream).status == 200
        time.sleep(0.3)
        connection.sendall(BODY[10:])
        assert read_answer(stream).body == b"30"


BULK = (
    b"POST /interactions/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CHUNK = b"1f\r\n" + BODY + b"\n\r\n"


def test_a_file_may_take_longer_than_a_body_as_long_as_something_of_it_comes(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(BULK)
        started = time.monotonic()
        while time.monotonic() - started < BODY_SECONDS + 3 * STREAM_SECONDS:
            connection.sendall(CHUNK)
            time.sleep(STREAM_SECONDS / 3)
        # Refused for its second line: what counts is that the whole of it was waited for.
        connection.sendall(b"2\r\n{\n\r\n0\r\n\r\n")
        answer = read_answer(connection.makefile("rb"))
    assert (answer.status, answer.document["errors"][0]["code"]) == (422, "json_invalid")


def test_a_client_that_stops_in_the_middle_of_a_file_is_told_so_and_nothing_is_stored(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(BULK + CHUNK)
        assert is_timeout(rest(connection.recv), "more of the body")
    assert eventually(hasty.has_no_connection)
    assert hasty.is_empty()


def test_a_client_that_goes_away_in_the_middle_of_a_file_leaves_nothing(hasty: Hasty) -> None:
    with connect(hasty.port) as connection:
        connection.sendall(BULK + CHUNK)
    assert eventually(hasty.has_no_connection)
    assert hasty.is_empty()
