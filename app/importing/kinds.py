"""The two kinds of rows that can be imported."""

from __future__ import annotations

from app.db.interactions import NewInteraction
from app.db.items import NewItem
from app.db.new_interactions import NewInteractions
from app.importing import many_rows
from app.importing.items import ITEM_COLUMNS, SpooledItem, item
from app.importing.load import RowKind
from app.importing.rows import INTERACTION_COLUMNS, interaction
from app.importing.storing import store_interactions, store_items

INTERACTIONS: RowKind[NewInteraction, NewInteractions] = RowKind(
    columns=INTERACTION_COLUMNS,
    required=("user_id", "item_id"),
    read=lambda record, now_us: interaction(record, now_us=now_us),
    many=lambda rows, now_us: many_rows.interactions(rows, now_us=now_us),
    batch=NewInteractions.of,
    batch_type=NewInteractions,
    store=store_interactions,
)
"""What users did; a known `event_id` is a duplicate and changes nothing."""

ITEMS: RowKind[NewItem, list[SpooledItem]] = RowKind(
    columns=ITEM_COLUMNS,
    required=("item_id",),
    read=lambda record, _: item(record),
    many=lambda *_: None,
    batch=lambda rows: list(map(SpooledItem.of, rows)),
    batch_type=list[SpooledItem],
    store=store_items,
)
"""Records of items; each replaces the one before, the last of a file wins."""
