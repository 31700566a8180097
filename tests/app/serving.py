"""Servers in threads, and what raw sockets get from them."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import uvicorn

from app.main import create_app
from app.server import Server
from app.settings import Settings


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.body)
        return document


def read_answer(stream: BinaryIO) -> Answer:
    """One whole answer."""
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(status, headers, stream.read(int(headers.get("content-length", "0"))))


def new_server(folder: Path, template: Path, **options: object) -> Server:
    """The service on an embedded store of its own and a free port; not running yet."""
    shutil.copy(template, folder / "likewise.db")
    values = {
        "database_url": f"sqlite:///{folder}/likewise.db",
        "model_dir": folder / "models",
        "spool_dir": folder / "spool",
    }
    settings = Settings.model_validate(values)
    return Server(create_app(settings), settings, port=0, **options)  # type: ignore[arg-type]  # by name


@contextmanager
def running(server: uvicorn.Server) -> Iterator[int]:
    """Run it in a thread; gives its port."""
    thread = threading.Thread(target=server.run)
    thread.start()
    assert eventually(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    """A client; with a small receive buffer it cannot take much that it does not read."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(10)
    try:
        connection.connect(("127.0.0.1", port))
    except OSError:
        connection.close()
        raise
    return connection


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
