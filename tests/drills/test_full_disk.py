"""A disk that fills up under a service: a small file system of its own, which only the service sees."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.drill

CSV = {"Content-Type": "text/csv"}
MIB = 2**20


def rows(count: int, *, name: str = "u") -> bytes:
    return ("user_id,item_id\n" + "".join(f"{name}-{n},item-{n % 97}\n" for n in range(count))).encode()


class Client:
    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body, headers={**CSV, **headers} if body else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stored(self) -> int:
        return int(self.ask("GET", "/stats")[1]["interactions"])


@contextmanager
def service(folder: Path, *, database: Path, spool: Path, small: Path, mib: int) -> Iterator[Client]:
    """`likewise serve` whose folder `small` holds so many MiB."""
    small.mkdir()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0"]
    script = f'mount -t tmpfs -o size={mib}m tmpfs "$0" && exec "$@"'
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
    environ = {
        "LIKEWISE_DATABASE_URL": f"sqlite:///{database}",
        "LIKEWISE_SPOOL_DIR": str(spool),
        "LIKEWISE_MODEL_DIR": str(folder / "models"),
        "LIKEWISE_TRAINER": "external",
    }
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(small), *command],
            env=kept | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Client(_port(process, log))
    finally:
        process.terminate()
        process.wait(30)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        if found := re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes()):
            return int(found[1])
        if process.poll() is not None:
            if re.search(rb"unshare|mount|permission denied", log.read_bytes()):
                pytest.skip(f"no file system can be mounted here: {log.read_text()}")
            break
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_an_upload_that_the_spool_has_no_room_for_is_refused_and_nothing_of_it_stays(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with service(tmp_path, database=tmp_path / "likewise.db", spool=small / "spool", small=small, mib=4) as client:
        status, problem = client.ask("POST", "/interactions/bulk", rows(500_000))
        assert (status, problem["code"]) == (507, "store_full")
        assert client.stored() == 0
        # There is room again.
        status, report = client.ask("POST", "/interactions/bulk", rows(1_000))
        assert (status, report["accepted"]) == (201, 1_000)


def test_an_upload_that_the_store_has_no_room_for_is_refused_and_others_go_on(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with service(tmp_path, database=small / "likewise.db", spool=tmp_path / "spool", small=small, mib=24) as client:
        status, report = client.ask("POST", "/interactions/bulk", rows(1_000, name="first"))
        assert (status, report["accepted"]) == (201, 1_000)
        status, problem = client.ask("POST", "/interactions/bulk", rows(300_000))
        assert (status, problem["code"]) == (507, "store_full")
        assert client.stored() == 1_000
        one = json.dumps({"user_id": "u", "item_id": "item-1"}).encode()
        status, _ = client.ask("POST", "/interactions", one, **{"Content-Type": "application/json"})
        assert status == 201
        assert client.stored() == 1_001
        assert client.ask("GET", "/users/u/recommendations")[0] == 200
