"""The rules of an item's record, the same over HTTP and in files. A record replaces the whole one that was there."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.clock import MICROSECONDS
from app.db.items import NewItem
from app.ids import MAX_ID_LENGTH, InvalidId, check_id
from app.interaction_rows import TIMESTAMP_FORMS, timestamp_us

MAX_TITLE_LENGTH = 512
MAX_CATEGORIES = 100
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 32
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_YEAR_10000_US = 253_402_300_800 * MICROSECONDS


def _title(value: str) -> str:
    if not re.fullmatch(_ONE_LINE, value):
        raise PydanticCustomError("text_control_character", "a title is one line of text without control characters")
    return value


def _category(value: str) -> str:
    try:
        return check_id(value)
    except InvalidId as error:
        raise PydanticCustomError(
            error.code, "a category keeps to the rules of ids: {detail}", {"detail": error.detail}
        ) from error


def _metadata(value: dict[Any, Any]) -> dict[str, Any]:
    _check_inside(value)
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8"))
    except (ValueError, TypeError):  # of a file that has other values than JSON
        raise PydanticCustomError("metadata_value", "metadata holds finite numbers and valid Unicode text") from None
    if size > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "metadata takes at most 16 KiB as JSON")
    return value


def _check_inside(metadata: dict[Any, Any]) -> None:
    """No deeper than every reader of ours can follow, and no number that other readers would take for infinite."""
    level: list[object] = [metadata]
    for _ in range(MAX_METADATA_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        for value in level:
            if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
                raise PydanticCustomError("metadata_value", "metadata holds finite numbers and valid Unicode text")
    if any(isinstance(value, dict | list) for value in level):
        raise PydanticCustomError("metadata_depth", "metadata is nested at most 32 levels deep")


def _moment(value: object) -> int | None:
    if value is None:
        return None
    moment = timestamp_us(value)
    if moment >= _YEAR_10000_US:
        raise PydanticCustomError("timestamp_range", "a time is in the year 9999 or before")
    return moment


def _later_than_from(until_us: int | None, info: ValidationInfo) -> int | None:
    from_us = info.data.get("available_from")
    if until_us is not None and from_us is not None and until_us <= from_us:
        raise PydanticCustomError("availability_order", "available_until is later than available_from")
    return until_us


_TIME: dict[str, JsonValue] = {"anyOf": [*TIMESTAMP_FORMS, {"type": "null"}]}


class ItemFields(BaseModel):
    """What is said of an item; what is left out is cleared."""

    model_config = ConfigDict(extra="forbid", title="Item")

    title: (
        Annotated[
            StrictStr,
            Field(min_length=1, max_length=MAX_TITLE_LENGTH, json_schema_extra={"pattern": _ONE_LINE}),
            AfterValidator(_title),
        ]
        | None
    ) = Field(None, description="Comes back in lists; one line of text.")
    categories: (
        Annotated[
            list[Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_category)]],
            Field(max_length=MAX_CATEGORIES),
        ]
        | None
    ) = Field(None, description="By the rules of ids; one that stands twice counts once.")
    metadata: Annotated[dict[Any, Any], AfterValidator(_metadata)] | None = Field(
        None, description="Any object of at most 16 KiB as compact JSON and 32 levels; comes back as it is."
    )
    hidden: StrictBool = Field(False, description="Keep the item out of every list.")
    available_from: Annotated[int | None, PlainValidator(_moment), WithJsonSchema(_TIME)] = Field(
        None, description="Out of every list before this moment: RFC 3339 with an offset, or seconds since 1970."
    )
    available_until: Annotated[
        int | None, PlainValidator(_moment), AfterValidator(_later_than_from), WithJsonSchema(_TIME)
    ] = Field(None, description="Out of every list from this moment on; later than available_from.")

    def record(self, item_id: str) -> NewItem:
        """The record as the store takes it."""
        return NewItem(
            item_id,
            title=self.title,
            categories=list(dict.fromkeys(self.categories or ())) or None,
            metadata=self.metadata,
            hidden=self.hidden,
            available_from_us=self.available_from,
            available_until_us=self.available_until,
        )
