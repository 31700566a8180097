"""The rules of one item record in a file. A record replaces the whole record that was there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from app.db.items import NewItem
from app.ids import ExternalId
from app.importing.files import BadLine, CellReader, Record
from app.importing.rows import bad_row, json_or_text
from app.plain_words import field_errors

MAX_METADATA_BYTES = 16 * 1024
CATEGORY_SEPARATOR = "|"


def _text(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError(
            "text_unprintable", "the text holds control characters, lone surrogates or line breaks"
        )
    return value


def _metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8"))
    except ValueError:
        raise PydanticCustomError("metadata_value", "metadata holds finite numbers and valid Unicode text") from None
    if size > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "metadata takes at most 16 KiB as JSON")
    return value


def _split(value: object) -> object:
    """A CSV cell holds the categories in a row, `Comedy|Drama`."""
    return (
        [part.strip() for part in value.split(CATEGORY_SEPARATOR) if part.strip()] if isinstance(value, str) else value
    )


class ItemRow(BaseModel):
    """One item of the catalogue."""

    model_config = ConfigDict(extra="forbid", title="Item")

    item_id: ExternalId
    title: Annotated[StrictStr, Field(max_length=500), AfterValidator(_text)] | None = None
    categories: Annotated[
        list[Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_text)]],
        Field(max_length=100),
        BeforeValidator(_split),
    ] = Field(default_factory=list)
    metadata: Annotated[dict[str, Any], AfterValidator(_metadata)] | None = None
    hidden: StrictBool = False


ITEM_COLUMNS: Mapping[str, CellReader] = {
    "item_id": str,
    "title": str,
    "categories": str,
    "metadata": json_or_text,
    "hidden": lambda cell: {"true": True, "1": True, "false": False, "0": False}.get(cell.strip().lower(), cell),
}
"""The columns of a CSV file of items; categories are separated by `|`, `metadata` holds a JSON object."""


def item(record: Record | BadLine) -> NewItem | BadLine:
    """The record as an item, or what is wrong with it."""
    if isinstance(record, BadLine):
        return record
    try:
        row = ItemRow.model_validate(record.fields)
    except ValidationError as error:
        return bad_row(record, field_errors(error, model=ItemRow))
    return NewItem(
        row.item_id, title=row.title, categories=row.categories or None, metadata=row.metadata, hidden=row.hidden
    )
