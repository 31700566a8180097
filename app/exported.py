"""Rows of the store as lines of files, in the form that uploads take: nothing is left out, prefixed or altered."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

import msgspec

from app.clock import to_rfc3339
from app.db.exports import ExportedRow
from app.db.items import ItemRecord

INTERACTION_HEADER = (
    *("user_id", "item_id", "event_type", "value", "timestamp"),
    *("event_id", "recommendation_id", "context"),
)
ITEM_HEADER = ("item_id", "title", "categories", "metadata", "hidden", "available_from", "available_until")
CATEGORY_SEPARATOR = "|"


class _Interaction(msgspec.Struct, omit_defaults=True):
    user_id: str
    item_id: str
    event_type: str
    value: float
    timestamp: str
    event_id: str | None = None
    recommendation_id: str | None = None
    context: msgspec.Raw | None = None


class _Item(msgspec.Struct, omit_defaults=True):
    item_id: str
    title: str | None = None
    categories: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    hidden: bool = False
    available_from: str | None = None
    available_until: str | None = None


_encoder = msgspec.json.Encoder()


class NotForCsv(ValueError):
    """A record holds what CSV has no place for."""


def interactions_ndjson(rows: Iterable[ExportedRow]) -> bytes:
    """One object a line."""
    return _encoder.encode_lines(
        [
            _Interaction(
                row.user_id,
                row.item_id,
                row.event_type,
                row.value,
                to_rfc3339(row.occurred_us),
                row.event_id,
                row.recommendation_id,
                None if row.context is None else msgspec.Raw(row.context.encode()),
            )
            for row in rows
        ]
    )


def interactions_csv(rows: Iterable[ExportedRow]) -> bytes:
    """One row a line, of the columns in INTERACTION_HEADER."""
    return _csv(
        (
            *(row.user_id, row.item_id, row.event_type, repr(row.value), to_rfc3339(row.occurred_us)),
            *(row.event_id, row.recommendation_id, row.context),
        )
        for row in rows
    )


def items_ndjson(records: Iterable[ItemRecord]) -> bytes:
    """One object a line."""
    return _encoder.encode_lines(
        [
            _Item(
                record.item_id,
                record.title,
                record.categories,
                dict(record.metadata),
                record.hidden,
                _time(record.available_from_us),
                _time(record.available_until_us),
            )
            for record in records
        ]
    )


def items_csv(records: Iterable[ItemRecord]) -> bytes:
    """One row a line, of the columns in ITEM_HEADER. Raises: NotForCsv for a category that holds the separator."""
    return _csv(
        (
            record.item_id,
            record.title,
            _joined(record),
            _encoder.encode(record.metadata).decode() if record.metadata else None,
            "true" if record.hidden else None,
            _time(record.available_from_us),
            _time(record.available_until_us),
        )
        for record in records
    )


def header(columns: Iterable[str]) -> bytes:
    """The first line of CSV."""
    return _csv([tuple(columns)])


def _joined(record: ItemRecord) -> str:
    if any(CATEGORY_SEPARATOR in category for category in record.categories):
        raise NotForCsv(f"a category holds {CATEGORY_SEPARATOR}, which separates categories in CSV; export NDJSON")
    return CATEGORY_SEPARATOR.join(record.categories)


def _csv(rows: Iterable[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
