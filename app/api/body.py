"""JSON bodies: read under a limit, decoded strictly, validated with pointers into them."""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.errors import ApiError, invalid
from app.plain_words import field_errors
from app.state import app_state

M = TypeVar("M", bound=BaseModel)

_JSON_TYPES = frozenset({"application/json", "text/json"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
# A quoted value is taken as a whole, so that nothing inside it is read as a parameter. The possessive quantifiers keep
# the time linear in a header of up to 64 KiB.
_PARAMETER = re.compile(r'(?:^|;)\s*+([^=;\s]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;]*+)')


async def read_body(request: Request) -> bytes:
    """The whole body. Raises: ApiError 413 beyond LIKEWISE_MAX_BODY_BYTES, 415 for what is clearly not JSON in
    UTF-8."""
    _check_type(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ApiError(415, "unsupported_media_type", "send the body without a Content-Encoding")
    limit = app_state(request).settings.max_body_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _check_type(content_type: str) -> None:
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind and kind not in _JSON_TYPES and not kind.endswith("+json"):
        raise ApiError(415, "unsupported_media_type", "send the body as Content-Type: application/json")
    check_charset(parameters)


def check_charset(parameters: str) -> None:
    """Raises: ApiError 415 where the parameters of a content type name an encoding that is not UTF-8."""
    for name, value in _PARAMETER.findall(parameters):
        if name.lower() == "charset" and value.strip().strip('"').lower() not in _CHARSETS:
            raise ApiError(415, "unsupported_media_type", "send the body in UTF-8: leave charset out, or write utf-8")


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "body_too_large", f"the body is over {limit} bytes; send fewer rows at a time")


def validated(model: type[M], value: object) -> M:
    """`value` as the model. Raises: ApiError 422 with pointers into the body."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(field_errors(error, model=model)) from None
