"""The served process: how it comes up and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.serving import connect, read_answer

# Each starts processes.
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ends(self, seconds: float = 15) -> int:
        return self.process.wait(timeout=seconds)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


Serve = Callable[..., Served]
SERVE = ("-m", "app.cli", "serve", "--port")
DRAIN_SECONDS = 1
IMPATIENT = """
import sys
from app.logs import configure_logs
from app.main import create_app
from app.server import Server
from app.settings import load_settings
settings = load_settings()
configure_logs(settings)
_, http, drain_seconds, port = sys.argv
Server(create_app(settings), settings, http=http, port=int(port), drain_seconds=int(drain_seconds)).run()
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[subprocess.Popen[bytes]] = []

    def _serve(command: tuple[str, ...] = SERVE, **settings: str) -> Served:
        port, log = free_port(), tmp_path / "log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")} | {
            "LIKEWISE_DATABASE_URL": f"sqlite:///{tmp_path}/likewise.db",
            "LIKEWISE_MODEL_DIR": str(tmp_path / "models"),
            "LIKEWISE_TRAINER": "external",
            "LIKEWISE_LOG_FORMAT": "json",
            **{f"LIKEWISE_{name}": value for name, value in settings.items()},
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command, str(port)],
                env=environ,
                stderr=output,
                stdout=subprocess.DEVNULL,
            )
        started.append(process)
        served = Served(process, port, log)
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if served.get("/readyz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.05)
        return served

    yield _serve
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_sigterm_ends_the_service_with_exit_code_0_and_a_log_that_is_json_throughout(serve: Serve) -> None:
    served = serve()
    served.get("/stats")
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == 0
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert {"event", "level", "timestamp"} <= set.intersection(*(set(line) for line in lines))
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/stats"]
    assert "Application startup complete." in [line["event"] for line in lines]


def test_an_upload_in_flight_is_finished_before_the_end(serve: Serve) -> None:
    served = serve()
    body = b'{"user_id":"a","item_id":"b"}'
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(
            b"POST /interactions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9]
        )
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert served.process.poll() is None
        connection.sendall(body[9:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert served.ends() == 0


def test_readiness_goes_first_and_requests_are_served_through_the_delay(serve: Serve) -> None:
    served = serve(SHUTDOWN_DELAY_SECONDS="1")
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    status, document = served.get("/readyz")
    assert (status, document["code"]) == (503, "shutting_down")
    assert served.get("/stats")[0] == 200
    assert served.ends() == 0


def test_a_second_signal_skips_the_delay_and_is_no_failure_either(serve: Serve) -> None:
    served = serve(SHUTDOWN_DELAY_SECONDS="60")
    served.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    served.process.send_signal(signal.SIGINT)
    assert served.ends() == 0


@pytest.fixture(params=["httptools", "h11"])
def impatient(request: pytest.FixtureRequest, serve: Serve) -> Served:
    """A service that drains for a second."""
    return serve(command=("-c", IMPATIENT, request.param, str(DRAIN_SECONDS)))


def test_an_upload_that_does_not_end_is_a_503_when_the_draining_is_over_and_nothing_is_stored(
    impatient: Served, tmp_path: Path
) -> None:
    with connect(impatient.port) as connection:
        connection.sendall(b"POST /interactions HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\n" + b'{"user_id"')
        time.sleep(0.3)
        impatient.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        stream = connection.makefile("rb")
        answer = read_answer(stream)
        assert time.monotonic() - started > DRAIN_SECONDS - 0.2
        assert stream.read() == b""
    assert (answer.status, answer.document["code"]) == (503, "shutting_down")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == answer.document["request_id"]
    assert int(answer.headers["retry-after"]) > 0
    assert impatient.ends() == 0
    log = impatient.log.read_text()
    assert "Traceback" not in log
    assert [json.loads(line)["status"] for line in log.splitlines() if '"path":"/interactions"' in line] == [503]
    with closing(sqlite3.connect(tmp_path / "likewise.db")) as store:
        assert store.execute("SELECT count(*) FROM interactions").fetchall() == [(0,)]


def test_an_answer_that_nobody_reads_is_cut_when_the_draining_is_over(impatient: Served) -> None:
    with connect(impatient.port, receive_buffer=4096) as connection:
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        time.sleep(0.3)
        impatient.process.send_signal(signal.SIGTERM)
        assert impatient.ends() == 0
    assert "Traceback" not in impatient.log.read_text()


def test_a_connection_that_was_there_before_is_told_to_close_through_the_delay(serve: Serve) -> None:
    served = serve(SHUTDOWN_DELAY_SECONDS="1")
    ready = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(served.port) as connection, connect(served.port) as other:
        for client in (connection, other):
            client.sendall(ready)
            answer = read_answer(client.makefile("rb"))
            assert answer.status == 200
            assert "connection" not in answer.headers
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        for client, request, status in ((connection, ready, 503), (other, ready.replace(b"readyz", b"healthz"), 200)):
            client.sendall(request)
            stream = client.makefile("rb")
            answer = read_answer(stream)
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert stream.read() == b""
    assert served.ends() == 0
