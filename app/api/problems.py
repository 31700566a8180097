"""Every error leaves as a problem document (RFC 9457), whoever raised it."""

from __future__ import annotations

import json

from starlette.responses import Response

from app.db.engine import SchemaOutdated, StoreBusy, StoreFull, StoreUnavailable
from app.errors import ApiError, Problem, store_unavailable

MEDIA_TYPE = "application/problem+json"


def problem_response(error: ApiError, *, request_id: str) -> Response:
    """The response for one error. ASCII only, so that no caller's text can break the encoding."""
    body = json.dumps(Problem(error, request_id).document(), allow_nan=False).encode("ascii")
    return Response(body, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def api_error(error: Exception) -> ApiError:
    """What the caller is told about any exception; what is not foreseen is a 500 without details."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StoreFull):
        return ApiError(507, "store_full", "the store is out of space; nothing was stored")
    if isinstance(error, SchemaOutdated):
        return ApiError(503, "schema_outdated", "the store needs `likewise db upgrade`", headers={"Retry-After": "10"})
    if isinstance(error, StoreBusy):
        return store_unavailable("too much waits to be stored; nothing of this request was acknowledged, try again")
    if isinstance(error, StoreUnavailable):
        return store_unavailable("the store does not answer; nothing of this request was acknowledged, try again")
    return ApiError(
        500, "internal_error", "the request failed inside the service; the log has it under this request_id"
    )
