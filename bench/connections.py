"""Keep-alive connections of a load generator, each with one request at a time."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

TIMEOUT_SECONDS = 10.0
# epoll sleeps in whole milliseconds: nearer to the next request than this it is asked without a sleep.
_NO_SLEEP_SECONDS = 0.002
_RECEIVED_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """The answer to request `number`; status 0 where the connection broke."""

    number: int
    status: int
    body: bytes


class Connections:
    """A channel of keep-alive connections to 127.0.0.1, each with one request at a time; `close` ends it.

    Args:
        requests: the bytes of each request.
    """

    def __init__(self, port: int, requests: Sequence[bytes], count: int) -> None:
        self._port, self._requests = port, requests
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: list[socket.socket] = []
        self._open: dict[int, tuple[int, bytearray]] = {}
        for _ in range(count):
            self._connect()

    def has_room(self) -> bool:
        """Whether a connection has no request open."""
        return bool(self._idle)

    def send(self, number: int) -> None:
        """Send a request on a connection that has none open."""
        connection = self._idle.pop()
        self._open[connection.fileno()] = (number, bytearray())
        with suppress(OSError):  # `wait` sees that it broke
            connection.sendall(self._requests[number])

    def wait(self, seconds: float) -> list[Answer]:
        """The answers that have come whole."""
        answers = []
        for handle, _ in self._epoll.poll(seconds - _NO_SLEEP_SECONDS / 2 if seconds > _NO_SLEEP_SECONDS else 0):
            try:
                received = self._sockets[handle].recv(_RECEIVED_BYTES)
            except OSError:
                received = b""
            number, so_far = self._open.get(handle, (None, bytearray()))
            so_far += received
            if not received or number is None:
                self._reconnect(handle)
                if number is not None:
                    answers.append(Answer(number, 0, b""))
            elif (body := _body(so_far)) is not None:
                del self._open[handle]
                self._idle.append(self._sockets[handle])
                answers.append(Answer(number, int(so_far[9:12]), body))
        return answers

    def close(self) -> None:
        """Close all connections."""
        for connection in self._sockets.values():
            connection.close()
        self._epoll.close()

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[connection.fileno()] = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._idle.append(connection)

    def _reconnect(self, handle: int) -> None:
        self._open.pop(handle, None)
        broken = self._sockets.pop(handle)
        self._idle = [connection for connection in self._idle if connection is not broken]
        broken.close()
        self._connect()


def _body(received: bytearray) -> bytes | None:
    """The body of a whole answer; None for a part of one."""
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return None
    length = _CONTENT_LENGTH.search(received, 0, head_end + 2)
    start = head_end + len(_HEAD_END)
    wanted = 0 if length is None else int(length[1])
    return bytes(received[start : start + wanted]) if len(received) >= start + wanted else None
