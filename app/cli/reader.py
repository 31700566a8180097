"""The parts of the service that answer reads, put together in a command's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.cli.needs import check_model_dir
from app.cli.stores import store_of

if TYPE_CHECKING:
    from app.settings import Settings
    from app.state import AppState


@contextmanager
def reading(settings: Settings) -> Iterator[AppState]:
    """The service's state with everything read once: live model, history, catalogue. Nothing runs behind it.

    Raises: ConfigurationError, also for a model folder that cannot be read; SchemaOutdated; StoreUnavailable.
    """
    from app.db.migrate import ensure_schema
    from app.main import create_app

    check_model_dir(settings, written=False)
    store_of(settings).dispose()  # a clear line for a URL that cannot be opened
    state: AppState = create_app(settings).state.likewise
    try:
        ensure_schema(state.store, written=False)
        state.refresher.poll()
        yield state
    finally:
        state.store.dispose()
