"""Five hundred clients that are slow in every way there is, and the others meanwhile.

`python -m tests.drills.test_slow_clients` runs it with the service's own deadlines and prints what it measured.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.http_connections import GuardedConnection
from tests.app.serving import connect, eventually

CLIENTS = 500
BODY = b'{"user_id":"slow","item_id":"b"}'
SERVER = """
import sys
from app.logs import configure_logs
from app.http_connections import GuardedConnection
from app.main import create_app
from app.server import Server
from app.settings import load_settings
head, body, unread, port = map(float, sys.argv[1:])
GuardedConnection.head_seconds, GuardedConnection.body_seconds, GuardedConnection.unread_seconds = head, body, unread
settings = load_settings()
configure_logs(settings)
Server(create_app(settings), settings, port=int(port)).run()
"""


class Slow:
    """One client; `go_on` does as little as keeps it waited for, and tells whether the server is still there."""

    def __init__(self, port: int, kind: str) -> None:
        self.connection = connect(port, receive_buffer=4096 if kind == "reader" else None)
        self.started = time.monotonic()
        self.drips = b""
        if kind == "head":
            self.drips = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1000
        elif kind == "body":
            self.connection.sendall(b"POST /interactions HTTP/1.1\r\nHost: x\r\nContent-Length: 1032\r\n\r\n")
            self.drips = BODY + b" " * 1000
        elif kind == "reader":
            self.connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        self.reads = kind != "reader"
        self.connection.setblocking(False)

    def go_on(self) -> bool:
        with suppress(BlockingIOError):
            try:
                if self.drips:
                    self.connection.send(self.drips[:1])
                    self.drips = self.drips[1:]
                # Who reads nothing cannot see the end; the descriptors of the server tell.
                return not self.reads or self.connection.recv(65536) != b""
            except OSError as error:
                if isinstance(error, BlockingIOError):
                    raise
                return False
        return True


@dataclass
class Others:
    """A well-behaved client, and how long it waits for its answers."""

    port: int
    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask(self, until: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not until.wait(0.01):
            started = time.perf_counter()
            connection.request("GET", "/popular")
            answer = connection.getresponse()
            answer.read()
            self.milliseconds.append((time.perf_counter() - started) * 1000)
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
        connection.close()

    def p99(self) -> float:
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.99)]


@dataclass(frozen=True)
class Outcome:
    base: int
    most: int
    left: int
    seconds: float
    calm: Others
    meanwhile: Others


def descriptors(process: subprocess.Popen[bytes]) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def sockets_of(process: subprocess.Popen[bytes]) -> int:
    """Without the files that are being sent."""
    targets = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    return sum(target.startswith("socket:") for target in targets)


def observed(port: int, *, seconds: float) -> Others:
    others, over = Others(port), threading.Event()
    threading.Timer(seconds, over.set).start()
    others.ask(over)
    return others


def drill(folder: Path, *, head: float, body: float, unread: float) -> Outcome:
    """Run it all against a process of its own; ends when the descriptors are back, or 12 s after the last deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
    environ |= {
        "LIKEWISE_DATABASE_URL": f"sqlite:///{folder}/likewise.db",
        "LIKEWISE_MODEL_DIR": str(folder / "models"),
        "LIKEWISE_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-c", SERVER, str(head), str(body), str(unread), str(port)]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: answers(port))
        calm = observed(port, seconds=2)
        base = descriptors(process)
        return besieged(process, port, base=base, limit=max(head, body, unread * 1.1) + 12, calm=calm)
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def besieged(process: subprocess.Popen[bytes], port: int, *, base: int, limit: float, calm: Others) -> Outcome:
    over, meanwhile = threading.Event(), Others(port)
    asking = threading.Thread(target=meanwhile.ask, args=[over])
    started = time.monotonic()
    slow = [Slow(port, ("silent", "head", "body", "reader")[number % 4]) for number in range(CLIENTS)]
    sockets = [client.connection for client in slow]
    asking.start()
    most = 0
    # A busy machine takes its time to let them all in.
    while time.monotonic() - started < limit and (most < CLIENTS or descriptors(process) > base + 1):
        slow = [client for client in slow if client.go_on()]
        time.sleep(0.2)
        most = max(most, sockets_of(process))
    seconds = time.monotonic() - started
    over.set()
    asking.join()
    eventually(lambda: descriptors(process) <= base, seconds=1)
    left = descriptors(process) - base
    for connection in sockets:
        connection.close()
    return Outcome(base, most, left, seconds, calm, meanwhile)


@pytest.mark.drill
def test_five_hundred_slow_clients_are_all_gone_by_the_deadline_and_the_others_go_on(tmp_path: Path) -> None:
    # Long enough that a busy machine has connected all of them before the first ones are closed.
    outcome = drill(tmp_path, head=4, body=5, unread=5)
    assert outcome.most >= CLIENTS
    # Fewer than before where a connection of the calm time was still open then.
    assert outcome.left <= 0
    # The deadlines, and time for a busy machine to connect five hundred clients.
    assert outcome.seconds < 5 * 1.1 + 7
    assert outcome.meanwhile.failures == []
    assert len(outcome.meanwhile.milliseconds) > 50


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found = drill(
            Path(name),
            head=GuardedConnection.head_seconds,
            body=GuardedConnection.body_seconds,
            unread=GuardedConnection.unread_seconds,
        )
    print(  # noqa: T201 - a program of its own
        f"descriptors: {found.base} before, {found.left} more after {CLIENTS} slow clients and {found.seconds:.1f} s, "
        f"{found.most} sockets meanwhile\n"
        f"p99 of others: {found.calm.p99():.1f} ms before, {found.meanwhile.p99():.1f} ms meanwhile "
        f"({len(found.meanwhile.milliseconds)} requests, {len(found.meanwhile.failures)} failures)"
    )
