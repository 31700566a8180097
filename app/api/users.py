"""`/users/{user_id}`: what is known of one user."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.body import read_body, validated
from app.api.operations import Answer, Body, Operations
from app.api.parameters import path_id
from app.api.store_calls import from_store, refreshed
from app.clock import to_rfc3339
from app.db import erasure, models, users
from app.db.erasure import Erased
from app.errors import invalid_at, unknown_user
from app.ids import ExternalId
from app.state import app_state
from app.strict_json import decode_json

operations = Operations("users")


class UserProfile(BaseModel):
    """How much is known of a user."""

    user_id: str
    interactions: int = Field(description="How many interactions are stored.")
    items: int = Field(description="With how many different items.")
    first_interaction: str | None = Field(json_schema_extra={"format": "date-time"})
    last_interaction: str | None = Field(json_schema_extra={"format": "date-time"})
    known_to_model: bool = Field(description="Whether the model in use was trained with this user.")


@operations.get(
    "/users/{user_id:segment}",
    scope="read",
    summary="What is known of a user",
    path_parameters={"user_id": "The user's id, percent-encoded once."},
    path_examples={"user_id": "ada"},
    answers={
        200: Answer(
            "Counts and times.",
            UserProfile,
            {
                "user_id": "ada",
                "interactions": 12,
                "items": 9,
                "first_interaction": "2025-01-03T08:00:00Z",
                "last_interaction": "2025-01-31T12:00:00Z",
                "known_to_model": True,
            },
        )
    },
    problems={404: ("unknown_user",)},
)
async def profile(request: Request) -> Response:
    """Counts from the store, and whether the model in memory has a row for the user."""
    state = app_state(request)
    user_id = path_id(request, "user_id")

    def read() -> dict[str, Any] | None:
        with state.store.read() as connection:
            return users.profile(connection, user_id)

    found = await from_store(read, deadline_seconds=state.settings.store_timeout_seconds)
    if found is None:
        raise unknown_user()
    model = state.live.current()
    return json_answer(
        {
            "user_id": user_id,
            "interactions": found["interactions"],
            "items": found["items"],
            "first_interaction": _time(found["first_us"]),
            "last_interaction": _time(found["last_us"]),
            "known_to_model": model is not None and model.served.user_number(found["user_key"]) is not None,
        }
    )


class Receipt(BaseModel):
    """What an erasure took away, and what it could only mask."""

    user_id: str
    interactions_deleted: int
    models_trained_on_user: list[int] = Field(
        description="Versions whose files still hold a vector of the user's old key, which nothing leads to any more."
    )
    erased_at: str = Field(json_schema_extra={"format": "date-time"})


@operations.delete(
    "/users/{user_id:segment}",
    scope="admin",
    summary="Erase a user",
    description="Interactions, id and key are gone from the store, history and vector from the memory of this worker, "
    "in the call; other replicas follow within LIKEWISE_REFRESH_SECONDS + 0.25 s, and a training that runs leaves the "
    "user out of what it publishes. Who comes back under the same id starts afresh.",
    path_parameters={"user_id": "The user's id, percent-encoded once."},
    path_examples={"user_id": "ada"},
    answers={
        200: Answer(
            "Erased; zero and [] for a user who was not known.",
            Receipt,
            {
                "user_id": "ada",
                "interactions_deleted": 12,
                "models_trained_on_user": [6, 7],
                "erased_at": "2025-01-31T12:00:00Z",
            },
        )
    },
)
async def erase(request: Request) -> Response:
    """One transaction; then this worker's memory, whether or not the store can be asked again."""
    state = app_state(request)
    user_id = path_id(request, "user_id")
    now_us = state.clock()

    def gone() -> tuple[Erased | None, list[int]]:
        with state.store.write() as connection:
            erased = erasure.erase(connection, user_id, now_us=now_us)
            # While nothing can be published: no version is left out.
            folders = [] if erased is None else state.snapshots.models_with_user(erased.user_key)
            return erased, models.versions_of(connection, folders)

    erased, versions = await from_store(gone, deadline_seconds=state.settings.store_timeout_seconds)
    if erased is not None:
        state.history.erase(erased.user_key)
        state.recommender.forget_user(erased.user_key)
        await refreshed(state)
    return json_answer(
        {
            "user_id": user_id,
            "interactions_deleted": 0 if erased is None else erased.interactions,
            "models_trained_on_user": versions,
            "erased_at": to_rfc3339(now_us),
        }
    )


class MergeBody(BaseModel):
    """Whose the interactions are from now on."""

    model_config = ConfigDict(extra="forbid")

    into: ExternalId = Field(description="The user who gets them; need not be known yet.")


class MergeAnswer(BaseModel):
    """What was moved."""

    user_id: str
    into: str
    interactions_moved: int


@operations.post(
    "/users/{user_id:segment}/merge",
    scope="admin",
    summary="Give a user's interactions to another",
    description="For a visitor who logs in: what they did before becomes part of the user's history. This worker's "
    "lists follow at once, other replicas within LIKEWISE_REFRESH_SECONDS + 0.25 s. A user nothing is known of has "
    "nothing to give.",
    path_parameters={"user_id": "The id of the user who had them, percent-encoded once."},
    path_examples={"user_id": "visitor-81"},
    body=Body(MergeBody, {"a visitor logs in": {"into": "ada"}}),
    answers={200: Answer("Merged.", MergeAnswer, {"user_id": "visitor-81", "into": "ada", "interactions_moved": 3})},
    problems={413: ("body_too_large",), 415: ("unsupported_media_type",)},
)
async def merge(request: Request) -> Response:
    """One transaction; then this worker reads both users anew before the answer is out."""
    state = app_state(request)
    user_id = path_id(request, "user_id")
    into = validated(MergeBody, decode_json(await read_body(request))).into
    if into == user_id:
        raise invalid_at("/into", "same_user", "a user cannot be merged into itself")

    def move() -> int:
        with state.store.write() as connection:
            return users.merge(connection, user_id, into=into, now_us=state.clock())

    moved = await from_store(move, deadline_seconds=state.settings.store_timeout_seconds)
    await refreshed(state)
    return json_answer({"user_id": user_id, "into": into, "interactions_moved": moved})


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
