"""The only place where the parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api import (
    docs,
    interactions,
    items,
    metrics,
    models,
    openapi,
    predictions,
    recommendations,
    service,
    trainings,
    users,
)
from app.api.context import RequestContext
from app.api.operations import Operation
from app.api.routing import Dispatcher
from app.clock import DAY_US, Clock, now_us
from app.db.append import Appended
from app.db.engine import StoreUnavailable, open_store
from app.db.migrate import ensure_schema
from app.db.writer import InteractionWriter
from app.live.history import History
from app.live.live_model import LiveModel
from app.live.refresher import Refresher
from app.live.seen import SeenRule
from app.metrics import Metrics
from app.rate_limit import RateLimiter
from app.readiness import StoreProbe
from app.recommend import Recommender, SharedRanking
from app.security import KeyRing
from app.settings import HIDE, Settings
from app.snapshots import SnapshotStore
from app.state import AppState
from app.threads import pause
from app.uploads import BulkUploads
from app.version import VERSION

_log = structlog.get_logger(__name__)

_DEFAULT_HALF_LIFE_DAYS = 30.0
_DRAIN_SECONDS = 20.0
_REPEATS = {"auto": None, "include": True, "exclude": False}


class Service(FastAPI):
    """FastAPI's shell around our own operations: the lifespan is its, requests go straight to them.

    Its document is the one made from the operations.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any request, and the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.state.entry(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """OpenAPI 3.1."""
        document: dict[str, Any] = self.state.openapi
        return document


def operations() -> list[Operation]:
    """Everything that the service can be asked."""
    nouns = (interactions, items, users, recommendations, predictions, trainings, models, service, metrics, docs)
    return [operation for noun in nouns for operation in noun.operations]


def create_app(
    settings: Settings, *, loopback: bool = True, clock: Clock = now_us, counted: Metrics | None = None
) -> Service:
    """The application; its parts start with its lifespan and stop with it.

    Args:
        loopback: whether it is served on an address that only this machine reaches: callers without a key are then let
            in while there is no key.
        counted: what counts its requests; by default it has counts of its own.
    """
    state = _state(settings, loopback=loopback, clock=clock, counted=counted or Metrics())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(_start, state)
        try:
            yield
        finally:
            await asyncio.to_thread(_stop, state)

    app = Service(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    declared = operations()
    app.state.likewise = state
    app.state.openapi = openapi.document(declared, version=VERSION)
    app.state.entry = RequestContext(
        Dispatcher(declared), closing=lambda: state.shutting_down, count=state.metrics.request
    )
    return app


def _state(settings: Settings, *, loopback: bool, clock: Clock, counted: Metrics) -> AppState:
    store = open_store(settings.database_url, deadline_seconds=settings.store_timeout_seconds)
    snapshots = SnapshotStore(settings.model_dir, pause=pause)
    history = History(
        _seen_rule(settings),
        popularity_half_life_us=(settings.half_life_days or _DEFAULT_HALF_LIFE_DAYS) * DAY_US,
        folder=settings.spool_dir,
    )
    live = LiveModel()
    keyring = KeyRing(anonymous=loopback or settings.allow_anonymous, any_host=settings.allow_anonymous)
    refresher = Refresher(
        store,
        snapshots,
        history,
        live,
        refresh_seconds=settings.refresh_seconds,
        on_keys=keyring.replace,
        on_refused=counted.snapshot_refused,
    )

    def committed(appended: Appended) -> None:
        history.apply(appended)
        counted.stored(accepted=appended.accepted, duplicates=appended.duplicates)

    writer = InteractionWriter(store, on_commit=committed)
    recommender = Recommender(history, live, clock=clock, repeats_included=_REPEATS[settings.repeats])
    return AppState(
        settings=settings,
        clock=clock,
        store=store,
        snapshots=snapshots,
        writer=writer,
        uploads=BulkUploads(settings),
        history=history,
        live=live,
        refresher=refresher,
        keyring=keyring,
        rate_limiter=RateLimiter(settings.rate_limit_per_second),
        probe=StoreProbe(store),
        recommender=recommender,
        sharing=SharedRanking(recommender),
        metrics=counted,
    )


def _seen_rule(settings: Settings) -> SeenRule:
    types = settings.seen_event_types
    return SeenRule(
        event_types=None if types is None else frozenset(types),
        days=settings.seen_days,
        hidden_types=frozenset(name for name, weight in settings.event_weights.items() if weight == HIDE),
    )


def _start(state: AppState) -> None:
    try:
        ensure_schema(state.store)
    except StoreUnavailable as error:
        # Lists go on from memory while the store is away, so a worker that is restarted meanwhile must come up too.
        _log.warning("store_away_at_start", reason=str(error))
    state.writer.start()
    state.refresher.start()


def _stop(state: AppState) -> None:
    state.sharing.close()
    state.writer.stop(_DRAIN_SECONDS)
    state.refresher.stop()
    state.store.dispose()
