"""Bulk uploads of any noun: CSV or NDJSON, as large as LIKEWISE_MAX_BULK_BYTES allows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.body import check_charset
from app.api.context import STREAMED
from app.api.operations import Answer
from app.api.parameters import QueryModel, read_query
from app.api.store_calls import refreshed
from app.errors import ApiError
from app.state import app_state
from app.uploads import Format, Kind, Report, TooLarge, TooSlow, Unreadable

MEDIA_TYPES: dict[str, Format] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


class UploadQuery(QueryModel):
    """How an upload treats bad rows."""

    on_error: Literal["abort", "skip"] = Field(
        "abort",
        description="abort: one bad row refuses the whole upload; skip: the good rows are stored, the others listed.",
    )


class LineProblem(BaseModel):
    """What is wrong with a row."""

    line: int = Field(description="Counted from 1; the header of CSV is line 1.")
    code: str
    detail: str


class BulkAnswer(BaseModel):
    """What became of a bulk upload."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[LineProblem] = Field(description="Of the first 100 rejected rows.", max_length=100)


STORED = Answer(
    "Stored, all in one transaction.",
    BulkAnswer,
    {
        "accepted": 99_999,
        "duplicates": 0,
        "rejected": 1,
        "errors": [{"line": 4711, "code": "missing", "detail": "item_id: this field is needed"}],
    },
)
PROBLEMS = {413: ("body_too_large",), 415: ("unsupported_media_type",), 507: ("store_full",)}


async def store_upload(request: Request, kind: Kind) -> Response:
    """Receive, check and store the body, then let this worker see it before the answer is out."""
    state = app_state(request)
    on_error = read_query(request, UploadQuery).on_error
    form = _format(request)
    gzipped = _is_gzipped(request)
    limit = state.settings.max_bulk_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    request.scope[STREAMED] = True
    try:
        with state.uploads.admitted():
            async with state.uploads.received(request.stream()) as file:
                report = await state.uploads.store(file, kind=kind, form=form, gzipped=gzipped, on_error=on_error)
    except TooLarge:
        raise _too_large(limit) from None
    except TooSlow as error:
        raise ApiError(408, "request_timeout", str(error), headers={"Connection": "close"}) from None
    except Unreadable as error:
        raise _refused([{"line": 1, "code": error.code, "detail": error.detail}], 0, error.detail) from None
    if kind == "interactions":
        state.metrics.rejected(report.rejected)
    if report.rejected and on_error == "abort":
        first = report.errors[0]
        more = f" (and {report.rejected - 1} more bad rows)" if report.rejected > 1 else ""
        detail = f"line {first['line']}: {first['detail']}{more}; nothing was stored"
        raise _refused(report.errors, report.rejected, detail)
    if kind == "interactions":
        state.metrics.stored(accepted=report.accepted, duplicates=report.duplicates)
    await refreshed(state)
    return json_answer(_told(report), 201)


def _told(report: Report) -> dict[str, object]:
    return {
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "errors": report.errors,
    }


def _format(request: Request) -> Format:
    # Of a header that is sent twice both count.
    kind, _, parameters = ",".join(request.headers.getlist("content-type")).partition(";")
    found = MEDIA_TYPES.get(kind.strip().lower())
    if found is None:
        raise ApiError(415, "unsupported_media_type", "send the rows as Content-Type: text/csv or application/x-ndjson")
    check_charset(parameters)
    return found


def _is_gzipped(request: Request) -> bool:
    encoding = ",".join(request.headers.getlist("content-encoding") or ["identity"]).strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise ApiError(415, "unsupported_media_type", "the only Content-Encoding that is taken here is gzip")
    return encoding != "identity"


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "body_too_large", f"the upload is over {limit} bytes; send it in parts")


def _refused(errors: list[dict[str, object]], rejected: int, detail: str) -> ApiError:
    return ApiError(422, "invalid_request", detail, extra={"rejected": rejected, "errors": errors})
