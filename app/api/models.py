"""`/models`: the versions that trainings have published, and the one in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.operations import Answer, Operations
from app.api.pages import PageQuery, page_answer
from app.api.parameters import path_number, read_query
from app.api.store_calls import from_store
from app.clock import to_rfc3339
from app.db import models
from app.db.models import ModelRow
from app.errors import ApiError
from app.state import AppState, app_state

operations = Operations("models")


class ModelView(BaseModel):
    """A model version."""

    version: int = Field(description="Only grows.")
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    metrics: dict[str, Any] = Field(
        description="What its training reached on the newest rows, beside plain popularity."
    )
    config: dict[str, Any]
    watermark: dict[str, Any] = Field(description="Up to where in the log of interactions it was trained.")
    training_id: int
    users: int
    items: int
    rows: int = Field(description="How many interactions it was fitted on.")


class ModelPage(BaseModel):
    """A page of versions, newest first."""

    items: list[ModelView]
    next: str | None


_EXAMPLE = {
    "version": 3,
    "created_at": "2025-01-31T12:00:00Z",
    "metrics": {"ndcg@20": {"policy": 0.24, "popular_recent": 0.22, "popular_all_time": 0.16}},
    "config": {"loss": "softmax", "embedding_dim": 64},
    "watermark": {"last_id": 100000, "last_change_id": 12, "snapshot": None},
    "training_id": 7,
    "users": 943,
    "items": 1682,
    "rows": 100000,
}


@operations.get(
    "/models",
    scope="admin",
    summary="List model versions, newest first",
    query=PageQuery,
    answers={200: Answer("A page.", ModelPage, {"items": [_EXAMPLE], "next": None})},
)
async def page(request: Request) -> Response:
    """By version."""
    return await page_answer(
        app_state(request),
        "models",
        read_query(request, PageQuery),
        read=lambda connection, limit, after: models.page(connection, limit=limit, before=after[0] if after else None),
        position=lambda row: (row.version,),
        fields=1,
        view=_view,
    )


@operations.get(
    "/models/active",
    scope="admin",
    summary="The version in use",
    answers={200: Answer("The version.", ModelView, _EXAMPLE)},
    problems={404: ("no_model",)},
)
async def active(request: Request) -> Response:
    """What the store's pointer says; every replica follows it within LIKEWISE_REFRESH_SECONDS + 0.25 s."""
    state = app_state(request)

    def read() -> ModelRow | None:
        with state.store.read() as connection:
            return models.active(connection)

    return json_answer(await _found(state, read, code="no_model", detail="no model has been trained yet"))


@operations.get(
    "/models/{version:segment}",
    scope="admin",
    summary="One model version",
    path_parameters={"version": "The version's number."},
    path_examples={"version": "3"},
    answers={200: Answer("The version.", ModelView, _EXAMPLE)},
    problems={404: ("unknown_model",)},
)
async def get(request: Request) -> Response:
    """A version, whether or not its snapshot is still kept."""
    state = app_state(request)
    version = path_number(request, "version")

    def read() -> ModelRow | None:
        with state.store.read() as connection:
            return models.get(connection, version)

    return json_answer(await _found(state, read, code="unknown_model", detail="there is no model of this version"))


async def _found(state: AppState, read: Callable[[], ModelRow | None], *, code: str, detail: str) -> dict[str, Any]:
    row = await from_store(read, deadline_seconds=state.settings.store_timeout_seconds)
    if row is None:
        raise ApiError(404, code, detail)
    return _view(row)


def _view(row: ModelRow) -> dict[str, Any]:
    return {
        "version": row.version,
        "created_at": to_rfc3339(row.created_us),
        "metrics": row.metrics,
        "config": row.config,
        "watermark": row.watermark.to_json(),
        "training_id": row.training_id,
        "users": row.users,
        "items": row.items,
        "rows": row.rows,
    }
