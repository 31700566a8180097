"""What a database URL may be. Read here alone, so that what the settings let through can also be opened."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_POSTGRES_SCHEMES = {"postgresql", "postgres", "postgresql+psycopg"}
_FORM = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def parsed(database_url: str) -> URL:
    """`sqlite:///PATH`, or `postgresql://USER:PASSWORD@HOST:PORT/NAME` with psycopg as its driver.

    Where the host, the port or the name of PostgreSQL's database stand among the options, as `?host=/run/postgresql`
    does for a socket, they need not stand before.

    Raises: ValueError that says what to write instead, and repeats nothing, since a URL may hold a password.
    """
    if _UNPRINTABLE.search(database_url):
        raise ValueError("it holds control characters or bytes that are not UTF-8")
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ValueError(f"write {_FORM}; percent-encode what is special in a password") from None
    if url.drivername == "sqlite":
        return _sqlite(url)
    if url.drivername in _POSTGRES_SCHEMES:
        return _postgresql(url)
    raise ValueError(f"the store is SQLite or PostgreSQL: write {_FORM}")


def _sqlite(url: URL) -> URL:
    if url.database in (None, "", ":memory:") and not url.host:
        raise ValueError("an in-memory store would lose acknowledged interactions; name a file: sqlite:///PATH")
    path = str(url.database or "")
    if url.host or url.username or url.query or path.startswith("file:"):
        raise ValueError(
            "an embedded store is a file, without options: write sqlite:///relative/path.db or "
            "sqlite:////absolute/path.db"
        )
    if path.endswith("/"):
        raise ValueError("it names a folder; name a file in it: sqlite:///FOLDER/likewise.db")
    return url


def _postgresql(url: URL) -> URL:
    for name, value in url.query.items():
        if not isinstance(value, str) and name not in ("host", "port"):
            raise ValueError(f"the option {name} stands in it more than once")
    elsewhere = url.query.keys() & {"service"}
    if not (url.host or elsewhere or url.query.keys() & {"host", "hostaddr"}):
        raise ValueError(f"it names no host: write {_FORM}, or ?host=/run/postgresql for a socket")
    if not (url.database or elsewhere or "dbname" in url.query):
        raise ValueError(f"it names no database: write {_FORM}")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ValueError("its port is outside 1 to 65535")
    if re.search("[/@]", url.database or ""):
        # `p@ss/word` unencoded: what is left of it would be shown as the host and the database's name.
        raise ValueError("its password or name holds @ or /; percent-encode them as %40 and %2F")
    # A password among the options would be repeated wherever the URL is shown.
    hidden = url.query.get("password")
    if isinstance(hidden, str):
        url = url.difference_update_query(["password"]).set(password=hidden)
    return url.set(drivername="postgresql+psycopg")
