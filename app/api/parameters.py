"""Path and query parameters, decoded strictly from the bytes that came over the wire.

A misspelt filter that is silently ignored gives a wrong answer that looks right: unknown and repeated query parameters
are refused by name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from app.errors import FieldError, invalid, invalid_at, pointer_to
from app.ids import ExternalId, InvalidId, id_from_path, percent_decoded
from app.plain_words import field_errors

MAX_LIMIT = 500
_MAX_INT64 = 2**63 - 1
_DIGITS = re.compile("[0-9]{1,9}")


class QueryModel(BaseModel):
    """Base of an operation's query parameters: a field per parameter; list fields may be given more than once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Q = TypeVar("Q", bound=QueryModel)


def _limit(value: object) -> int:
    number = value if type(value) is int else int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else 0
    if not 1 <= number <= MAX_LIMIT:
        raise PydanticCustomError("limit_range", "limit is a whole number from 1 to 500")
    return number


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "1"):
        return True
    if value in ("false", "0"):
        return False
    raise PydanticCustomError("boolean", "write true or false")


# Most requests ask the same: what short queries mean is kept, since reading one takes as long as scoring 2,000 items.
_SHORT_QUERY = 256
_MOST_KEPT = 1_024
_kept: dict[tuple[type[QueryModel], bytes], QueryModel] = {}

Limit = Annotated[int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT})]
"""How many entries at most: 1 to 500."""

Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]
"""`true` or `false` in a query."""

QueryId = Annotated[ExternalId, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256})]
"""An external id in a query."""


def read_query(request: Request, model: type[Q]) -> Q:
    """The query parameters as `model`. Raises: ApiError 422 with pointers `/query/NAME`."""
    text: bytes = request.scope["query_string"]
    if len(text) > _SHORT_QUERY:
        return _read_given(text, model)
    kept = _kept.get((model, text))
    if kept is None:
        kept = _read_given(text, model)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[model, text] = kept
    return kept  # type: ignore[return-value]  # kept under its model


def _read_given(text: bytes, model: type[Q]) -> Q:
    lists = _list_fields(model)
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in _pairs(text, errors):
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            errors.append(FieldError(pointer_to(("query", name)), "repeated", "give this parameter once"))
        else:
            values[name] = value
    try:
        parsed = model.model_validate(values)
    except ValidationError as error:
        errors += field_errors(error, model=model, prefix=("query",))
    if errors:
        raise invalid(errors)
    return parsed


def refuse_query(request: Request) -> None:
    """For operations that take no parameters. Raises: ApiError 422."""
    if request.scope["query_string"]:
        read_query(request, QueryModel)


def _pairs(text: bytes, errors: list[FieldError]) -> list[tuple[str, str]]:
    pairs = []
    for part in text.decode("latin-1").split("&"):
        if not part:
            continue
        name, _, value = part.replace("+", " ").partition("=")
        try:
            name = percent_decoded(name)
            pairs.append((name, percent_decoded(value)))
        except InvalidId as error:
            errors.append(FieldError(pointer_to(("query", name)), error.code, error.detail))
    return pairs


@cache
def _list_fields(model: type[QueryModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if get_origin(field.annotation) is list)


def path_id(request: Request, name: str) -> str:
    """The external id in the path segment `name`. Raises: ApiError 422 with pointer `/path/NAME`."""
    try:
        return id_from_path(request.path_params[name])
    except InvalidId as error:
        raise invalid_at(pointer_to(("path", name)), error.code, error.detail) from None


def path_number(request: Request, name: str) -> int:
    """The whole number in the path segment `name`, at least 1. Raises: ApiError 422 with pointer `/path/NAME`."""
    text = request.path_params[name]
    if not re.fullmatch("[0-9]{1,19}", text) or not 1 <= int(text) <= _MAX_INT64:
        raise invalid_at(pointer_to(("path", name)), "integer", "a whole number from 1")
    return int(text)
