"""The two kinds of files that can be imported."""

from __future__ import annotations

from app.db import interactions, items
from app.importing.items import ITEM_COLUMNS, item
from app.importing.load import RowKind
from app.importing.rows import INTERACTION_COLUMNS, interaction

INTERACTIONS: RowKind[interactions.NewInteraction] = RowKind(
    columns=INTERACTION_COLUMNS,
    required=("user_id", "item_id"),
    read=lambda record, now_us: interaction(record, now_us=now_us),
    store=lambda connection, rows, now_us: interactions.append(connection, rows, received_us=now_us).accepted,
)
"""What users did; a known `event_id` is a duplicate and changes nothing."""

ITEMS: RowKind[items.NewItem] = RowKind(
    columns=ITEM_COLUMNS,
    required=("item_id",),
    read=lambda record, _: item(record),
    store=lambda connection, rows, now_us: items.upsert(connection, rows, now_us=now_us),
)
"""Records of items; each replaces the one before, the last of a file wins."""
