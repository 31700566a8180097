"""What every connection is held to, whichever parser reads it: how long a client may take, and how it is refused.

uvicorn alone waits for ever for a head, a body, or a client that does not read. Each connection has one timer that
looks every few seconds, and earlier where something is due earlier; a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import FlowControl

from app.api.context import REFUSAL, STREAMED
from app.api.problems import MEDIA_TYPE
from app.errors import ApiError, Problem

# A client that takes less than this in `unread_seconds` counts as one that reads nothing.
_LEAST_READ_BYTES = 16 * 1024


class Reading(Enum):
    """What the client owes at the moment."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"


class GuardedConnection(asyncio.Protocol):
    """Mixed into uvicorn's protocols, before them.

    Attributes:
        head_seconds: from the connection, or the first byte of a later request, to the end of its head.
        body_seconds: from the end of the head to the end of the body.
        stream_seconds: of a bulk upload, from one piece of the body to the next.
        unread_seconds: how long an answer may wait for a client that does not read it.
    """

    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 60.0
    stream_seconds: ClassVar[float] = 10.0
    unread_seconds: ClassVar[float] = 60.0

    # uvicorn's, alike in both protocols; the cycle is the request that was read last, with its answer.
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl
    cycle: Any

    _timer: asyncio.TimerHandle | None = None
    _reading = Reading.HEAD
    _read_with: Any = None
    _since = 0.0
    _unread = 0
    _unread_since = 0.0
    _refused = False
    _due_refusal: ApiError | None = None
    _half_closed = False

    # Only a parser knows where it is: app.http_protocols says it for each of the two.

    def reading(self) -> Reading:
        """What the parser is in the middle of."""
        raise NotImplementedError

    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has come."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there and owes a head."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(min(self.head_seconds, self._pause), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """The client sends no more, but may still read: what it has asked for is answered before the end.

        Returns: whether anything is; if not, the transport closes itself.
        """
        self._half_closed = True
        self._reading = Reading.NOTHING  # nothing more can be waited for
        return self._owes_answer()

    def _owes_answer(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and (self._refused or not cycle.more_body)

    def resume_writing(self) -> None:
        """The client has read most of what waited."""
        self._unread = 0
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """uvicorn would advise to install something; an Upgrade that is ignored is nothing to warn of."""

    def noted(self) -> None:
        """To be called after each piece of input: starts the clock when the client owes something else than before."""
        reading = self.reading()
        if reading is Reading.NOTHING:
            self._reading = reading
        elif reading is not self._reading or self.cycle is not self._read_with or self._is_streamed():
            self._reading, self._read_with, self._since = reading, self.cycle, self.loop.time()

    def seconds_left(self, now: float) -> float:
        """Until the client has to be done with what it owes."""
        if self._reading is Reading.HEAD:
            return self._since + self.head_seconds - now
        return self._since + (self.stream_seconds if self._is_streamed() else self.body_seconds) - now

    def _is_streamed(self) -> bool:
        return self._reading is Reading.BODY and STREAMED in self.cycle.scope

    def refuse(self, error: ApiError) -> None:
        """Refuse what is being read, and take no more of it: in its turn, after the answers that are due before it."""
        self._refused = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._end_with(error)
        elif not cycle.more_body:
            self._due_refusal = error
        else:
            cycle.keep_alive = False
            if not cycle.response_started:
                # The application answers, under the request's own id; it sees the refusal instead of a further chunk.
                cycle.scope[REFUSAL] = error
                cycle.message_event.set()

    def answered(self) -> None:
        """To be called when a response is complete: a refusal may be due after it, or the end."""
        if self._due_refusal is not None and self.cycle.response_complete and not self.transport.is_closing():
            self._end_with(self._due_refusal)
        elif self._half_closed and not self._owes_answer():
            self.transport.close()

    def _end_with(self, error: ApiError) -> None:
        self.transport.write(_answer(error))
        self.transport.close()

    @property
    def _pause(self) -> float:
        return self.unread_seconds / 10

    def _look(self) -> None:
        now = self.loop.time()
        if self._is_left_unread(now):
            self.transport.abort()
            return
        pause = self._pause
        if self.flow.read_paused:
            self._since = now  # it is the service that keeps the client waiting
        elif self._reading is not Reading.NOTHING and not self._refused and not self.transport.is_closing():
            left = self.seconds_left(now)
            if left <= 0:
                self._expire()
            else:
                pause = min(pause, left)
        self._timer = self.loop.call_later(pause, self._look)

    def _is_left_unread(self, now: float) -> bool:
        # A transport that is closing waits for its buffer to empty too, for ever if need be.
        waiting = self.transport.get_write_buffer_size()
        if not self._unread or waiting <= self._unread - _LEAST_READ_BYTES or not waiting:
            self._unread, self._unread_since = waiting, now
            return False
        self._unread = max(self._unread, waiting)
        return now - self._unread_since >= self.unread_seconds

    def _expire(self) -> None:
        if self._reading is Reading.HEAD and self.head_has_begun():
            self.refuse(_timeout("the request's head", self.head_seconds))
        elif self._reading is Reading.HEAD or self.cycle.response_complete:
            # Nothing has come, or the body that is late is one that nobody waits for any more.
            self.transport.close()
        else:
            late = ("more of the body", self.stream_seconds) if self._is_streamed() else ("the body", self.body_seconds)
            self.refuse(_timeout(*late))


def _timeout(what: str, seconds: float) -> ApiError:
    detail = f"{what} did not arrive within {seconds:g} s; send the request again"
    return ApiError(408, "request_timeout", detail, headers={"Connection": "close"})


def _answer(error: ApiError) -> bytes:
    request_id = uuid.uuid4().hex
    body = json.dumps(Problem(error, request_id).document()).encode("ascii")
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
