"""The demonstration in the store: recognised, imported, or refused because something else lives there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from sqlalchemy import Connection

from app.clock import MICROSECONDS, Clock
from app.db import interactions, items
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.db.items import NewItem
from app.demo.dataset import DemoDataset, Landmark

EVENT_TYPE = "rating"
_BATCH_ROWS = 10_000

Holding = Literal["nothing", "part", "all", "other"]


def holding(connection: Connection, landmark: Landmark) -> Holding:
    """What of a demonstration the store holds: nothing, a part, all of it (and perhaps more), or other data."""
    rows = interactions.count(connection)
    if not rows:
        return "nothing"
    of_pair = interactions.page(connection, user_id=landmark.user_id, item_id=landmark.item_id, limit=500)
    if not any(row["event_id"] == landmark.event_id for row in of_pair):
        return "other"
    return "all" if rows >= landmark.rows else "part"


def import_dataset(store: Store, dataset: DemoDataset, *, clock: Clock, on_progress: Callable[[int], None]) -> None:
    """Store titles and ratings in batches. Event ids make it repeatable: what was interrupted goes on where it stopped.

    `on_progress` is told how many ratings are in the store. Raises: StoreUnavailable.
    """
    with store.write() as connection:
        records = [NewItem(item.item_id, title=item.title, categories=list(item.categories)) for item in dataset.items]
        items.upsert(connection, records, now_us=clock())
    for start in range(0, len(dataset.ratings), _BATCH_ROWS):
        rows = _rows(dataset, start)
        with store.write() as connection:
            interactions.append(connection, rows, received_us=clock())
        on_progress(start + len(rows))


def _rows(dataset: DemoDataset, start: int) -> Sequence[NewInteraction]:
    return [
        NewInteraction(
            user_id=rating.user_id,
            item_id=rating.item_id,
            event_type=EVENT_TYPE,
            value=rating.value,
            occurred_us=rating.seconds * MICROSECONDS,
            event_id=dataset.event_id(number),
        )
        for number, rating in enumerate(dataset.ratings[start : start + _BATCH_ROWS], start=start + 1)
    ]
