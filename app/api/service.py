"""`/healthz`, `/readyz`, `/stats`: how the service itself is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.operations import Answer, Operations
from app.api.store_calls import from_store
from app.clock import MICROSECONDS, to_rfc3339
from app.db import interactions, items, models, trainings, users
from app.db.models import ModelRow
from app.errors import ApiError
from app.readiness import StoreChecks
from app.state import AppState, app_state

operations = Operations("service")

# Short, since load balancers ask every few seconds and read a late answer as none.
_PROBE_SECONDS = 1.0


class Health(BaseModel):
    """The process runs."""

    status: str


class Readiness(BaseModel):
    """Whether to send traffic here."""

    status: str = Field(description="ok, or degraded: lists are served from memory while the store is away.")
    model: int | str = Field(description="The version in use, or none.")
    checks: dict[str, str]


class LastTraining(BaseModel):
    """The training that ended last."""

    id: int
    status: str
    finished_at: str | None
    reason: str | None


class ActiveVersion(BaseModel):
    """The model in this process's memory."""

    version: int
    created_at: str
    age_seconds: float


class EventTypeCounted(BaseModel):
    """What an event of one type counted for in the training."""

    events: int
    weight: float | Literal["hide"]
    value_cap: float | None = Field(description="The largest value that counted: the type's 99th percentile.")


class LearntFrom(BaseModel):
    """What the model in use has learnt from."""

    rows: int = Field(description="Events that spoke for an item.")
    pairs: int = Field(description="Of so many different users and items.")
    left_out: dict[str, int] = Field(description="How many events were left out, by reason.")
    event_types: dict[str, EventTypeCounted] = Field(description="The 100 most frequent ones.")
    half_life_days: float | None = Field(description="Of recent popularity; null counts all alike.")
    history_half_life_days: float | None = Field(description="Of a user's own items; null counts all alike.")


class FeedState(BaseModel):
    """How this process follows the store."""

    rows_after_base: int = Field(description="Rows in memory that came after the newest training's history.")
    last_id: int = Field(description="The highest interaction id that the feed has brought.")
    problem: str | None = Field(description="Why the feed is behind; null while all is well.")


class Stats(BaseModel):
    """Sizes and states."""

    users: int
    items: int
    interactions: int
    last_training: LastTraining | None
    model: ActiveVersion | None
    learnt_from: LearntFrom | None = Field(description="null before the first model, and of one that did not say.")
    feed: FeedState


@operations.get(
    "/healthz",
    scope="open",
    summary="Whether the process runs",
    description="Touches nothing: for liveness probes.",
    answers={200: Answer("It runs.", Health, {"status": "ok"})},
)
async def healthz(request: Request) -> Response:  # noqa: ARG001 - the handler's signature
    """200 as long as the event loop turns."""
    return json_answer({"status": "ok"})


@operations.get(
    "/readyz",
    scope="open",
    summary="Whether to send traffic here",
    description="503 without store and model, with an outdated schema, and during shutdown.",
    answers={200: Answer("Ready.", Readiness, {"status": "ok", "model": 7, "checks": {"store": "ok", "schema": "ok"}})},
    problems={503: ("store_unavailable", "schema_outdated", "shutting_down")},
)
async def readyz(request: Request) -> Response:
    """ok, degraded, or a 503 problem that carries the same checks."""
    state = app_state(request)
    model = state.live.current()
    version: int | str = "none" if model is None else model.version
    if state.shutting_down:
        raise _not_ready("shutting_down", "the service is shutting down", version=version, checks={})
    found = await state.probe.look(seconds=_PROBE_SECONDS)
    status = _status(found, version=version)
    return json_answer({"status": status, "model": version, "checks": _checks(found)})


def _status(found: StoreChecks, *, version: int | str) -> str:
    if found.schema == "outdated":
        detail = "the store's schema is not the one this version needs; run `likewise db upgrade`"
        raise _not_ready("schema_outdated", detail, version=version, checks=_checks(found))
    if found.store == "ok":
        return "ok"
    if version == "none":
        detail = "the store does not answer and there is no model in memory"
        raise _not_ready("store_unavailable", detail, version=version, checks=_checks(found))
    return "degraded"


def _checks(found: StoreChecks) -> dict[str, str]:
    return {"store": found.store, "schema": found.schema}


def _not_ready(code: str, detail: str, *, version: int | str, checks: dict[str, str]) -> ApiError:
    return ApiError(503, code, detail, headers={"Retry-After": "1"}, extra={"model": version, "checks": checks})


@operations.get(
    "/stats",
    scope="read",
    summary="Sizes and states",
    answers={
        200: Answer(
            "Counted in the store now.",
            Stats,
            {
                "users": 943,
                "items": 1682,
                "interactions": 100000,
                "last_training": {
                    "id": 3,
                    "status": "succeeded",
                    "finished_at": "2025-01-31T12:00:00Z",
                    "reason": None,
                },
                "model": {"version": 3, "created_at": "2025-01-31T12:00:00Z", "age_seconds": 42.5},
                "learnt_from": {
                    "rows": 98400,
                    "pairs": 91230,
                    "left_out": {
                        "hiding_events": 310,
                        "hidden_by_them": 120,
                        "repeated_within_60_seconds": 1170,
                        "of_users_far_beyond_others": 0,
                    },
                    "event_types": {
                        "click": {"events": 90000, "weight": 1.0, "value_cap": None},
                        "purchase": {"events": 9690, "weight": 4.0, "value_cap": 12.0},
                        "dislike": {"events": 310, "weight": "hide", "value_cap": None},
                    },
                    "half_life_days": 30.0,
                    "history_half_life_days": None,
                },
                "feed": {"rows_after_base": 17, "last_id": 100017, "problem": None},
            },
        )
    },
)
async def stats(request: Request) -> Response:
    """Counts from the store; 503 while it is away, since old numbers would look like new ones."""
    state = app_state(request)
    stored = await from_store(lambda: _stored(state), deadline_seconds=state.settings.store_timeout_seconds)
    model = state.live.current()
    return json_answer(
        {
            **stored,
            "model": None
            if model is None
            else {
                "version": model.version,
                "created_at": to_rfc3339(model.created_us),
                "age_seconds": max(0, state.clock() - model.created_us) / MICROSECONDS,
            },
            "feed": {
                "rows_after_base": state.history.held.since_base(),
                "last_id": state.history.watermark.last_id,
                "problem": state.refresher.problem,
            },
        }
    )


def _learnt_from(active: ModelRow | None) -> dict[str, Any] | None:
    if active is None or "event_types" not in active.metrics:
        return None
    metrics = active.metrics
    policy = metrics["policy"]
    return {name: metrics[name] for name in ("rows", "pairs", "left_out", "event_types")} | {
        "half_life_days": policy["half_life_days"],
        "history_half_life_days": policy["fold_in"]["half_life_days"],
    }


def _stored(state: AppState) -> dict[str, Any]:
    with state.store.read() as connection:
        last = trainings.last_finished(connection)
        return {
            "users": users.count(connection),
            "items": items.count(connection),
            "interactions": interactions.count(connection),
            "learnt_from": _learnt_from(models.active(connection)),
            "last_training": None
            if last is None
            else {
                "id": last.id,
                "status": last.status,
                "finished_at": None if last.finished_us is None else to_rfc3339(last.finished_us),
                "reason": last.reason,
            },
        }
