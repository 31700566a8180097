"""Blocking work with the store, away from the event loop and under a deadline of our own.

A database that is stopped but not gone (SIGSTOP, a hung disk) never answers, not even its own statement timeout. The
caller then gets 503 in time; the thread is given up and returns to its small pool whenever the database does.
Recommendations use no thread of this pool, nor of the framework's.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from app.db.engine import SchemaOutdated, StoreUnavailable
from app.state import AppState

T = TypeVar("T")

_THREADS = 8
_limiters: weakref.WeakKeyDictionary[object, anyio.CapacityLimiter] = weakref.WeakKeyDictionary()


async def from_store(call: Callable[[], T], *, deadline_seconds: float) -> T:
    """What `call` returns. Raises: what it raises, and StoreUnavailable when it takes longer than the deadline."""
    try:
        with anyio.fail_after(deadline_seconds):
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_limiter())
    except TimeoutError as error:
        raise StoreUnavailable(f"no answer from the store within {deadline_seconds:g} s") from error


def _limiter() -> anyio.CapacityLimiter:
    # One per event loop: a limiter cannot be shared between loops, and tests run many.
    loop = anyio.lowlevel.current_token()
    return _limiters.setdefault(loop, anyio.CapacityLimiter(_THREADS))


async def refreshed(state: AppState) -> None:
    """Let this worker see what was just committed.

    A store that goes away now must not make the answer a failure: the next refresh brings it.
    """
    with suppress(StoreUnavailable, SchemaOutdated, TimeoutError):
        await asyncio.wait_for(state.refresher.poll_now(), state.settings.store_timeout_seconds)
