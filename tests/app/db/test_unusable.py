"""Stores that no waiting mends."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.db import migrate
from app.db.engine import Store, StoreUnusable, open_store


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url, deadline_seconds=5.0)
    try:
        yield store
    finally:
        store.dispose()


def test_a_file_that_is_no_database_is_named_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("dear store, " * 100)
    with (
        opened(f"sqlite:///{path}") as store,
        pytest.raises(StoreUnusable, match=r"letter\.db is not a database; name"),
    ):
        store.store_id()
    assert path.read_text().startswith("dear store")


@pytest.mark.parametrize("name", ["file/s.db", "folder", "pipe"])
def test_a_file_that_cannot_be_made_or_opened_is_named_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreUnusable, match=rf"{name} cannot be opened: [^;]+; name a file"):
        open_store(f"sqlite:///{tmp_path}/{name}")


def test_a_folder_in_which_no_journal_can_be_made_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be one whom no permission stops.
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == tmp_path and mode & os.W_OK))
    with pytest.raises(StoreUnusable, match="its folder cannot be written"):
        open_store(f"sqlite:///{tmp_path}/s.db")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("replace", "said"),
    [
        (("/test_", "/nonesuch_"), r'database "nonesuch_\w+" does not exist; create the database'),
        (("open-sesame", "sesame"), "password authentication failed .*; correct the user"),
        (("likewise:open", "nobody:open"), "password authentication failed .*; correct the user"),
        ((":open-sesame@", "@"), "no password supplied; correct the user"),
    ],
    ids=["database", "password", "role", "no password"],
)
def test_what_a_server_refuses_for_good_is_one_line_with_what_to_do(
    postgres_url: str, replace: tuple[str, str], said: str
) -> None:
    url = postgres_url.replace(*replace)
    assert url != postgres_url
    line = rf"^postgresql://127\.0\.0\.1:\d+/\w+ cannot be used: {said}"
    with opened(url) as store, pytest.raises(StoreUnusable, match=line) as refused:
        migrate.current(store)
    assert "\n" not in str(refused.value)
    assert "sesame" not in str(refused.value)


@pytest.mark.postgres
def test_a_user_who_may_not_make_tables_is_told_so(postgres_url: str) -> None:
    owner = open_store(postgres_url)
    role = f"poor_{uuid.uuid4().hex}"
    try:
        with owner.write() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'open-sesame'")
        poor = open_store(postgres_url.replace("likewise:", f"{role}:"))
        with pytest.raises(StoreUnusable, match="permission denied for schema public; let its user own the database"):
            migrate.upgrade(poor)
        poor.dispose()
    finally:
        with owner.write() as connection:
            connection.exec_driver_sql(f"DROP ROLE {role}")
        owner.dispose()
