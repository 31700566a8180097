"""A shop with thirty items in categories and a few users, and every way to ask it for a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.db import items
from app.db.items import NewItem
from tests.app.api.running import NOW_US, Running
from tests.app.published import publish_model

ITEMS = [f"item-{number}" for number in range(30)]
SEEN = {"ann": {"item-0", "item-7"}, "bob": {"item-0", "item-8"}, "cid": {"item-0", "item-1"}}


def categories_of(number: int) -> list[str]:
    """Of item 0 all three, of items 1, 7, 11 and others none."""
    return [name for name, divisor in (("even", 2), ("third", 3), ("fifth", 5)) if not number % divisor]


CATEGORIES = {item_id: set(categories_of(number)) for number, item_id in enumerate(ITEMS)}


def open_shop(service: Running, *, model: bool = True) -> None:
    """Fill the store, and publish a model of it: its users are those of SEEN and one who had everything."""
    records = [
        NewItem(item_id, title=f"Title of {item_id}", categories=categories_of(number))
        for number, item_id in enumerate(ITEMS)
    ]
    with service.state.store.write() as connection:
        items.upsert(connection, records, now_us=NOW_US)
    rows = [{"user_id": "everything", "item_id": item_id} for item_id in ITEMS]
    rows += [{"user_id": user_id, "item_id": item_id} for user_id, seen in SEEN.items() for item_id in sorted(seen)]
    assert service.client.post("/interactions", json=rows).status_code == 201
    if model:
        publish_model(service.state.store, service.state.settings.model_dir)
    poll(service)


def poll(service: Running) -> None:
    """Let the service see at once what others have committed, whatever that costs."""
    asyncio.run(service.state.refresher.poll_now())


def get(service: Running, path: str, **params: Any) -> dict[str, Any]:
    """The answer to a GET that succeeds."""
    response = service.client.get(path, params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def post(service: Running, path: str, body: object) -> dict[str, Any]:
    """The answer to a POST that succeeds."""
    response = service.client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    """The items of a list."""
    return [item["item_id"] for item in answer["items"]]


def as_body(asked: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a GET as the fields of a body."""
    return {{"exclude_item": "exclude_items"}.get(name, name): value for name, value in asked.items()}


def _batch(service: Running, asked: dict[str, Any]) -> dict[str, Any]:
    (answer,) = post(service, "/recommendations/batch", {"user_ids": ["ann"], **as_body(asked)})["results"]
    return dict(answer)


Way = Callable[[Running, dict[str, Any]], dict[str, Any]]

WAYS: dict[str, Way] = {
    "user": lambda service, asked: get(service, "/users/ann/recommendations", **asked),
    "user by POST": lambda service, asked: post(service, "/users/ann/recommendations", as_body(asked)),
    "unknown user": lambda service, asked: get(service, "/users/nobody/recommendations", **asked),
    "session": lambda service, asked: post(
        service, "/recommendations", {"interactions": [{"item_id": "item-3"}], **as_body(asked)}
    ),
    "batch": _batch,
    "similar": lambda service, asked: get(service, "/items/item-4/similar", **asked),
    "popular": lambda service, asked: get(service, "/popular", **asked),
}
"""Every way to a list, with the parameters that all of them take."""
