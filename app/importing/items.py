"""One item record in a file. A record replaces the whole record that was there."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from app.db.items import NewItem
from app.exported import CATEGORY_SEPARATOR
from app.ids import ExternalId
from app.importing.records import BadLine, CellReader, Record
from app.importing.rows import bad_row, json_or_text, number_or_text
from app.item_rows import ItemFields
from app.plain_words import field_errors


class ItemRow(ItemFields):
    """One item of the catalogue."""

    item_id: ExternalId


def _split(cell: str) -> list[str]:
    """A cell holds the categories in a row, `Comedy|Drama`."""
    return [part.strip() for part in cell.split(CATEGORY_SEPARATOR) if part.strip()]


ITEM_COLUMNS: Mapping[str, CellReader] = {
    "item_id": str,
    "title": str,
    "categories": _split,
    "metadata": json_or_text,
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
