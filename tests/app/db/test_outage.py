from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from app.db import migrate
from app.db.engine import Store, StoreUnavailable, open_store
from app.db.interactions import Appended
from app.db.writer import InteractionWriter
from tests.app.db.rows import row
from tests.postgres import PostgresServer, binaries_or_skip

pytestmark = pytest.mark.postgres


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own, which it may break."""
    binaries = binaries_or_skip()
    own = PostgresServer(binaries)
    own.create()
    yield own
    own.remove()


@pytest.fixture
def store(server: PostgresServer) -> Iterator[Store]:
    opened = open_store(server.url("postgres"), deadline_seconds=1.0)
    migrate.upgrade(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def writer(store: Store) -> Iterator[InteractionWriter]:
    started = InteractionWriter(store, on_commit=ignore)
    started.start()
    yield started
    started.stop(10)


def ignore(appended: Appended) -> None:
    assert appended.accepted >= 0


def upload(writer: InteractionWriter) -> int:
    return writer.submit([row()], received_us=1).result(30).accepted


def refused_after(writer: InteractionWriter) -> float:
    """Seconds until an upload is refused."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        upload(writer)
    return time.monotonic() - started


@pytest.mark.slow
def test_uploads_go_on_by_themselves_after_the_server_was_stopped_killed_or_hung(
    server: PostgresServer, writer: InteractionWriter
) -> None:
    assert upload(writer) == 1
    server.stop()
    assert refused_after(writer) < 2
    server.start()
    assert upload(writer) == 1
    server.kill()
    assert refused_after(writer) < 2
    server.start()
    assert upload(writer) == 1
    server.signal_all(signal.SIGSTOP)
    try:
        assert refused_after(writer) < 3
    finally:
        server.signal_all(signal.SIGCONT)
    assert upload(writer) == 1
