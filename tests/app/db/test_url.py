from __future__ import annotations

import pytest

from app.db.url import parsed


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///relative/path.db",
        "sqlite:////absolute/path.db",
        "postgresql://me:open%2Fsesame@host:5432/db",
        "postgres://me@host/db",
        "postgresql+psycopg://me@[::1]/db?sslmode=require",
        "postgresql:///db?host=/run/postgresql",
        "postgresql://me@/db?host=a:5432&host=b:5433",
        "postgresql://host?dbname=db",
        "postgresql:///?service=likewise",
    ],
)
def test_what_a_store_can_be_opened_from_is_taken(url: str) -> None:
    assert parsed(url).drivername in ("sqlite", "postgresql+psycopg")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "write sqlite:///PATH or postgresql://"),
        ("sesame", "write sqlite:///PATH or postgresql://"),
        ("mysql://me:sesame@host/db", "SQLite or PostgreSQL"),
        ("postgresql+asyncpg://me:sesame@host/db", "SQLite or PostgreSQL"),
        ("sqlite+aiosqlite:///sesame", "SQLite or PostgreSQL"),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("sqlite:///sesame?mode=memory", "is a file"),
        ("sqlite:///file:sesame", "is a file"),
        ("sqlite://sesame/x.db", "is a file"),
        ("sqlite:///sesame/", "names a folder"),
        ("sqlite:///a\x00sesame", "control characters"),
        ("sqlite:///\udcffsesame", "not UTF-8"),
        ("postgresql:///sesame", "names no host"),
        ("postgresql://sesame", "names no database"),
        ("postgresql://me:sesame@host:port/db", "percent-encode"),
        ("postgresql://me:open@sesame/x@host/db", "%40 and %2F"),
        ("postgresql://me:sesame@host:0/db", "outside 1 to 65535"),
        ("postgresql://me:sesame@host:65536/db", "outside 1 to 65535"),
        ("postgresql://me@host/db?password=sesame&password=a", "more than once"),
    ],
)
def test_anything_else_is_told_what_to_write_and_not_repeated(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
        parsed(url)
    assert said in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_a_password_among_the_options_is_moved_to_where_it_is_hidden() -> None:
    url = parsed("postgresql://me@host/db?password=sesame")
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg://me:sesame@host/db"
    assert "sesame" not in repr(url)
