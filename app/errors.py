"""The service's errors as callers see them: a status, a stable code, a sentence, and where it went wrong.

Nothing here knows the web framework. `app.api.problems` renders these as RFC 9457 problem documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_LISTED_ERRORS = 20
_MAX_POINTER_PART = 64

TITLES: Mapping[str, str] = {
    "bad_request": "The request could not be read",
    "unauthorized": "A valid key is needed",
    "forbidden": "This caller may not do that",
    "not_found": "There is nothing at this address",
    "method_not_allowed": "The address does not take this method",
    "request_timeout": "The request did not arrive in time",
    "body_too_large": "The body is too large",
    "too_many_requests": "Too many requests",
    "headers_too_large": "The request's head is too large",
    "unsupported_media_type": "The body's content type is not taken here",
    "invalid_request": "The request breaks the rules",
    "unknown_user": "The user is not known",
    "unknown_item": "The item is not known",
    "unknown_event": "The event is not known",
    "unknown_training": "The training is not known",
    "unknown_model": "The model version is not known",
    "training_active": "A training is queued or running",
    "training_finished": "The training is over",
    "no_model": "There is no model yet",
    "store_unavailable": "The store does not answer",
    "store_full": "The store is out of space",
    "schema_outdated": "The store's schema is not the one this version needs",
    "shutting_down": "The service is shutting down",
    "internal_error": "Something went wrong inside the service",
}
"""Every code with its title; docs/api.md explains each (a test compares the two)."""


class ConfigurationError(Exception):
    """The service cannot run as it is set up; the message is one line that says what to change. Exit code 78."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong: where (RFC 6901), a stable code, and a sentence that does not repeat the value."""

    pointer: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """As it stands in a problem document."""
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


class ApiError(Exception):
    """A refusal or failure that the caller is told about.

    Args:
        status: the HTTP status.
        code: one of TITLES.
        detail: one sentence for people; says what to change where that helps.
        errors: for 422: at least one entry; the first 20 are shown.
        headers: extra response headers.
        extra: further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors[:MAX_LISTED_ERRORS])
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


@dataclass(frozen=True, slots=True)
class Problem:
    """An ApiError bound to the request that met it, ready to be encoded."""

    error: ApiError
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The problem document; `errors` stands on every 422."""
        error = self.error
        document: dict[str, Any] = {
            "type": f"urn:likewise:problem:{error.code}",
            "title": TITLES[error.code],
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": self.request_id,
        }
        if error.errors:
            document["errors"] = [entry.as_dict() for entry in error.errors]
        return document | error.extra


def invalid(errors: Sequence[FieldError]) -> ApiError:
    """422 with everything that is wrong (at least one entry)."""
    first = errors[0]
    where = first.pointer or "the body"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ApiError(422, "invalid_request", f"{where}: {first.detail}{more}", errors=errors)


def invalid_at(pointer: str, code: str, detail: str) -> ApiError:
    """422 with one entry."""
    return invalid([FieldError(pointer, code, detail)])


def unknown_user() -> ApiError:
    """404: nothing was ever seen of this user."""
    return ApiError(404, "unknown_user", "there is no interaction of this user")


def unknown_item() -> ApiError:
    """404: nothing ever named this item, or it was deleted."""
    return ApiError(404, "unknown_item", "no record and no interaction names this item, or it was deleted")


def unknown_event() -> ApiError:
    """404: no stored interaction carries this event_id."""
    return ApiError(404, "unknown_event", "no stored interaction carries this event_id")


def store_unavailable(detail: str, *, retry_after: int = 1) -> ApiError:
    """503 with Retry-After: the store is away, locked or too busy."""
    return ApiError(503, "store_unavailable", detail, headers={"Retry-After": str(retry_after)})


def pointer_to(parts: Iterable[str | int]) -> str:
    """An RFC 6901 pointer. Names are the caller's: over-long ones are cut, unencodable characters replaced."""
    return "".join(f"/{_pointer_part(part)}" for part in parts)


def _pointer_part(part: str | int) -> str:
    text = str(part)
    if len(text) > _MAX_POINTER_PART:
        text = text[:_MAX_POINTER_PART] + "…"
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("~", "~0").replace("/", "~1")
