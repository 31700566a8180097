"""`/interactions`: what users did, in and out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api.acknowledged import acknowledged
from app.api.answers import json_answer, no_content
from app.api.body import read_body
from app.api.operations import Answer, Body, Operations, Upload
from app.api.pages import PageQuery, Position, page_answer
from app.api.parameters import QueryId, path_id, read_query
from app.api.store_calls import from_store, refreshed
from app.api.uploads import PROBLEMS, STORED, UploadQuery, store_upload
from app.clock import to_rfc3339
from app.db import interactions
from app.db.exports import all_interactions
from app.db.interactions import Appended
from app.errors import invalid, unknown_event
from app.exported import interactions_ndjson
from app.interaction_rows import InteractionRow, ReadRows, read_rows
from app.quick_rows import quick_row
from app.state import app_state
from app.strict_json import decode_json

operations = Operations("interactions")

_EXAMPLE_ROW = {
    "user_id": "ada",
    "item_id": "espresso-cup",
    "event_type": "purchase",
    "value": 2,
    "timestamp": "2025-01-31T12:00:00Z",
    "event_id": "order-1001-1",
}


class RowProblem(BaseModel):
    """What is wrong with a row that was left out."""

    pointer: str
    code: str
    detail: str


class UploadAnswer(BaseModel):
    """What became of an upload; `rejected` and `errors` stand there with on_error=skip only."""

    accepted: int
    duplicates: int
    rejected: int | None = None
    errors: list[RowProblem] | None = None


class StoredRow(BaseModel):
    """An interaction as it is stored."""

    user_id: str
    item_id: str
    event_type: str
    value: float
    timestamp: str = Field(json_schema_extra={"format": "date-time"})
    event_id: str | None
    recommendation_id: str | None
    context: dict[str, str | float | bool | None] | None


class InteractionPage(BaseModel):
    """A page of interactions, newest timestamp first."""

    items: list[StoredRow]
    next: str | None


class InteractionsQuery(PageQuery):
    """Which interactions to list."""

    user_id: QueryId | None = Field(None, description="Only this user's.")
    item_id: QueryId | None = Field(None, description="Only those with this item.")


@operations.post(
    "/interactions",
    scope="write",
    summary="Store interactions",
    description="One object, or an array of 1 to 1,000. 201 means that the rows are durable. "
    "Users and items need no registration.",
    query=UploadQuery,
    body=Body(
        InteractionRow | list[InteractionRow],
        {
            "one": {"user_id": "ada", "item_id": "espresso-cup"},
            "several": [_EXAMPLE_ROW, {"user_id": "ben", "item_id": "espresso-cup", "event_type": "click"}],
        },
    ),
    answers={201: Answer("Stored.", UploadAnswer, {"accepted": 2, "duplicates": 0})},
    problems={413: ("body_too_large",), 415: ("unsupported_media_type",), 507: ("store_full",)},
)
async def upload(request: Request) -> Response:
    """Validate the whole body, hand the good rows to the writer, answer after its commit."""
    state = app_state(request)
    skip = read_query(request, UploadQuery).on_error == "skip"
    received_us = state.clock()
    body = await read_body(request)
    if (row := quick_row(body, now_us=received_us)) is not None:
        read = ReadRows([row], [])
    else:
        read = read_rows(decode_json(body, keep_repeated=True), now_us=received_us)
    state.metrics.rejected(len(read.rejected))
    if read.rejected and not skip:
        raise invalid([error for errors in read.rejected for error in errors])
    appended: Appended | None = None
    if read.rows:
        submit = partial(state.writer.submit_for, rows=read.rows, received_us=received_us)
        appended = await acknowledged(submit, seconds=state.settings.store_timeout_seconds)
    answer: dict[str, Any] = {
        "accepted": appended.accepted if appended else 0,
        "duplicates": appended.duplicates if appended else 0,
    }
    if skip:
        answer |= {"rejected": len(read.rejected), "errors": [errors[0].as_dict() for errors in read.rejected]}
    return json_answer(answer, 201)


@operations.post(
    "/interactions/bulk",
    scope="write",
    summary="Store a file of interactions",
    description="CSV with a header row, or NDJSON; either may come with Content-Encoding: gzip. All rows are checked "
    "first and stored in one transaction, however many they are.",
    query=UploadQuery,
    body=Upload(
        {
            "text/csv": "user_id,item_id,event_type,timestamp\nada,espresso-cup,purchase,2025-01-31T12:00:00Z\n",
            "application/x-ndjson": '{"user_id": "ada", "item_id": "espresso-cup", "event_type": "purchase"}\n',
        }
    ),
    answers={201: STORED},
    problems=PROBLEMS,
)
async def upload_bulk(request: Request) -> Response:
    """By a process of its own."""
    return await store_upload(request, "interactions")


@operations.get(
    "/interactions/export",
    scope="admin",
    summary="Everything, as NDJSON",
    description="A stream of all interactions that were stored when it began, in the order they were stored in and in "
    "the form that POST /interactions/bulk takes. Where the store goes away meanwhile the connection breaks off.",
    answers={
        200: Answer(
            "A line for each interaction.",
            str,
            '{"user_id":"ada","item_id":"espresso-cup","event_type":"purchase","value":2.0,'
            '"timestamp":"2025-01-31T12:00:00Z","event_id":"order-1001-1"}\n',
            media_type="application/x-ndjson",
        )
    },
)
async def export(request: Request) -> Response:
    """Page by page; the first one is read before the answer begins, so that a store that is away is told as such."""
    state = app_state(request)
    pages = all_interactions(state.store)

    def following() -> bytes | None:
        page = next(pages, None)
        return None if page is None else interactions_ndjson(page)

    async def read() -> bytes | None:
        return await from_store(following, deadline_seconds=state.settings.store_timeout_seconds)

    first = await read()

    async def lines() -> AsyncIterator[bytes]:
        found = first
        while found is not None:
            yield found
            found = await read()

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@operations.get(
    "/interactions",
    scope="write",
    summary="List interactions, newest first",
    query=InteractionsQuery,
    answers={
        200: Answer(
            "A page.",
            InteractionPage,
            {"items": [_EXAMPLE_ROW | {"value": 2.0, "recommendation_id": None, "context": None}], "next": None},
        )
    },
)
async def page(request: Request) -> Response:
    """By timestamp, rows of the same one by the order they were stored in."""
    query = read_query(request, InteractionsQuery)

    def read(connection: Connection, limit: int, after: Position | None) -> list[dict[str, Any]]:
        return interactions.page(
            connection,
            user_id=query.user_id,
            item_id=query.item_id,
            limit=limit,
            before=(after[0], after[1]) if after else None,
        )

    return await page_answer(
        app_state(request),
        "interactions",
        query,
        read=read,
        position=lambda row: (row["occurred_us"], row["id"]),
        fields=2,
        view=_shown,
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "user_id": row["user_id"],
        "item_id": row["item_id"],
        "event_type": row["event_type"],
        "value": row["value"],
        "timestamp": to_rfc3339(row["occurred_us"]),
        "event_id": row["event_id"],
        "recommendation_id": row["recommendation_id"],
        "context": None if row["context"] is None else json.loads(row["context"]),
    }


@operations.delete(
    "/interactions/{event_id:segment}",
    scope="write",
    summary="Take an interaction back",
    description="A return, an undo. This worker's lists follow at once, other replicas within "
    "LIKEWISE_REFRESH_SECONDS + 0.25 s.",
    path_parameters={"event_id": "The event_id that the interaction was stored with."},
    path_examples={"event_id": "order-1001-1"},
    answers={204: Answer("Gone.")},
    problems={404: ("unknown_event",)},
)
async def delete(request: Request) -> Response:
    """Remove the row that carries this event_id, then let this worker see it before the answer is out."""
    state = app_state(request)
    event_id = path_id(request, "event_id")

    def remove() -> bool:
        with state.store.write() as connection:
            return interactions.delete_by_event_id(connection, event_id, now_us=state.clock())

    if not await from_store(remove, deadline_seconds=state.settings.store_timeout_seconds):
        raise unknown_event()
    await refreshed(state)
    return no_content()
