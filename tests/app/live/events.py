"""What comes to a replica, made by hand: rows, batches of the feed, histories of trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from app.db.append import Appended, StoredInteraction
from app.db.columns import InteractionColumns
from app.db.feed import FeedBatch
from app.db.items import ItemRecord
from app.db.watermark import START, Watermark
from app.live.held import Base
from app.live.history import History
from app.live.rows import EventRows
from app.live.seen import EventTypes, SeenRule
from model.histories import Histories
from model.item_table import ItemTable

DAY_US = 86_400_000_000
USERS = {1: "ann", 2: "bob", 3: "cid"}
ITEMS = {11: "tea", 12: "cup", 13: "jam"}


def user_id(key: int) -> str:
    return USERS.get(key, f"user-{key}")


def item_id(key: int) -> str:
    return ITEMS.get(key, f"item-{key}")


def row(
    row_id: int, user_key: int, item_key: int, *, event_type: str = "view", at: int = 1_000, xact: int = 0
) -> StoredInteraction:
    return StoredInteraction(row_id, xact, user_key, item_key, event_type, 1.0, at)


def upto(last_id: int, last_change_id: int = 0) -> Watermark:
    return Watermark(last_id=last_id, last_change_id=last_change_id, snapshot=None)


def columns(rows: Iterable[StoredInteraction]) -> InteractionColumns:
    return InteractionColumns.of(
        (r.id, r.xact, r.user_key, r.item_key, r.event_type, r.value, r.occurred_us) for r in rows
    )


def appended(*rows: StoredInteraction) -> Appended:
    users = {r.user_key: user_id(r.user_key) for r in rows}
    items = {r.item_key: item_id(r.item_key) for r in rows}
    return Appended(accepted=len(rows), duplicates=0, rows=list(rows), user_ids=users, item_ids=items)


def batch(
    *rows: StoredInteraction,
    watermark: Watermark,
    deleted: dict[int, list[StoredInteraction]] | None = None,
    items: Iterable[ItemRecord] = (),
    expired_us: int | None = None,
) -> FeedBatch:
    """As the feed reads it: new rows of users of whom something was deleted are among `deleted`."""
    deleted = deleted or {}
    named = appended(*rows, *(r for left in deleted.values() for r in left))
    return FeedBatch(
        rows=columns(rows),
        deleted=deleted,
        items=list(items),
        user_ids=named.user_ids | {key: user_id(key) for key in deleted},
        item_ids=named.item_ids,
        keys_changed=False,
        watermark=watermark,
        expired_us=expired_us,
    )


def rebase(h: History, newer: Base, since: FeedBatch) -> None:
    h.become(h.beside(newer, since))


def record(item_key: int, **changed: Any) -> ItemRecord:
    given: dict[str, Any] = {
        "item_id": item_id(item_key),
        "title": None,
        "categories": (),
        "hidden": False,
        "deleted": False,
        "available_from_us": None,
        "available_until_us": None,
        "updated_us": 1,
    }
    return ItemRecord(item_key=item_key, **{**given, **changed})


def histories(*rows: StoredInteraction, items: ItemTable | None = None) -> Histories:
    types = sorted({r.event_type for r in rows})
    return Histories.build(
        np.array([r.user_key for r in rows], dtype=np.int64),
        np.array([r.item_key for r in rows], dtype=np.int64),
        event_codes=np.array([types.index(r.event_type) for r in rows], dtype=np.int64),
        times_us=np.array([r.occurred_us for r in rows], dtype=np.int64),
        values=np.array([r.value for r in rows]),
        event_types=types,
        user_ids={r.user_key: user_id(r.user_key) for r in rows},
        items=ItemTable.build({r.item_key: item_id(r.item_key) for r in rows}) if items is None else items,
    )


def base(
    *rows: StoredInteraction, name: str = "model-1", watermark: Watermark | None = None, items: ItemTable | None = None
) -> Base:
    """A training's history of these rows, which it read up to the last of them."""
    if watermark is None:
        watermark = upto(max(r.id for r in rows)) if rows else START
    return Base(histories(*rows, items=items), watermark, name)


def history(rule: SeenRule | None = None, **options: Any) -> History:
    return History(rule or SeenRule(), popularity_half_life_us=30 * DAY_US, **options)


def seen(h: History, user_key: int, *, now_us: int = 2_000, only_hidden: bool = False) -> list[int]:
    return sorted(h.seen_item_keys(user_key, now_us=now_us, only_hidden=only_hidden).tolist())


def popular(h: History) -> dict[int, float]:
    keys, counts = h.recent_popularity()
    return dict(zip(keys.tolist(), counts.tolist(), strict=True))


Told = tuple[int, int, str, int, float]


def told(rows: EventRows, types: EventTypes) -> list[Told]:
    """Rows as (user key, item key, type, time, value), sorted."""
    codes = [types.names[code] for code in rows.event_codes.tolist()]
    arrays = (rows.user_keys.tolist(), rows.item_keys.tolist(), codes, rows.times_us.tolist(), rows.values.tolist())
    return sorted(zip(*arrays, strict=True))


def told_of(rows: Iterable[StoredInteraction]) -> list[Told]:
    """The same of stored rows."""
    return sorted((r.user_key, r.item_key, r.event_type, r.occurred_us, r.value) for r in rows)
