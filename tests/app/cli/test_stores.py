from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from app.cli.exits import CommandFailed, exit_code
from app.cli.stores import opened_store, when_ready
from app.db.engine import SchemaForeign, SchemaOutdated, Store, StoreUnavailable, StoreUnusable
from app.errors import ConfigurationError
from app.settings import Settings

NOWHERE = "postgresql://likewise:open-sesame@127.0.0.1:9/likewise"


def test_a_store_that_never_comes_is_given_up_after_a_while() -> None:
    settings = Settings(database_url=NOWHERE, store_timeout_seconds=0.2)
    with pytest.raises(CommandFailed, match="did not answer within 0 s") as failed:
        when_ready(settings, Store.store_id, stop=threading.Event(), seconds=0.1)
    assert "open-sesame" not in str(failed.value)


def test_waiting_ends_when_the_process_is_told_to_stop() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    settings = Settings(database_url=NOWHERE, store_timeout_seconds=0.2)
    assert when_ready(settings, Store.store_id, stop=stop, seconds=60) is None
    assert time.monotonic() - started < 10


def test_an_embedded_store_is_ready_at_once(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/deep/likewise.db")
    found = when_ready(settings, Store.store_id, stop=threading.Event(), seconds=0)
    with opened_store(settings) as store:
        assert store.store_id() == found


@pytest.mark.parametrize("name", ["letter.db", "letter.db/s.db"])
def test_what_no_waiting_mends_is_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "letter.db").write_text("dear store, " * 100)
    settings = Settings(database_url=f"sqlite:///{tmp_path}/{name}")
    started = time.monotonic()
    with pytest.raises(StoreUnusable) as refused:
        when_ready(settings, Store.store_id, stop=threading.Event(), seconds=60)
    assert time.monotonic() - started < 10
    assert exit_code(refused.value) == 78


@pytest.mark.postgres
@pytest.mark.parametrize("replace", [("/test_", "/nonesuch_"), ("open-sesame", "sesame")])
def test_a_database_or_password_that_postgresql_does_not_know_is_not_waited_for(
    postgres_url: str, replace: tuple[str, str]
) -> None:
    settings = Settings(database_url=postgres_url.replace(*replace))
    started = time.monotonic()
    with pytest.raises(StoreUnusable):
        when_ready(settings, Store.store_id, stop=threading.Event(), seconds=60)
    assert time.monotonic() - started < 10


def test_an_option_that_postgresql_does_not_have_is_one_line_of_wrong_configuration() -> None:
    settings = Settings(database_url="postgresql://me:open-sesame@h/d?nonsense=1")
    with pytest.raises(ConfigurationError, match=r"^LIKEWISE_DATABASE_URL is wrong: [^\n]+$") as refused:
        when_ready(settings, Store.store_id, stop=threading.Event(), seconds=0)
    assert exit_code(refused.value) == 78
    assert "open-sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("x"), 1),
        (StoreUnavailable("x"), 1),
        (ConfigurationError("x"), 78),
        (SchemaOutdated("x"), 78),
        (SchemaForeign("x"), 78),
        (StoreUnusable("x"), 78),
        (ValueError("a defect of ours"), None),
    ],
)
def test_errors_meant_for_people_have_an_exit_code(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code
