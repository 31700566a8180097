"""Every error leaves as a problem document (RFC 9457), whoever raised it."""

from __future__ import annotations

import json
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.db.engine import SchemaOutdated, StoreFull, StoreUnavailable
from app.errors import ApiError, Problem, store_unavailable

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger(__name__)
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_DETAILS = {
    400: "the request could not be read",
    404: "no operation has this path; GET /docs lists them",
    405: "this path does not take this method; the Allow header lists those it takes",
}


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
    if isinstance(error, StoreUnavailable):
        return store_unavailable("the store does not answer; nothing of this request was acknowledged, try again")
    if isinstance(error, HTTPException):
        return _from_framework(error)
    return ApiError(
        500, "internal_error", "the request failed inside the service; the log has it under this request_id"
    )


def _from_framework(error: HTTPException) -> ApiError:
    code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
    detail = _DETAILS.get(error.status_code, HTTPStatus(error.status_code).phrase.lower())
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return ApiError(error.status_code, code, detail, headers=headers)


async def _handle(request: Request, error: Exception) -> Response:
    told = api_error(error)
    if told.status >= 500 and not isinstance(error, ApiError):
        _log.warning("request_failed", code=told.code, reason=str(error))
    return problem_response(told, request_id=request.state.request_id)


def install(app: FastAPI) -> None:
    """Answer the foreseen errors with problem documents. The unforeseen end in `app.api.context.RequestContext`."""
    for kind in (ApiError, HTTPException, StoreUnavailable, SchemaOutdated):
        app.add_exception_handler(kind, _handle)
