"""Lists, answered from memory: of a user, of a session, of many users, like an item, for everybody."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeVar

from msgspec import json
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.body import read_body, validated
from app.api.lists import (
    LIST_EXAMPLE,
    ItemList,
    ListBody,
    ListQuery,
    PersonalQuery,
    list_answer,
    list_document,
)
from app.api.operations import Answer, Body, Operations
from app.api.parameters import path_id, read_query
from app.clock import MICROSECONDS, to_rfc3339
from app.errors import unknown_item, unknown_user
from app.ids import ExternalId
from app.interaction_rows import EventType, EventValue
from app.recommend import Ranked, SessionEvent, UnknownItemError, UnknownUserError
from app.state import app_state
from app.strict_json import decode_json

B = TypeVar("B", bound=ListBody)

operations = Operations("recommendations")

MAX_USERS = 1_000
MAX_SESSION = 1_000
# A body of so many bytes is read and answered in about a millisecond; the largest takes a tenth of a second.
_QUICK_BYTES = 8 * 1024
_OF_USER = "The user's id, percent-encoded once."
_BODY_PROBLEMS = {413: ("body_too_large",), 415: ("unsupported_media_type",)}


class PersonalBody(ListBody):
    """What a user's list can be asked for in a body."""

    strict: Annotated[bool, Field(strict=True)] = Field(
        False, description="Answer 404 for a user nothing is known of, instead of what is popular."
    )


class SessionRow(BaseModel):
    """Something that a visitor did; only the item is needed."""

    model_config = ConfigDict(extra="forbid")

    item_id: ExternalId
    event_type: EventType = "interaction"
    value: EventValue = 1.0


class SessionBody(ListBody):
    """A session of somebody who has no id, or should not be known by it."""

    interactions: Annotated[list[SessionRow], Field(min_length=1, max_length=MAX_SESSION)]


class BatchBody(ListBody):
    """Lists for many users at once."""

    user_ids: Annotated[list[ExternalId], Field(min_length=1, max_length=MAX_USERS)]


class BatchAnswer(BaseModel):
    """A list for each user, in the order asked; all of one version."""

    model_version: int | None
    results: list[ItemList]


class FilterCount(BaseModel):
    """What a filter left."""

    name: str = Field(description="`unavailable`, `seen` or `disliked`, `exclude_item`, `category`, in this order.")
    before: int
    after: int


class DiagnosisAnswer(BaseModel):
    """Why a user gets the list that they get."""

    user_id: str
    source: str = Field(description="As the list's.")
    reason: str = Field(description="A stable word for what `sentence` says.")
    sentence: str
    interactions_used: int = Field(description="How many of the user's interactions shaped the list.")
    candidates: int = Field(description="How many items there are to choose from before the filters.")
    filters: list[FilterCount]
    model_version: int | None
    model_age_seconds: float | None


_DIAGNOSIS_EXAMPLE = {
    "user_id": "ada",
    "source": "fold_in",
    "reason": "later_interactions",
    "sentence": "The list is made of 12 interactions of this user, some of which came after the training. 1640 of 1682 "
    "items are left to choose from.",
    "interactions_used": 12,
    "candidates": 1682,
    "filters": [
        {"name": "unavailable", "before": 1682, "after": 1650},
        {"name": "seen", "before": 1650, "after": 1640},
    ],
    "model_version": 3,
    "model_age_seconds": 42.5,
}


@operations.get(
    "/users/{user_id:segment}/recommendations",
    scope="read",
    summary="A user's list",
    description="Seen, withheld and excluded items are left out before the best are taken, so the list is full "
    "whenever there are enough candidates. A user nothing is known of gets what is popular lately.",
    query=PersonalQuery,
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE)},
    problems={404: ("unknown_user",)},
    path_parameters={"user_id": _OF_USER},
    path_examples={"user_id": "ada"},
)
async def for_user(request: Request) -> Response:
    """No SQL and no waiting: the list is computed where the request arrives."""
    user_id = path_id(request, "user_id")
    query = read_query(request, PersonalQuery)
    return await _for_user(request, user_id, query)


@operations.post(
    "/users/{user_id:segment}/recommendations",
    scope="read",
    summary="A user's list, asked for in a body",
    description="The same as the GET, for filters that are too long for a query.",
    body=Body(PersonalBody, {"filtered": {"limit": 5, "category": "cups", "exclude_items": ["saucer", "teapot"]}}),
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE)},
    problems={404: ("unknown_user",), **_BODY_PROBLEMS},
    path_parameters={"user_id": _OF_USER},
    path_examples={"user_id": "ada"},
)
async def for_user_by_body(request: Request) -> Response:
    """As the GET."""
    user_id = path_id(request, "user_id")
    asked = await _asked(request, PersonalBody)
    return await _for_user(request, user_id, asked)


async def _for_user(request: Request, user_id: str, asked: PersonalQuery | PersonalBody) -> Response:
    state = app_state(request)
    try:
        prepared = state.recommender.prepare(user_id, asked.wanted, strict=asked.strict)
    except UnknownUserError:
        raise unknown_user() from None
    ranked = prepared if isinstance(prepared, Ranked) else await state.sharing.ranked(prepared)
    return list_answer(state, ranked, user_id=user_id)


@operations.post(
    "/recommendations",
    scope="read",
    summary="A list for an anonymous session",
    description="Made of the interactions that are sent along; nothing is stored. If no item of them is in the model, "
    "the list is what is popular lately.",
    body=Body(
        SessionBody,
        {"a session": {"interactions": [{"item_id": "saucer"}, {"item_id": "teapot", "event_type": "purchase"}]}},
    ),
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE | {"user_id": None, "source": "fold_in"})},
    problems=_BODY_PROBLEMS,
)
async def for_session(request: Request) -> Response:
    """Folded in, answered, forgotten."""
    state = app_state(request)
    asked = await _asked(request, SessionBody)
    session = [SessionEvent(row.item_id, row.event_type, row.value) for row in asked.interactions]
    return list_answer(state, state.recommender.for_session(session, asked.wanted), user_id=None)


@operations.post(
    "/recommendations/batch",
    scope="read",
    summary="Lists for many users",
    description="The same filters for all. Results stand in the order asked.",
    body=Body(BatchBody, {"two users": {"user_ids": ["ada", "ben"], "limit": 5}}),
    answers={200: Answer("The lists.", BatchAnswer, {"model_version": 3, "results": [LIST_EXAMPLE]})},
    problems=_BODY_PROBLEMS,
)
async def batch(request: Request) -> Response:
    """In a thread: a thousand lists take their time."""
    state = app_state(request)
    asked = await _asked(request, BatchBody)

    def answer() -> Response:
        lists = state.recommender.for_users(asked.user_ids, asked.wanted)
        generated_at = to_rfc3339(state.clock())
        for ranked in lists:
            state.metrics.list_made(ranked.source)
        results = [
            list_document(ranked, user_id=user_id, generated_at=generated_at)
            for user_id, ranked in zip(asked.user_ids, lists, strict=True)
        ]
        document = {"model_version": lists[0].model_version, "results": results}
        return Response(json.encode(document), media_type="application/json")

    return await asyncio.to_thread(answer)


@operations.get(
    "/users/{user_id:segment}/recommendations/diagnosis",
    scope="read",
    summary="Why a user gets the list that they get",
    description="Where the list comes from, in a sentence, and what each filter leaves of the items. Takes the "
    "parameters of the list.",
    query=PersonalQuery,
    path_parameters={"user_id": _OF_USER},
    path_examples={"user_id": "ada"},
    answers={200: Answer("Why.", DiagnosisAnswer, _DIAGNOSIS_EXAMPLE)},
    problems={404: ("unknown_user",)},
)
async def diagnosis(request: Request) -> Response:
    """From memory, as the list itself."""
    state = app_state(request)
    user_id = path_id(request, "user_id")
    query = read_query(request, PersonalQuery)
    if query.strict and state.history.user_key(user_id) is None:
        raise unknown_user()
    found = state.recommender.diagnose(user_id, query.wanted)
    age_us = None if found.model_created_us is None else max(0, state.clock() - found.model_created_us)
    return json_answer(
        {
            "user_id": user_id,
            "source": found.source,
            "reason": found.reason,
            "sentence": found.sentence,
            "interactions_used": found.interactions_used,
            "candidates": found.candidates,
            "filters": [{"name": each.name, "before": each.before, "after": each.after} for each in found.filters],
            "model_version": found.model_version,
            "model_age_seconds": None if age_us is None else age_us / MICROSECONDS,
        }
    )


@operations.get(
    "/items/{item_id:segment}/similar",
    scope="read",
    summary="Items like another",
    description="By the angle between what the model learnt of the items; scores are its cosine. Of an item that the "
    "model cannot place yet, what is popular lately.",
    query=ListQuery,
    path_parameters={"item_id": "The item's id, percent-encoded once."},
    path_examples={"item_id": "saucer"},
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE | {"user_id": None})},
    problems={404: ("unknown_item",)},
)
async def similar(request: Request) -> Response:
    """The item itself is not in it."""
    state = app_state(request)
    item_id = path_id(request, "item_id")
    query = read_query(request, ListQuery)
    try:
        ranked = state.recommender.similar(item_id, query.wanted)
    except UnknownItemError:
        raise unknown_item() from None
    return list_answer(state, ranked, user_id=None)


@operations.get(
    "/popular",
    scope="read",
    summary="What is popular lately",
    query=ListQuery,
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE | {"user_id": None, "source": "popular"})},
)
async def popular(request: Request) -> Response:
    """The same for everyone."""
    state = app_state(request)
    query = read_query(request, ListQuery)
    return list_answer(state, state.recommender.popular(query.wanted), user_id=None)


async def _asked(request: Request, model: type[B]) -> B:
    """The body as `model`, a long one read in a thread: the loop goes on with other requests meanwhile."""
    body = await read_body(request)
    if len(body) > _QUICK_BYTES:
        return await asyncio.to_thread(lambda: validated(model, decode_json(body)))
    return validated(model, decode_json(body))
