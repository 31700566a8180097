"""The whole service over an embedded store, called in process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.api.running import Clock, Running, StartService
from tests.app.api.shop import open_shop


@pytest.fixture
def start(tmp_path: Path, sqlite_template: Path) -> Iterator[StartService]:
    """Starts a service with settings of the test's own; it is stopped at the end of the test."""
    started: list[TestClient] = []

    def _start(*, loopback: bool = True, **settings: object) -> Running:
        database = tmp_path / f"{len(started)}.db"
        shutil.copy(sqlite_template, database)
        values = {
            "database_url": f"sqlite:///{database}",
            "model_dir": tmp_path / "models",
            "spool_dir": tmp_path / "spool",
        } | settings
        clock = Clock()
        app = create_app(Settings.model_validate(values), loopback=loopback, clock=clock)
        client = TestClient(app)
        client.__enter__()
        started.append(client)
        return Running(app, client, clock)

    yield _start
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def service(start: StartService) -> Running:
    """A service with the default settings and an empty store."""
    return start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Running]:
    """One service for the tests of a module that store nothing."""
    with _running(tmp_path_factory.mktemp("shared"), sqlite_template) as service:
        yield service


@pytest.fixture
def shop(service: Running) -> Running:
    """A service with items, users and a model of them."""
    open_shop(service)
    return service


@pytest.fixture(scope="module")
def shared_shop(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Running]:
    """One shop for the tests of a module that store nothing."""
    with _running(tmp_path_factory.mktemp("shop"), sqlite_template) as service:
        open_shop(service)
        yield service


@pytest.fixture(scope="module")
def untrained_shop(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Running]:
    """The same before the first model."""
    with _running(tmp_path_factory.mktemp("untrained"), sqlite_template) as service:
        open_shop(service, model=False)
        yield service


@contextmanager
def _running(folder: Path, template: Path) -> Iterator[Running]:
    shutil.copy(template, folder / "likewise.db")
    values = {
        "database_url": f"sqlite:///{folder}/likewise.db",
        "model_dir": folder / "models",
        "spool_dir": folder / "spool",
    }
    clock = Clock()
    app = create_app(Settings.model_validate(values), clock=clock)
    with TestClient(app) as client:
        yield Running(app, client, clock)
