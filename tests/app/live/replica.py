"""A replica read by hand, and a store that breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.db import interactions
from app.db.engine import Store, StoreUnavailable
from app.db.interactions import NewInteraction
from app.db.keys import KeyRow
from app.live.history import History
from app.live.live_model import LiveModel
from app.live.refresher import Refresher
from app.live.seen import SeenRule
from app.snapshots import SnapshotStore
from tests.app.published import NOW_US


class Replica:
    """One process's memory, read by hand instead of by a thread."""

    def __init__(self, store: Store, model_dir: Path, **options: Any) -> None:
        self.history = History(SeenRule(), popularity_half_life_us=1e12)
        self.live = LiveModel()
        self.keys: list[list[KeyRow]] = []
        self.refresher = Refresher(
            store,
            SnapshotStore(model_dir),
            self.history,
            self.live,
            refresh_seconds=0.05,
            on_keys=self.keys.append,
            **options,
        )

    def seen(self, user_id: str) -> set[str | None]:
        user_key = self.history.user_key(user_id)
        assert user_key is not None
        return {
            self.history.catalogue.item_id(k) for k in self.history.seen_item_keys(user_key, now_us=NOW_US).tolist()
        }


def post(store: Store, *pairs: tuple[str, str], event_id: str | None = None) -> None:
    rows = [NewInteraction(user, item, "view", 1.0, NOW_US, event_id, None, None) for user, item in pairs]
    with store.write() as connection:
        interactions.append(connection, rows, received_us=NOW_US)


class BreakingStore(Store):
    """The same database as another store; after so many reads one fails."""

    def __init__(self, store: Store, *, reads: int) -> None:
        super().__init__(store.engine)
        self.reads = reads

    @contextmanager
    def read(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        self.reads -= 1
        if self.reads == -1:
            raise StoreUnavailable("away")
        with super().read(repeatable=repeatable) as connection:
            yield connection
