"""uvicorn's two HTTP parsers, with a limit on a request's head and with refusals as problem documents.

Such a request never becomes a request to the application, so the answer is made here.
"""

from __future__ import annotations

import json
import uuid

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.problems import MEDIA_TYPE
from app.errors import ApiError, Problem

MAX_HEAD_BYTES = 64 * 1024


def _refusal(status: int, code: str, detail: str) -> bytes:
    request_id = uuid.uuid4().hex
    body = json.dumps(Problem(ApiError(status, code, detail), request_id).document()).encode("ascii")
    reason = {400: "Bad Request", 431: "Request Header Fields Too Large"}[status]
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _bad_request() -> bytes:
    return _refusal(400, "bad_request", "this is not a valid HTTP/1.1 request")


def _head_too_large() -> bytes:
    return _refusal(431, "headers_too_large", f"the request line and headers take over {MAX_HEAD_BYTES} bytes")


class LimitedHttpToolsProtocol(HttpToolsProtocol):
    """httptools buffers a head of any size; this one ends the connection beyond MAX_HEAD_BYTES."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head it is still reading has grown too large."""
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A new request: its head starts."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over; one that came in a single read is measured here."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._head_bytes = MAX_HEAD_BYTES + 1
            raise ValueError("head too large")  # uvicorn answers what the parser raises with send_400_response
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Whatever comes next belongs to the next request's head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """A problem document instead of plain text."""
        self.transport.write(_head_too_large() if self._head_bytes > MAX_HEAD_BYTES else _bad_request())
        self.transport.close()


class LimitedH11Protocol(H11Protocol):
    """h11 limits the head itself (`h11_max_incomplete_event_size`); only the refusal's form is ours."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """A problem document instead of plain text."""
        self.transport.write(_bad_request())
        self.transport.close()
