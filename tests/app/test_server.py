"""The served process: how it comes up and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


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


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[subprocess.Popen[bytes]] = []

    def _serve(**settings: str) -> Served:
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
                [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
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
