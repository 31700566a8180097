"""`/trainings`: ask for one, follow it, stop it. The trainer, another process, carries them out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.body import read_body, validated
from app.api.operations import Answer, Body, Operations
from app.api.pages import PageQuery, page_answer
from app.api.parameters import path_number, read_query
from app.api.store_calls import from_store
from app.clock import to_rfc3339
from app.db import trainings
from app.db.trainings import TrainingActive, TrainingRow
from app.errors import ApiError
from app.state import AppState, app_state
from app.strict_json import decode_json
from app.training.config import TrainingConfig

operations = Operations("trainings")


_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


def _readable(note: str) -> str:
    # PostgreSQL's text holds no NUL, and a list of trainings is for people to read.
    if not re.fullmatch(_ONE_LINE, note):
        raise PydanticCustomError("text_control_character", "a note is one line of text without control characters")
    return note


_Note = Annotated[str, Field(max_length=500, json_schema_extra={"pattern": _ONE_LINE}), AfterValidator(_readable)]


def _no_tuning(value: bool) -> bool:
    if value:
        raise PydanticCustomError(
            "tune_not_offered", "this version does not tune the recipe; give the constants in config"
        )
    return value


class TrainingRequest(BaseModel):
    """What a training shall be like; everything may be left out."""

    model_config = ConfigDict(extra="forbid")

    config: TrainingConfig = Field(TrainingConfig(), description="Constants that differ from the service's recipe.")
    dry_run: StrictBool = Field(False, description="Fit and judge, but publish nothing.")
    force: StrictBool = Field(
        False, description="Train with 4 interactions or more; otherwise fewer than 100 are too few, and it is skipped."
    )
    tune: Annotated[StrictBool, AfterValidator(_no_tuning)] = Field(
        False, description="Only false: tuning is not offered yet."
    )
    note: _Note | None = Field(None, description="For people, one line of text; comes back with the training.")


class Progress(BaseModel):
    """How far a training is; null what is not known."""

    phase: str | None
    epoch: int | None
    epochs: int | None
    loss: float | None
    eta_seconds: float | None


class TrainingView(BaseModel):
    """A training, from its request to its end."""

    id: int
    status: Literal["queued", "running", "succeeded", "rejected", "skipped", "failed", "cancelled"]
    trigger: str = Field(
        description="What asked for it: `api`, `cli`, `rows` (enough new ones), `interval`, `retry` (one that was cut "
        "short is made up for) or `lost` (the model in use is missing from the model folder)."
    )
    progress: Progress
    metrics: dict[str, Any] | None = Field(
        description="What the model reached on the newest rows, beside plain popularity."
    )
    model_version: int | None
    gate: dict[str, Any] | None
    reason: str | None = Field(description="Why it ended as it did, in words.")
    error: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    started_at: str | None = Field(json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(json_schema_extra={"format": "date-time"})
    config: dict[str, Any] = Field(description="Constants that differ from the service's recipe.")
    note: str | None


class TrainingPage(BaseModel):
    """A page of trainings, newest first."""

    items: list[TrainingView]
    next: str | None


_EXAMPLE = {
    "id": 7,
    "status": "running",
    "trigger": "api",
    "progress": {"phase": "refit", "epoch": 4, "epochs": 10, "loss": 0.31, "eta_seconds": 2.5},
    "metrics": None,
    "model_version": None,
    "gate": None,
    "reason": None,
    "error": None,
    "created_at": "2025-01-31T12:00:00Z",
    "started_at": "2025-01-31T12:00:01Z",
    "finished_at": None,
    "config": {},
    "note": None,
}
_PATH = {"training_id": "The training's number."}
_PATH_EXAMPLE = {"training_id": "7"}


@operations.post(
    "/trainings",
    scope="admin",
    summary="Queue a training",
    description="One at a time. The trainer takes it within a second; follow it under the address in `Location`.",
    body=Body(
        TrainingRequest,
        {"the recipe as it is": {}, "other constants": {"config": {"embedding_dim": 64}, "note": "wider"}},
    ),
    answers={202: Answer("Queued.", TrainingView, _EXAMPLE | {"status": "queued"})},
    problems={409: ("training_active",), 413: ("body_too_large",), 415: ("unsupported_media_type",)},
)
async def queue(request: Request) -> Response:
    """Check the constants, then leave a row for the trainer."""
    state = app_state(request)
    body = await read_body(request)
    asked = validated(TrainingRequest, decode_json(body) if body.strip() else {})

    def write() -> TrainingRow | None:
        with state.store.write() as connection:
            training_id = trainings.queue(
                connection,
                "api",
                asked.config.model_dump(exclude_unset=True),
                now_us=state.clock(),
                note=asked.note,
                force=asked.force,
                dry_run=asked.dry_run,
            )
            return trainings.get(connection, training_id)

    try:
        row = await _from_store(state, write)
    except TrainingActive as error:
        detail = f"training {error.training_id} is queued or running; wait for it or cancel it"
        raise ApiError(409, "training_active", detail, extra={"training_id": error.training_id}) from None
    return json_answer(_view(row), 202, headers={"Location": f"/trainings/{row.id}"})


@operations.get(
    "/trainings",
    scope="admin",
    summary="List trainings, newest first",
    query=PageQuery,
    answers={200: Answer("A page.", TrainingPage, {"items": [_EXAMPLE], "next": None})},
)
async def page(request: Request) -> Response:
    """By number."""
    return await page_answer(
        app_state(request),
        "trainings",
        read_query(request, PageQuery),
        read=lambda connection, limit, after: trainings.page(
            connection, limit=limit, before_id=after[0] if after else None
        ),
        position=lambda row: (row.id,),
        fields=1,
        view=_view,
    )


@operations.get(
    "/trainings/{training_id:segment}",
    scope="admin",
    summary="One training",
    path_parameters=_PATH,
    path_examples=_PATH_EXAMPLE,
    answers={200: Answer("The training.", TrainingView, _EXAMPLE)},
    problems={404: ("unknown_training",)},
)
async def get(request: Request) -> Response:
    """As the store has it; progress is at most a heartbeat old."""
    state = app_state(request)
    training_id = path_number(request, "training_id")
    return json_answer(_view(await _from_store(state, lambda: _read(state, training_id))))


@operations.post(
    "/trainings/{training_id:segment}/cancel",
    scope="admin",
    summary="Stop a training",
    description="A queued one ends at once, a running one within about two seconds. The model in use stays.",
    path_parameters=_PATH,
    path_examples=_PATH_EXAMPLE,
    answers={202: Answer("It will stop.", TrainingView, _EXAMPLE)},
    problems={404: ("unknown_training",), 409: ("training_finished",)},
)
async def cancel(request: Request) -> Response:
    """Leave the request in the row; the trainer's heartbeat finds it there."""
    state = app_state(request)
    training_id = path_number(request, "training_id")

    def write() -> TrainingRow | None:
        with state.store.write() as connection:
            if trainings.request_cancel(connection, training_id, now_us=state.clock()) is False:
                raise ApiError(409, "training_finished", f"training {training_id} is over; nothing was changed")
            return trainings.get(connection, training_id)

    return json_answer(_view(await _from_store(state, write)), 202)


def _read(state: AppState, training_id: int) -> TrainingRow | None:
    with state.store.read() as connection:
        return trainings.get(connection, training_id)


async def _from_store(state: AppState, call: Callable[[], TrainingRow | None]) -> TrainingRow:
    row = await from_store(call, deadline_seconds=state.settings.store_timeout_seconds)
    if row is None:
        raise ApiError(404, "unknown_training", "there is no training of this number")
    return row


def _view(row: TrainingRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "trigger": row.trigger,
        "progress": {
            "phase": row.phase,
            "epoch": row.epoch,
            "epochs": row.epochs,
            "loss": row.loss,
            "eta_seconds": row.eta_seconds,
        },
        "metrics": row.metrics,
        "model_version": row.model_version,
        "gate": row.gate,
        "reason": row.reason,
        "error": row.error,
        "created_at": to_rfc3339(row.created_us),
        "started_at": _time(row.started_us),
        "finished_at": _time(row.finished_us),
        "config": row.config,
        "note": row.note,
    }


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
