"""Items over HTTP: a record, and what is asked of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from jsonschema.validators import Draft202012Validator

from tests.app.api.running import Running

NOW = "2025-01-31T12:00:00Z"
RECORD = {
    "title": "Espresso cup ☕",
    "categories": ["cups", "made in/Italy"],
    "metadata": {"sku": "C-17", "deep": {"er": [1, 2.5, None, True]}, "big": 12345678901234567890, "nul": "a\u0000b"},
    "hidden": True,
    "available_from": "2025-01-01T00:00:00.25+02:00",
    "available_until": 4_000_000_000,
}
EMPTY: dict[str, Any] = {
    "title": None,
    "categories": [],
    "metadata": {},
    "hidden": False,
    "available_from": None,
    "available_until": None,
}


def at(item_id: str) -> str:
    return f"/items/{quote(item_id, safe='')}"


def put(service: Running, item_id: str, body: object) -> dict[str, Any]:
    response = service.client.put(at(item_id), json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def get(service: Running, item_id: str) -> dict[str, Any]:
    response = service.client.get(at(item_id))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def buy(service: Running, item_id: str, user_id: str = "ben") -> None:
    assert service.client.post("/interactions", json={"user_id": user_id, "item_id": item_id}).status_code == 201


def listed(service: Running, path: str = "/popular") -> list[str]:
    return [item["item_id"] for item in service.client.get(path, params={"limit": 500}).json()["items"]]


def refusal(service: Running, method: str, path: str, content: bytes | None = None) -> tuple[int, str]:
    response = service.client.request(method, path, content=content)
    return response.status_code, response.json()["code"]


def fits(service: Running, schema: dict[str, Any], value: object) -> None:
    Draft202012Validator({**schema, "components": service.app.openapi()["components"]}).validate(value)
