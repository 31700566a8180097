"""What nearly every command starts with: the settings, and the store opened, migrated if embedded, and closed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from app.cli.exits import CommandFailed

if TYPE_CHECKING:
    from app.db.engine import Store
    from app.settings import Settings

_Found = TypeVar("_Found")

START_UP_SECONDS = 60.0
_RETRY_SECONDS = 0.5


def read_settings(*, service: bool = False) -> Settings:
    """The settings of this process; logs go to stderr from here on.

    Args:
        service: log what the settings say; other commands log warnings only, unless LIKEWISE_LOG_LEVEL says otherwise.
    Raises: ConfigurationError.
    """
    from app.logs import configure_logs
    from app.settings import load_settings

    settings = load_settings()
    quiet = not service and "log_level" not in settings.model_fields_set
    configure_logs(settings.model_copy(update={"log_level": "warning"}) if quiet else settings)
    return settings


def store_of(settings: Settings) -> Store:
    """The store that the settings name, not yet connected.

    Raises: ConfigurationError for a URL that the settings let through and the store cannot open; StoreUnusable where
        an embedded store's file cannot be made or opened.
    """
    from app.db.engine import open_store
    from app.errors import ConfigurationError

    try:
        return open_store(settings.database_url, deadline_seconds=settings.store_timeout_seconds)
    except ValueError as error:
        raise ConfigurationError(f"LIKEWISE_DATABASE_URL is wrong: {error}") from None


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The store, ready for work; an embedded one is made and migrated first.

    Raises: ConfigurationError for a URL that cannot be opened; SchemaOutdated if PostgreSQL waits for
        `likewise db upgrade` or the tables are not ours; StoreUnusable if no waiting helps; StoreUnavailable if it does
        not answer.
    """
    from app.db.migrate import ensure_schema

    store = store_of(settings)
    try:
        ensure_schema(store)
        yield store
    finally:
        store.dispose()


def when_ready(
    settings: Settings, look: Callable[[Store], _Found], *, stop: threading.Event, seconds: float = START_UP_SECONDS
) -> _Found | None:
    """Wait until the store answers and has the right schema: services start together, the database often last.

    Args:
        look: what is asked of the store then.
    Returns: what `look` found; None once `stop` is set.
    Raises: CommandFailed if the store does not answer within `seconds`; at once, since waiting would not help:
        ConfigurationError, SchemaOutdated, StoreUnusable.
    """
    from app.db.engine import StoreUnavailable, StoreUnusable

    deadline = time.monotonic() + seconds
    announced = False
    while not stop.is_set():
        try:
            with opened_store(settings) as store:
                return look(store)
        except StoreUnusable:
            raise
        except StoreUnavailable as error:
            if time.monotonic() >= deadline:
                raise CommandFailed(f"the store did not answer within {seconds:.0f} s: {error}") from error
            if not announced:
                _say_waiting(seconds)
                announced = True
        stop.wait(_RETRY_SECONDS)
    return None


def _say_waiting(seconds: float) -> None:
    from app.cli.output import console

    console(stderr=True).print(f"The store does not answer yet; waiting up to {seconds:.0f} s.")
