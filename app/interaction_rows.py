"""The rules of one uploaded interaction, and of a list of them.

The fields, their rules and their documentation stand once, in `InteractionRow`. Rows that break a rule are told apart
from good ones, so that an upload can either be refused whole or go on without them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.clock import DAY_US, MICROSECONDS
from app.db.interactions import NewInteraction
from app.errors import FieldError, invalid_at, pointer_to
from app.ids import ExternalId
from app.plain_words import field_errors
from app.settings import EVENT_TYPE
from app.strict_json import RepeatedNames

MAX_ROWS = 1000
MAX_VALUE = 1e6
MAX_CONTEXT_BYTES = 2048
DEFAULT_TYPE = "interaction"
_MAX_FIELDS = 16  # twice what a row has; beyond it the names are not even looked at
MAX_SECONDS = 1e11
_SURROGATE = re.compile("[\ud800-\udfff]")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))?", re.ASCII
)

TIMESTAMP_FORMS: list[dict[str, JsonValue]] = [
    {"type": "string", "format": "date-time"},
    {"type": "number", "minimum": 0, "maximum": MAX_SECONDS},
]
"""The two forms that a timestamp is taken in, as JSON schemas."""


def _event_type(value: object) -> str:
    if not isinstance(value, str) or not EVENT_TYPE.fullmatch(value):
        raise PydanticCustomError("event_type", "an event type consists of 1 to 64 of a-z 0-9 _ . -")
    return value


def _value(value: object) -> float:
    if type(value) not in (int, float):
        raise PydanticCustomError("value_type", "a value is a number")
    if not 0 < value <= MAX_VALUE:  # type: ignore[operator]  # a number by the line above; NaN fails the comparison too
        raise PydanticCustomError("value_range", "a value is a finite number over 0 and at most 1e6")
    return float(value)  # type: ignore[arg-type]  # a number by the lines above


def timestamp_us(value: object) -> int:
    """The moment that a JSON value means, in microseconds since the epoch; it may lie in the future.

    Raises: PydanticCustomError for what is no timestamp, or one before 1970.
    """
    if isinstance(value, str):
        moment = _from_text(value)
    elif type(value) in (int, float):
        moment = _from_number(value)  # type: ignore[arg-type]  # a number by the line above
    else:
        raise PydanticCustomError("timestamp_type", "a timestamp is RFC 3339 text or a number of seconds since 1970")
    if moment < 0:
        raise PydanticCustomError("timestamp_past", "a timestamp before 1970 is refused: it is nearly always a mistake")
    return moment


def _timestamp(value: object, info: ValidationInfo) -> int:
    moment = timestamp_us(value)
    now_us: int = info.context["now_us"]  # type: ignore[index]  # `_read` always gives one
    if moment > now_us + DAY_US:
        raise PydanticCustomError("timestamp_future", "a timestamp is at most one day ahead of the service's clock")
    return moment


def _from_number(seconds: float) -> int:
    if seconds > MAX_SECONDS:
        raise PydanticCustomError("timestamp_range", "over 1e11: this looks like milliseconds; send seconds")
    if seconds < 0:
        return -1
    if not seconds >= 0:  # NaN
        raise PydanticCustomError("timestamp_format", "a timestamp is a finite number of seconds")
    return seconds * MICROSECONDS if isinstance(seconds, int) else round(seconds * MICROSECONDS)


def _from_text(text: str) -> int:
    """Whole-number arithmetic: an offset can carry the ends of the calendar past what datetime holds."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise PydanticCustomError("timestamp_format", "a timestamp looks like 2025-01-31T12:00:00Z (RFC 3339)")
    year, month, day, hour, minute, second, fraction, zulu, sign, offset_hour, offset_minute = match.groups()
    if zulu is None and sign is None:
        raise PydanticCustomError(
            "timestamp_offset", "a timestamp says its offset: add Z for UTC, or for example +02:00"
        )
    offset = 0 if zulu else (int(offset_hour) * 60 + int(offset_minute)) * (1 if sign == "+" else -1)
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        raise PydanticCustomError("timestamp_format", "there is no such day") from None
    leap = second == "60"
    in_range = int(hour) < 24 and int(minute) < 60 and (int(second) < 60 or leap)
    if not in_range or int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        raise PydanticCustomError("timestamp_format", "there is no such time of day or offset")
    # A leap second counts as the second after it, as in POSIX time.
    seconds = days * 86_400 + int(hour) * 3600 + (int(minute) - offset) * 60 + int(second)
    return seconds * MICROSECONDS + int((fraction or "")[:6].ljust(6, "0"))


def context_text(value: object) -> str:
    """A context as compact JSON text, its names in their order. Raises: PydanticCustomError for what is none."""
    if not isinstance(value, dict):
        raise PydanticCustomError("context_type", "a context is an object")
    if isinstance(value, RepeatedNames):
        raise PydanticCustomError("duplicate_name", "a name stands more than once in the context")
    if not all(entry is None or isinstance(entry, str | int | float) for entry in value.values()):
        raise PydanticCustomError(
            "context_nested", "a context is flat: its values are texts, numbers, booleans or null"
        )
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode("utf-8"))
    except ValueError:
        raise PydanticCustomError("context_value", "a context holds finite numbers and valid Unicode text") from None
    if size > MAX_CONTEXT_BYTES:
        raise PydanticCustomError("context_too_large", "a context takes at most 2048 bytes as JSON")
    return text


EventType = Annotated[
    str, PlainValidator(_event_type), WithJsonSchema({"type": "string", "pattern": "^[a-z0-9_.-]{1,64}$"})
]
EventValue = Annotated[
    float, PlainValidator(_value), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_VALUE})
]


class InteractionRow(BaseModel):
    """One thing that a user did with an item."""

    model_config = ConfigDict(extra="forbid", title="Interaction")

    user_id: ExternalId = Field(description="Who; needs no registration.")
    item_id: ExternalId = Field(description="With what; needs no registration.")
    event_type: EventType = Field(DEFAULT_TYPE, description="What was done, for example click or purchase.")
    value: EventValue = Field(1.0, description="How much it counts: a quantity, a share watched.")
    timestamp: Annotated[
        int | None,
        PlainValidator(_timestamp),
        WithJsonSchema({"anyOf": TIMESTAMP_FORMS}),
    ] = Field(None, description="When: RFC 3339 with an offset, or seconds since 1970. Default: the time received.")
    event_id: ExternalId | None = Field(None, description="Makes retries safe: the same one again changes nothing.")
    recommendation_id: ExternalId | None = Field(None, description="The list that led here.")
    context: Annotated[
        str | None,
        PlainValidator(lambda value: None if value is None else context_text(value)),
        WithJsonSchema(
            {
                "anyOf": [
                    {
                        "type": "object",
                        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
                    },
                    {"type": "null"},
                ]
            }
        ),
    ] = Field(None, description="A flat object of at most 2 KiB, stored as it is.")

    def stored(self, received_us: int) -> NewInteraction:
        """The row as the store takes it."""
        return NewInteraction(
            user_id=self.user_id,
            item_id=self.item_id,
            event_type=self.event_type,
            value=self.value,
            occurred_us=received_us if self.timestamp is None else self.timestamp,
            event_id=self.event_id,
            recommendation_id=self.recommendation_id,
            context=self.context,
        )


_ROW: TypeAdapter[InteractionRow] = TypeAdapter(InteractionRow)


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The good rows of an upload, and what is wrong with each of the others (at least one error each)."""

    rows: list[NewInteraction]
    rejected: list[list[FieldError]]


def read_rows(data: object, *, now_us: int) -> ReadRows:
    """Tell the good rows of a decoded body from the bad ones.

    Args:
        data: one object, or an array of 1 to 1,000; pointers start with the row's place for an array.
        now_us: the time received: the default timestamp, and what "a day ahead" is measured from.
    Raises: ApiError 422 if the body is neither, or has no rows or too many.
    """
    if isinstance(data, dict):
        return _read([data], prefixes=[()], now_us=now_us)
    if not isinstance(data, list):
        raise invalid_at("", "body_type", "send one interaction as an object, or an array of them")
    if not 1 <= len(data) <= MAX_ROWS:
        raise invalid_at("", "row_count", f"an array holds 1 to {MAX_ROWS} interactions, this one {len(data)}")
    return _read(data, prefixes=[(number,) for number in range(len(data))], now_us=now_us)


def _read(data: Sequence[object], *, prefixes: Sequence[tuple[int, ...]], now_us: int) -> ReadRows:
    rows: list[NewInteraction] = []
    rejected: list[list[FieldError]] = []
    context = {"now_us": now_us}
    for row, prefix in zip(data, prefixes, strict=True):
        errors = _shape_errors(row, prefix)
        if not errors:
            try:
                rows.append(_ROW.validate_python(row, context=context).stored(now_us))
            except ValidationError as error:
                errors = field_errors(error, model=InteractionRow, prefix=prefix)
        if errors:
            rejected.append(errors)
    return ReadRows(rows, rejected)


def _shape_errors(row: object, prefix: tuple[int, ...]) -> list[FieldError]:
    """What pydantic would not see, or not point at: repeated names, very many of them, or broken ones."""
    if not isinstance(row, dict):
        return [FieldError(pointer_to(prefix), "row_type", "an interaction is an object")]
    if len(row) > _MAX_FIELDS:
        return [FieldError(pointer_to(prefix), "too_many_fields", "an interaction has eight fields at most")]
    if isinstance(row, RepeatedNames):
        return [FieldError(pointer_to((*prefix, row.repeated)), "duplicate_name", "this name stands more than once")]
    return [
        FieldError(pointer_to((*prefix, name)), "extra_forbidden", "a name is valid Unicode text")
        for name in row
        if _SURROGATE.search(name)
    ]
