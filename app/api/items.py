"""`/items`: what callers say of their items, in and out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer, no_content
from app.api.body import read_body, validated
from app.api.operations import Answer, Body, Operations, Upload
from app.api.pages import PageQuery, page_answer
from app.api.parameters import path_id, read_query
from app.api.store_calls import from_store, refreshed
from app.api.uploads import PROBLEMS, STORED, UploadQuery, store_upload
from app.clock import to_rfc3339
from app.db import items
from app.db.items import ItemRecord
from app.errors import unknown_item
from app.item_rows import ItemFields
from app.state import app_state
from app.strict_json import decode_json

operations = Operations("items")


class ItemView(BaseModel):
    """An item's record; null, [] and {} where nothing is set."""

    item_id: str
    title: str | None
    categories: list[str]
    metadata: dict[str, Any]
    hidden: bool
    available_from: str | None = Field(json_schema_extra={"format": "date-time"})
    available_until: str | None = Field(json_schema_extra={"format": "date-time"})
    updated_at: str | None = Field(
        description="When the record was put; null for an item that only interactions have named.",
        json_schema_extra={"format": "date-time"},
    )


class ItemPage(BaseModel):
    """A page of items, in the order they became known."""

    items: list[ItemView]
    next: str | None


_EXAMPLE = {
    "item_id": "espresso-cup",
    "title": "Espresso cup, white",
    "categories": ["cups", "porcelain"],
    "metadata": {"sku": "C-17", "price": 12.5},
    "hidden": False,
    "available_from": "2025-01-31T12:00:00Z",
    "available_until": None,
    "updated_at": "2025-01-31T12:00:00Z",
}
_PATH = {"item_id": "The item's id, percent-encoded once."}
_PATH_EXAMPLE = {"item_id": "espresso-cup"}
_FOLLOW = "This worker's lists follow at once, other replicas within LIKEWISE_REFRESH_SECONDS + 0.25 s."


@operations.put(
    "/items/{item_id:segment}",
    scope="write",
    summary="Put an item's record",
    description=f"Replaces the whole record: what is left out is cleared. A deleted item is back with it. {_FOLLOW}",
    path_parameters=_PATH,
    path_examples=_PATH_EXAMPLE,
    body=Body(
        ItemFields,
        {
            "a record": {
                "title": "Espresso cup, white",
                "categories": ["cups", "porcelain"],
                "metadata": {"sku": "C-17", "price": 12.5},
                "available_from": "2025-01-31T12:00:00Z",
            },
            "out of every list": {"title": "Espresso cup, white", "hidden": True},
        },
    ),
    answers={200: Answer("The record as it is now.", ItemView, _EXAMPLE)},
    problems={413: ("body_too_large",), 415: ("unsupported_media_type",), 507: ("store_full",)},
)
async def put(request: Request) -> Response:
    """Store the record, then let this worker see it before the answer is out."""
    state = app_state(request)
    item_id = path_id(request, "item_id")
    new = validated(ItemFields, decode_json(await read_body(request))).record(item_id)

    def write() -> ItemRecord | None:
        with state.store.write() as connection:
            items.upsert(connection, [new], now_us=state.clock())
            return items.get(connection, item_id)

    record = await from_store(write, deadline_seconds=state.settings.store_timeout_seconds)
    await refreshed(state)
    return json_answer(_shown(record))


@operations.get(
    "/items/{item_id:segment}",
    scope="read",
    summary="An item's record",
    path_parameters=_PATH,
    path_examples=_PATH_EXAMPLE,
    answers={200: Answer("The record.", ItemView, _EXAMPLE)},
    problems={404: ("unknown_item",)},
)
async def get(request: Request) -> Response:
    """As the store has it, also for an item that only interactions have named."""
    state = app_state(request)
    item_id = path_id(request, "item_id")

    def read() -> ItemRecord | None:
        with state.store.read() as connection:
            return items.get(connection, item_id)

    return json_answer(_shown(await from_store(read, deadline_seconds=state.settings.store_timeout_seconds)))


@operations.delete(
    "/items/{item_id:segment}",
    scope="write",
    summary="Take an item out of everything",
    description=f"Until the next PUT. Interactions with it stay, and new ones are accepted. {_FOLLOW}",
    path_parameters=_PATH,
    path_examples=_PATH_EXAMPLE,
    answers={204: Answer("Gone.")},
    problems={404: ("unknown_item",)},
)
async def delete(request: Request) -> Response:
    """Mark the item as deleted, then let this worker see it before the answer is out."""
    state = app_state(request)
    item_id = path_id(request, "item_id")

    def mark() -> bool:
        with state.store.write() as connection:
            return items.delete(connection, item_id, now_us=state.clock())

    if not await from_store(mark, deadline_seconds=state.settings.store_timeout_seconds):
        raise unknown_item()
    await refreshed(state)
    return no_content()


@operations.post(
    "/items/bulk",
    scope="write",
    summary="Put a file of items' records",
    description="CSV with a header row (categories separated by |, metadata as JSON), or NDJSON; either may come with "
    f"Content-Encoding: gzip. All are stored in one transaction; each replaces the whole record. {_FOLLOW}",
    query=UploadQuery,
    body=Upload(
        {
            "text/csv": "item_id,title,categories\nespresso-cup,Espresso cup,cups|porcelain\n",
            "application/x-ndjson": '{"item_id": "espresso-cup", "title": "Espresso cup", "categories": ["cups"]}\n',
        }
    ),
    answers={201: STORED},
    problems=PROBLEMS,
)
async def put_bulk(request: Request) -> Response:
    """By a process of its own."""
    return await store_upload(request, "items")


@operations.get(
    "/items",
    scope="read",
    summary="List items",
    description="In the order they became known, by a record or by an interaction; deleted ones are left out.",
    query=PageQuery,
    answers={200: Answer("A page.", ItemPage, {"items": [_EXAMPLE], "next": None})},
)
async def page(request: Request) -> Response:
    """By key."""
    return await page_answer(
        app_state(request),
        "items",
        read_query(request, PageQuery),
        read=lambda connection, limit, after: items.page(
            connection, limit=limit, after_key=after[0] if after else None
        ),
        position=lambda record: (record.item_key,),
        fields=1,
        view=_shown,
    )


def _shown(record: ItemRecord | None) -> dict[str, Any]:
    """Raises: ApiError 404 where there is no such item."""
    if record is None:
        raise unknown_item()
    return {
        "item_id": record.item_id,
        "title": record.title,
        "categories": record.categories,
        "metadata": record.metadata,
        "hidden": record.hidden,
        "available_from": _time(record.available_from_us),
        "available_until": _time(record.available_until_us),
        "updated_at": _time(record.updated_us),
    }


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
