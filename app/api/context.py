"""What surrounds every request: raw-path routing, the request id, headers, one log line, the last word on failures.

Pure ASGI: a class derived from BaseHTTPMiddleware would cost more than the whole routing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import api_error, problem_response
from app.api.routing import OPERATION
from app.errors import ApiError
from app.ids import new_id
from app.logs import REQUEST_ID, log_request
from app.metrics import UNKNOWN_PATH

_log = structlog.get_logger("app.access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})

REFUSAL = "likewise.refusal"
"""Where the server leaves an ApiError in the scope for an application that waits for more of a body."""

STREAMED = "likewise.streamed"
"""Set in the scope of a request whose body may take long, as long as something of it comes."""

Count = Callable[[str, str, int, float], None]
"""Told of each request: operation (a declared path), method, status, seconds."""


class RequestContext:
    """Wraps the application; everything inside may rely on `request.state.request_id` and on a still-encoded path.

    The path is routed as it came over the wire: `%2F` stays inside an id and only a plain `/` separates. Handlers
    decode single segments with `app.api.parameters.path_id`.

    Args:
        closing: whether the service is ending; answers then ask the client to come back on another connection.
        count: told of each request when it is over.
    """

    def __init__(
        self, app: ASGIApp, *, closing: Callable[[], bool] = lambda: False, count: Count = lambda *_: None
    ) -> None:
        self._app = app
        self._closing = closing
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        # A copy: some servers hand the same dictionary to every request of a connection.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        scope["path"] = scope["raw_path"].decode("latin-1")
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", request_id.encode("ascii")), _NOSNIFF]
                if self._closing():
                    MutableHeaders(raw=message["headers"])["Connection"] = "close"
            await send(message)

        async def receive_unless_refused() -> Message:
            message = await receive()
            if (refusal := scope.get(REFUSAL)) is not None:
                raise refusal
            return message

        started = time.perf_counter()
        token = REQUEST_ID.set(request_id)
        try:
            try:
                await self._app(scope, receive_unless_refused, send_with_headers)
            except ClientDisconnect:
                status = 499  # nobody is left to answer; the number is for the log
            except asyncio.CancelledError:
                # Only the end of the draining cancels a request. Half an answer is cut: the server closes what its
                # application leaves incomplete.
                if not status:
                    response = problem_response(_cut_off(), request_id=request_id)
                    await response(scope, receive, send_with_headers)
            except Exception as error:
                _log.exception("unforeseen_failure")
                if status:
                    raise  # half an answer is out; closing the connection is all that tells the caller
                response = problem_response(api_error(error), request_id=request_id)
                await response(scope, receive, send_with_headers)
            finally:
                seconds = time.perf_counter() - started
                self._count(scope.get(OPERATION, UNKNOWN_PATH), scope["method"], status, seconds)
                _log_request(scope, status=status, seconds=seconds)
        finally:
            REQUEST_ID.reset(token)


def _cut_off() -> ApiError:
    detail = "the service is stopping and could not finish this request; send it again"
    return ApiError(503, "shutting_down", detail, headers={"Retry-After": "1", "Connection": "close"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode("ascii") if _REQUEST_ID.fullmatch(value) else new_id()
    return new_id()


def _log_request(scope: Scope, *, status: int, seconds: float) -> None:
    # The path is logged whole, so an id of a user that stands in it (/users/ada) is in the log; the query, with its
    # filters and cursors, is left out. Headers and bodies never get here.
    path = scope["path"]
    log_request(
        method=scope["method"],
        path=path,
        status=status,
        ms=round(seconds * 1000, 2),
        key=scope["state"].get("key_id"),
        quiet=path in _QUIET_PATHS,
    )
