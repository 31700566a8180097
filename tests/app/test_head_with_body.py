from __future__ import annotations

import asyncio
from typing import cast

import pytest

from app.http_protocols import HeadWithBody

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"


class Transport:
    """Notes what is written, in pieces, and whether it was closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.written)

    def is_closing(self) -> bool:
        return self.closed_after is not None


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def answer(transport: Transport) -> HeadWithBody:
    return HeadWithBody(cast("asyncio.Transport", transport))


def test_a_head_goes_out_with_its_body(answer: HeadWithBody, transport: Transport) -> None:
    answer.write(HEAD)
    assert transport.written == []

    answer.write(BODY)
    answer.flush()

    assert transport.written == [HEAD + BODY]


def test_the_rest_of_a_stream_does_not_wait(answer: HeadWithBody, transport: Transport) -> None:
    for piece in (HEAD, b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"):
        answer.write(piece)

    assert transport.written == [HEAD + b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]


def test_a_head_without_a_body_goes_out_when_the_answer_is_complete(answer: HeadWithBody, transport: Transport) -> None:
    answer.write(HEAD)

    answer.flush()
    answer.flush()

    assert transport.written == [HEAD]


def test_a_head_goes_out_before_the_connection_closes(answer: HeadWithBody, transport: Transport) -> None:
    answer.write(HEAD)
    assert not answer.is_closing()

    answer.close()

    assert (transport.written, transport.closed_after, answer.is_closing()) == ([HEAD], 1, True)


def test_an_interim_answer_does_not_wait(answer: HeadWithBody, transport: Transport) -> None:
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert transport.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]

    answer.write(HEAD)
    answer.write(BODY)

    assert transport.written[1:] == [HEAD + BODY]
