"""`/openapi.json` and `/docs`: the description of the API, with every asset served from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from app.api.answers import json_answer
from app.api.operations import Answer, Operations

STATIC = Path(__file__).resolve().parent.parent / "web" / "static"

operations = Operations("documentation")

# Swagger UI puts style attributes and data: images into the page; scripts come from files of ours only.
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


@operations.get(
    "/openapi.json",
    scope="open",
    summary="This description",
    answers={200: Answer("OpenAPI 3.1.", dict[str, object], {"openapi": "3.1.0"})},
)
async def openapi(request: Request) -> Response:
    """The document that `create_app` built."""
    return json_answer(request.app.openapi())


@operations.get("/docs", scope="open", summary="The API, to read and to try", hidden=True)
async def docs(request: Request) -> Response:  # noqa: ARG001 - the handler's signature
    """Swagger UI over /openapi.json."""
    return FileResponse(STATIC / "docs.html", media_type="text/html", headers=_PAGE_HEADERS)


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def asset(request: Request) -> Response:  # noqa: ARG001 - the handler's signature
        return FileResponse(STATIC / name, media_type=media_type, headers={"Cache-Control": "max-age=3600"})

    return asset


for _name, _media_type in _ASSETS.items():
    # By name, not by folder: nothing else can be asked for, however a path is spelt.
    operations.get(f"/docs/{_name}", scope="open", summary=f"Asset {_name}", hidden=True)(_asset(_name, _media_type))
