"""One item record in a file. A record replaces the whole record that was there."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from pydantic import ValidationError

from app.db.items import NewItem
from app.exported import CATEGORY_SEPARATOR
from app.ids import ExternalId
from app.importing.records import BadLine, CellReader, Record
from app.importing.rows import bad_row, number_or_text
from app.item_rows import ItemFields
from app.plain_words import field_errors


class SpooledItem(msgspec.Struct, array_like=True, gc=False):
    """A record on its way; metadata as JSON, which holds any integer."""

    item_id: str
    title: str | None
    categories: list[str] | None
    metadata: str | None
    hidden: bool
    available_from_us: int | None
    available_until_us: int | None

    @classmethod
    def of(cls, new: NewItem) -> SpooledItem:
        """A checked record."""
        return cls(
            new.item_id,
            new.title,
            None if new.categories is None else list(new.categories),
            None if new.metadata is None else json.dumps(dict(new.metadata)),
            new.hidden,
            new.available_from_us,
            new.available_until_us,
        )

    def record(self) -> NewItem:
        """The record again."""
        return NewItem(
            self.item_id,
            self.title,
            self.categories,
            None if self.metadata is None else json.loads(self.metadata),
            self.hidden,
            self.available_from_us,
            self.available_until_us,
        )


class ItemRow(ItemFields):
    """One item of the catalogue."""

    item_id: ExternalId


def _split(cell: str) -> list[str]:
    """A cell holds the categories in a row, `Comedy|Drama`."""
    return [part.strip() for part in cell.split(CATEGORY_SEPARATOR) if part.strip()]


def _object_or_text(cell: str) -> object:
    """What the cell says as JSON; the text, for the rules to refuse, where a name stands twice in an object."""
    try:
        value: object = json.loads(cell, object_pairs_hook=_with_different_names)
    except (ValueError, RecursionError):
        return cell
    return value


def _with_different_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise ValueError
    return built


ITEM_COLUMNS: Mapping[str, CellReader] = {
    "item_id": str,
    "title": str,
    "categories": _split,
    "metadata": _object_or_text,
    "hidden": lambda cell: {"true": True, "1": True, "false": False, "0": False}.get(cell.strip().lower(), cell),
    "available_from": number_or_text,
    "available_until": number_or_text,
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
    return row.record(row.item_id)
