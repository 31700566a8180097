"""Whether this process should get traffic: what `/readyz` looks at."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Literal

import structlog

from app.db import migrate
from app.db.engine import SchemaNewer, SchemaOutdated, Store, StoreUnavailable

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreChecks:
    """What a look at the store found."""

    store: Literal["ok", "away"]
    schema: Literal["ok", "outdated", "unknown"]


_AWAY = StoreChecks("away", "unknown")
# Read from the folder of migrations, which does not change while the process runs.
_head = cache(migrate.head)


class StoreProbe:
    """Looks at the store without ever making a caller wait longer than a short deadline.

    At most one look is under way, in a thread of its own, and all callers share it: while a hung database holds that
    thread, each of them gets "away" after the deadline, and no further thread is spent.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: Future[StoreChecks] | None = None

    async def look(self, *, seconds: float) -> StoreChecks:
        """What the store says within `seconds`."""
        if self._running is None or self._running.done():
            self._running = Future()
            threading.Thread(target=_look, args=(self._store, self._running), name="readiness", daemon=True).start()
        # asyncio.wait leaves the look alone at the deadline; wait_for would cancel it for everybody.
        done, _ = await asyncio.wait({asyncio.wrap_future(self._running)}, timeout=seconds)
        return done.pop().result() if done else _AWAY


def _look(store: Store, told: Future[StoreChecks]) -> None:
    found = _AWAY
    try:
        found = StoreChecks("ok", "ok" if migrate.current(store) == _head() else "outdated")
    except (SchemaOutdated, SchemaNewer):
        found = StoreChecks("ok", "outdated")
    except StoreUnavailable as error:
        _log.debug("store_away", reason=str(error))
    except Exception:  # whatever it is, the store cannot be used; the callers must not wait for a thread that is gone
        _log.exception("readiness_probe_failed")
    finally:
        told.set_result(found)
