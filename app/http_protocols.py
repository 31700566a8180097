"""uvicorn's two HTTP parsers, with a limit on a request's head, deadlines, and refusals as problem documents."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sized

import h11
import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import ApiError
from app.http_connections import GuardedConnection, Reading

MAX_HEAD_BYTES = 64 * 1024
_INTERIM = b"HTTP/1.1 1"


def _bad_request(detail: str = "this is not a valid HTTP/1.1 request") -> ApiError:
    return ApiError(400, "bad_request", detail, headers={"Connection": "close"})


def _wrong_host() -> ApiError:
    return _bad_request("an HTTP/1.1 request has one Host header")


def _wrong_coding() -> ApiError:
    return _bad_request("chunked is the only Transfer-Encoding that is taken here, and once")


def _head_too_large() -> ApiError:
    return ApiError(431, "headers_too_large", f"the request line and headers take over {MAX_HEAD_BYTES} bytes")


_BY_HINT = {431: _head_too_large, 501: _wrong_coding}


class _PipelineFlow(FlowControl):
    """uvicorn reads on after each answer, however many requests are queued behind it: a client that never reads its
    answers would fill the memory with them.
    """

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class HeadWithBody:
    """A request's view of its transport: the head of the answer waits for what comes next and goes out with it.

    uvicorn writes the two apart, and each write is a call of the system and one more time that the client is woken:
    together a tenth of what a short list takes.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """The first piece is the head and waits, unless it is an interim answer (100 Continue)."""
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            self._transport.write(self._head + data)
            self._head = None
        elif data.startswith(_INTERIM):
            self._transport.write(data)
        else:
            self._head = data

    def flush(self) -> None:
        """There is nothing else to come."""
        if self._head:
            self._transport.write(self._head)
        self._head = None

    def close(self) -> None:
        """After what has been written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """As the transport says."""
        return self._transport.is_closing()


class LimitedHttpToolsProtocol(GuardedConnection, HttpToolsProtocol):  # type: ignore[misc]  # eof_received
    """httptools buffers a head of any size; this one ends the connection beyond MAX_HEAD_BYTES."""

    _in_head = True
    _head_begun = False
    _head_bytes = 0
    _head_without_upgrade = b""
    _running: RequestResponseCycle | None = None
    _answer: HeadWithBody | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; what it sends ahead is read only when its turn has come."""
        super().connection_made(transport)
        self.flow = _PipelineFlow(self.transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, for every request of it."""
        running = self._running
        super().connection_lost(exc)
        if running is not None and running is not self.cycle and not running.response_complete:
            # uvicorn tells the request that was read last, which is another one when it waits in the pipeline.
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._answer = HeadWithBody(self.transport)
        cycle.transport = self._answer  # type: ignore[assignment]  # all of it that a cycle uses
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head it is still reading has grown too large."""
        if self._refused:
            return
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self.logger.warning("Invalid HTTP request received.")
            told = error.__context__  # what a callback raised
            self.refuse(told if isinstance(told, ApiError) else _bad_request())
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._refused:
            self.refuse(_head_too_large())
        self.noted()

    def _feed(self, data: bytes) -> None:
        """The parser takes what follows a head with an Upgrade for another protocol's. RFC 9110 lets a server ignore
        the header, and Java's and curl's clients send a body with it: another parser gets the head without it.
        """
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
            else:
                return
            if not self._head_without_upgrade:
                return  # CONNECT
            head, self._head_without_upgrade = self._head_without_upgrade, b""
            self.parser = _new_parser(self)
            self.parser.feed_data(head)

    def on_message_begin(self) -> None:
        """A new request: its head starts."""
        self._in_head = self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over; one that came in a single read is measured here. Raises: ApiError, for `data_received`."""
        size, hosts, codings = len(self.url), 0, 0
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                codings += 1 if value.strip(b" \t").lower() == b"chunked" else 2
        if size > MAX_HEAD_BYTES:
            raise _head_too_large()
        if hosts > 1 or (not hosts and self.parser.get_http_version() > "1.0"):
            raise _wrong_host()
        if codings > 1:
            raise _wrong_coding()  # httptools would take the chunks as they are, whatever is in them
        if self.parser.should_upgrade() and (method := self.parser.get_method()) != b"CONNECT":
            version = self.parser.get_http_version().encode("ascii")
            lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self._head_without_upgrade = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))
            return
        self._in_head = self._head_begun = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Whatever comes next belongs to the next request's head."""
        if self._head_without_upgrade:
            return  # that head comes again, and its message with it
        super().on_message_complete()
        self._in_head = True

    def on_response_complete(self) -> None:
        """The next pipelined request's turn, that of a refusal, or the end."""
        if self._answer is not None:
            self._answer.flush()  # one without a body
        super().on_response_complete()
        self.answered()

    def reading(self) -> Reading:
        """As the parser's callbacks told."""
        if not self._in_head:
            return Reading.BODY
        # Line ends before a request begin nothing, but who sends only those is as slow as who sends a part of a head.
        return Reading.HEAD if self._head_begun or self._head_bytes else Reading.NOTHING

    def head_has_begun(self) -> bool:
        """As the parser's callbacks told."""
        return self._head_begun


def _new_parser(protocol: LimitedHttpToolsProtocol) -> httptools.HttpRequestParser:
    """As uvicorn makes a connection's first one."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class LimitedH11Protocol(GuardedConnection, H11Protocol):  # type: ignore[misc]  # eof_received
    """h11 limits the head itself (`h11_max_incomplete_event_size`), and refuses a wrong Host or Transfer-Encoding."""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless its request has been refused."""
        if not self._refused:
            super().data_received(data)

    def handle_events(self) -> None:
        """Act on what has come; also what was held back until an answer was complete."""
        super().handle_events()
        self.noted()

    def on_response_complete(self) -> None:
        """The next pipelined request's turn, that of a refusal, or the end."""
        super().on_response_complete()
        self.answered()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """A problem document instead of plain text; uvicorn calls this where it has caught h11's error."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self.refuse(_BY_HINT.get(hint, _bad_request)())

    def reading(self) -> Reading:
        """As the parser's state says."""
        if self.conn.their_state is h11.SEND_BODY:
            return Reading.BODY
        return Reading.HEAD if self.conn.their_state is h11.IDLE and self.head_has_begun() else Reading.NOTHING

    def head_has_begun(self) -> bool:
        """Whether bytes wait for the rest of a head."""
        return bool(self.conn.trailing_data[0])
