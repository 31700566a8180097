"""A recommender over made-up people and items, in memory alone: what a refresher does is done by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from app.db.append import Appended, StoredInteraction
from app.db.columns import InteractionColumns
from app.db.feed import FeedBatch
from app.db.items import ItemRecord
from app.db.watermark import START, Watermark
from app.live.freshness import fresh_candidates
from app.live.held import Base
from app.live.history import History
from app.live.live_model import ActiveModel, LiveModel
from app.live.seen import SeenRule
from app.recommend import Ranked, Recommender
from app.training.history import item_table
from model.histories import Histories
from model.served import ServedModel
from tests.app.published import NOW_US
from tests.app.recommend.versions import version

DAY_US = 86_400_000_000
TRAINED_US = NOW_US - 10 * DAY_US
USERS = 6
ITEMS = 40
DISLIKE_HIDES = SeenRule(hidden_types=frozenset({"dislike"}))


class Event(NamedTuple):
    """Somebody did something, before the training if nothing else is said."""

    user_key: int
    item_key: int
    event_type: str = "view"
    at: int = TRAINED_US
    value: float = 1.0


ALL_CHOSE_ITEM_1 = tuple(Event(user_key, 1) for user_key in range(1, USERS + 1))


def user_id(key: int) -> str:
    return f"user-{key}"


def item_id(key: int) -> str:
    return f"item-{key}"


def item_key(item_id: str) -> int:
    return int(item_id.removeprefix("item-"))


def record(key: int, *categories: str, **changed: Any) -> ItemRecord:
    """An item that somebody has put."""
    fields = {"title": None, "hidden": False, "deleted": False, "available_from_us": None, "available_until_us": None}
    return ItemRecord(key, item_id(key), categories=categories, updated_us=NOW_US, **{**fields, **changed})


def ids(ranked: Ranked) -> list[str]:
    return [item.item_id for item in ranked.items]


def bits(ranked: Ranked) -> list[tuple[str, str]]:
    """Items and scores in order; two scores are the same only if all of their bits are."""
    return [(item.item_id, item.score.hex()) for item in ranked.items]


class World:
    """Users 1 to 6 and items 1 to 40 (keys), of which version 3 knows what the users did in `trained`.

    Args:
        trained: what happened before the training; with `model` False, before the first one.
        records: of items of the model, from before the training.
        served: fields of the version to be changed, and `policy` as fields of the policy.
    Attributes:
        now_us: what the recommender's clock says.
    """

    def __init__(
        self,
        trained: Sequence[Event] = ALL_CHOSE_ITEM_1,
        *,
        items: int = ITEMS,
        records: Iterable[ItemRecord] = (),
        model: bool = True,
        repeats_included: bool | None = False,
        rule: SeenRule = DISLIKE_HIDES,
        most_since: int = 20_000,
        **served: Any,
    ) -> None:
        self.rule, self.items, self.now_us = rule, items, NOW_US
        self.repeats_included, self.changed = repeats_included, served
        self.records = {key: record(key) for key in range(1, items + 1)} | {each.item_key: each for each in records}
        self.rows: list[StoredInteraction] = []
        self.last_id = 0
        self.history = History(rule, popularity_half_life_us=1e12, most_since=most_since)
        self.live = LiveModel()
        self.recommender = Recommender(
            self.history, self.live, clock=lambda: self.now_us, repeats_included=repeats_included
        )
        if model:
            self._store(trained)
            base = self._base("model-000003")
            self.history.restart(base, batch(watermark=base.watermark))
            self.publish(3, self.served_model(), base=base)
        else:
            self.history.catalogue.update(self.records.values())
            self.did(*trained)

    # -- what happens -------------------------------------------------------------------------------------------------

    def did(self, *events: Event) -> None:
        """Events come in through this process."""
        rows = self._store(events)
        users = {row.user_key: user_id(row.user_key) for row in rows}
        items = {row.item_key: item_id(row.item_key) for row in rows}
        self.history.apply(Appended(len(rows), 0, rows, users, items))

    def interact(self, user_key: int, *item_keys: int, event_type: str = "view", at: int = NOW_US) -> None:
        """A user does the same with some items now."""
        self.did(*(Event(user_key, key, event_type, at) for key in item_keys))

    def followed(self) -> None:
        """The feed brings all that came in, once more."""
        self.history.apply_feed(self._since(self.history.watermark))

    def put(self, *records: ItemRecord) -> None:
        """Items get a record."""
        self.records |= {each.item_key: each for each in records}
        self.history.catalogue.update(records)

    def take_back(self, *row_ids: int) -> None:
        """Events are deleted."""
        gone = [row for row in self.rows if row.id in row_ids]
        self.rows = [row for row in self.rows if row.id not in row_ids]
        left = {user: [row for row in self.rows if row.user_key == user] for user in {row.user_key for row in gone}}
        self.history.apply_feed(batch(watermark=self._watermark(), deleted=left))

    def expire(self, before_us: int) -> None:
        """Events from before a moment are deleted for their age."""
        self.rows = [row for row in self.rows if row.occurred_us >= before_us]
        self.history.apply_feed(batch(watermark=self._watermark(), expired_us=before_us))

    def freshen(self) -> None:
        """Popularity and new items follow what came."""
        live = self.live.current()
        assert live is not None
        self.live.swap(replace(live, candidates=fresh_candidates(live.served, live.name, self.history)))

    def train(self, version: int, **changed: Any) -> None:
        """Another version, of all that happened."""
        self.changed |= changed
        base = self._base(f"model-{version:06d}")
        self.history.become(self.history.beside(base, batch(watermark=base.watermark)))
        self.publish(version, self.served_model(), base=base)

    def publish(self, version: int, served: ServedModel, *, base: Base) -> None:
        """A version goes live."""
        candidates = fresh_candidates(served, base.name, self.history)
        self.live.swap(ActiveModel(version, NOW_US, base.watermark, base.name, candidates))
        self.history.stop_counting()

    def lose_base(self) -> None:
        """What the training wrote of histories is gone: all is read from the feed."""
        self.history.restart(Base.none(), self._since(START, records=True))
        self.freshen()

    def restarted(self) -> World:
        """Another process on the same store: it holds the same base and reads the feed since."""
        live, held = self.live.current(), self.history.held
        assert live is not None
        other = World((), items=self.items, model=False, rule=self.rule, repeats_included=self.repeats_included)
        other.rows, other.records, other.now_us, other.last_id = self.rows, self.records, self.now_us, self.last_id
        other.history.restart(held.base, self._since(held.base.watermark, records=True))
        other.publish(live.version, live.served, base=held.base)
        return other

    # -- what is true -------------------------------------------------------------------------------------------------

    def rows_of(self, user_key: int) -> list[StoredInteraction]:
        return [row for row in self.rows if row.user_key == user_key]

    def trained_covers(self, row: StoredInteraction) -> bool:
        """Whether the live version knows of an event."""
        live = self.live.current()
        return live is not None and live.watermark.covers(row.id, row.xact)

    @property
    def item_ids(self) -> list[str]:
        """All items that anything named."""
        return [item_id(key) for key in sorted({*self.records, *(row.item_key for row in self.rows)})]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _store(self, events: Iterable[Event]) -> list[StoredInteraction]:
        rows = [
            StoredInteraction(number, 0, each.user_key, each.item_key, each.event_type, each.value, each.at)
            for number, each in enumerate(events, self.last_id + 1)
        ]
        self.last_id += len(rows)
        self.rows = [*self.rows, *rows]
        return rows

    def _watermark(self) -> Watermark:
        return Watermark(self.last_id, 0, None)

    def _base(self, name: str) -> Base:
        rows = self.rows
        types = sorted({row.event_type for row in rows})
        histories = Histories.build(
            np.array([row.user_key for row in rows], dtype=np.int64),
            np.array([row.item_key for row in rows], dtype=np.int64),
            event_codes=np.array([types.index(row.event_type) for row in rows], dtype=np.int64),
            times_us=np.array([row.occurred_us for row in rows], dtype=np.int64),
            values=np.array([row.value for row in rows], dtype=np.float64),
            event_types=types,
            user_ids={row.user_key: user_id(row.user_key) for row in rows},
            items=item_table(({row.item_key: record(row.item_key) for row in rows} | self.records).values()),
        )
        return Base(histories, self._watermark(), name)

    def _since(self, watermark: Watermark, *, records: bool = False) -> FeedBatch:
        rows = [row for row in self.rows if not watermark.covers(row.id, row.xact)]
        return batch(*rows, watermark=self._watermark(), items=list(self.records.values()) if records else [])

    def served_model(self) -> ServedModel:
        """What a training makes of all that happened."""
        return version(self.rows, items=self.items, rule=self.rule, **self.changed)


def batch(
    *rows: StoredInteraction,
    watermark: Watermark,
    deleted: dict[int, list[StoredInteraction]] | None = None,
    items: Sequence[ItemRecord] = (),
    expired_us: int | None = None,
) -> FeedBatch:
    """What a read of the feed brought."""
    columns = InteractionColumns.of(
        (row.id, row.xact, row.user_key, row.item_key, row.event_type, row.value, row.occurred_us) for row in rows
    )
    named = [*rows, *(row for left in (deleted or {}).values() for row in left)]
    return FeedBatch(
        rows=columns,
        deleted=deleted or {},
        items=list(items),
        user_ids={row.user_key: user_id(row.user_key) for row in named},
        item_ids={row.item_key: item_id(row.item_key) for row in named},
        keys_changed=False,
        watermark=watermark,
        expired_us=expired_us,
    )
