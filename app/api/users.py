"""`/users/{user_id}`: what is known of one user."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.operations import Answer, Operations
from app.api.parameters import path_id
from app.api.store_calls import from_store
from app.clock import to_rfc3339
from app.db import users
from app.errors import unknown_user
from app.state import app_state

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


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
