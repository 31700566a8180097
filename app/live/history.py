"""What every user did, in memory: tables of rows by user, and the few rows that came since.

Rows arrive twice: from this worker's own writes, right after their commit, and from the feed, which sees the commits
of all processes. A row is applied once, by its id. The base, memory-mapped, is replaced after each training, together
with what the feed brought since that base was read. Where much comes in between, it becomes a table in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.db.append import Appended, StoredInteraction
from app.db.feed import FeedBatch
from app.db.watermark import START, Watermark
from app.live.catalogue import Catalogue
from app.live.held import Base, Held
from app.live.popularity import RecentPopularity
from app.live.rows import EventRows
from app.live.seen import EventTypes, SeenRule
from model.user_factors import UserEvents

# Beyond so many, rows that came since become a table: on its own a row takes a quarter of a kilobyte.
MOST_SINCE = 20_000


class History:
    """The events of all users by store keys, readable without the store.

    Readers take no lock (before the first model `recent_popularity` does).

    Args:
        most_since: beyond so many, rows that came since become a table.
        folder: where large tables are kept; None keeps them in memory.
    Attributes:
        rule: which events keep an item out of its user's lists.
        types: the types of events.
        catalogue: the items.
        changes: how often rows came or went.
    """

    def __init__(
        self,
        rule: SeenRule,
        *,
        popularity_half_life_us: float,
        most_since: int = MOST_SINCE,
        folder: Path | None = None,
    ) -> None:
        self.rule = rule
        self._folder = folder
        self._half_life_us = popularity_half_life_us
        self._most_since = most_since
        self._lock = threading.Lock()
        self.types = EventTypes(rule)
        self._held = Held.resting_on(Base.none(), self.types)
        self._watermark = START
        self._since = 0
        # Own rows that the feed has not reached yet, by their ids.
        self._ahead: dict[int, StoredInteraction] = {}
        self.catalogue = Catalogue(self._held.base.histories.items)
        self.changes = 0
        self._counting = True
        # Made when it is asked for; None also when rows were taken away, which it cannot follow.
        self._popularity: RecentPopularity | None = None

    @property
    def watermark(self) -> Watermark:
        """Up to where the feed was read; the next read goes on from here."""
        return self._watermark

    @property
    def base_name(self) -> str:
        """The name of the training's history that this rests on; "" for none."""
        return self._held.base.name

    def apply(self, appended: Appended) -> None:
        """Take rows that this process has just committed, before the feed brings them."""
        with self._lock:
            fresh = [row for row in appended.rows if not self._watermark.covers(row.id, row.xact)]
            self._ahead.update((row.id, row) for row in fresh)
            self._extend(fresh, appended.user_ids, appended.item_ids)

    def apply_feed(self, batch: FeedBatch) -> None:
        """Take what the feed read and move the watermark with it."""
        with self._lock:
            self._take(batch)
            self.catalogue.compact()

    def restart(self, base: Base, batch: FeedBatch) -> None:
        """Forget everything and hold a base and what came since: the first time, or for a store that was restored."""
        with self._lock:
            self._ahead.clear()
            self._counting = True
            self.catalogue = Catalogue.of(base.histories.items, batch.item_ids, batch.items)
            self._rest_on(base, batch)

    def beside(self, base: Base, batch: FeedBatch) -> History:
        """Another history, on a newer base and what came since it, which this one may `become` when it has read on."""
        other = History(self.rule, popularity_half_life_us=self._half_life_us, most_since=self._most_since)
        other._folder = self._folder
        other.types = self.types
        other.restart(base, batch)
        return other

    def become(self, other: History) -> None:
        """Hold what the other one does, which nobody else has, and own rows that it has not reached."""
        with self._lock:
            self.catalogue.rebase(other.catalogue)
            self.catalogue.compact()
            self._ahead = self._not_reached(other.watermark)
            names = self._held.names_of({row.user_key for row in self._ahead.values()})
            held = other.held
            # Erased here since the other one read: nobody comes back until the feed says so once more.
            if gone := self._held.erased - held.erased:
                held = held.without_users(gone)
            self._watermark, self._since = other.watermark, other._since
            self._name_users(held, {key: user_id for user_id, key in names.items()})
            self._append(held, self._ahead.values())
            self._become(held)

    def erase(self, user_key: int) -> None:
        """Forget a user at once, before the feed says so."""
        with self._lock:
            self._erase({user_key})

    def name_items(self, item_ids: dict[int, str]) -> None:
        """Learn ids of item keys."""
        with self._lock:
            self.catalogue.name(item_ids)

    def stop_counting(self) -> None:
        """A model is live and carries its own popularity: stop keeping counts for the time before the first one."""
        with self._lock:
            self._counting = False
            self._popularity = None

    @property
    def held(self) -> Held:
        """What is held now; one request reads from one."""
        return self._held

    def user_key(self, user_id: str) -> int | None:
        """The store's key of an id, or None for a user nothing is known of."""
        return self._held.user_key(user_id)

    def seen_item_keys(self, user_key: int, *, now_us: int, only_hidden: bool = False) -> NDArray[np.int64]:
        """Keys of items that `user_key` has dealt with, as the rule counts it, shape (S,), repeats possible.

        With `only_hidden`, just those that the user asked not to see again (`dislike=hide`), for which no age counts.
        """
        return self.seen_of(self._held.events(user_key), now_us=now_us, only_hidden=only_hidden)

    def seen_of(self, events: UserEvents, *, now_us: int, only_hidden: bool = False) -> NDArray[np.int64]:
        """As `seen_item_keys`, of events that are at hand."""
        if not only_hidden and self.rule.sees_everything:
            return events.item_keys
        keys: NDArray[np.int64] = events.item_keys[self.seen_mask(events, now_us=now_us, only_hidden=only_hidden)]
        return keys

    def seen_mask(self, events: UserEvents, *, now_us: int, only_hidden: bool = False) -> NDArray[np.bool_]:
        """Which events, of one user or several, keep their item out of the user's lists, bool, shape (N,)."""
        return self.types.seen_mask(events, now_us=now_us, only_hidden=only_hidden)

    @property
    def seen_ages(self) -> bool:
        """Whether an item stops being a seen one after some time."""
        return self.rule.days is not None

    def recent_popularity(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Item keys ascending and decayed counts, both shape (I,); empty once a model is live."""
        with self._lock:
            if not self._counting:
                return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
            if self._popularity is None:
                self._popularity = RecentPopularity(half_life_us=self._half_life_us)
                self._popularity.add_many(*self._held.rows_since("").shown(self.types))
            return self._popularity.counts()

    def _rest_on(self, base: Base, batch: FeedBatch) -> None:
        """A base and everything since it, whatever was held before."""
        self._watermark = batch.watermark
        self._since = 0
        held = replace(Held.resting_on(base, self.types), erased=batch.erased)
        if batch.expired_us is not None:
            held = replace(held, expired_us=batch.expired_us)
        self._name_users(held, batch.user_ids)
        if len(batch.rows) > self._most_since:
            held = held.with_recent(EventRows.of_columns(batch.rows, self.types), self._folder)
        else:
            self._append(held, batch.rows)
        self._append(held, (row for rows in batch.deleted.values() for row in rows))
        self._become(replace(held, replaced=frozenset(batch.deleted) | batch.erased))

    def _take(self, batch: FeedBatch) -> None:
        self.catalogue.update(batch.items)
        ahead = self._not_reached(batch.watermark)
        if batch.expired_us is not None:
            self._expire(batch.expired_us, still_there=ahead.keys() | set(batch.rows.id.tolist()))
        if len(batch.rows) > self._worth_a_table():
            self._take_many(batch)
        else:
            fresh = (row for row in batch.rows if row.id not in self._ahead and row.user_key not in batch.deleted)
            self._extend(fresh, batch.user_ids, batch.item_ids)
        if batch.deleted:
            self._replace(batch.deleted, ahead.values())
        if batch.erased:
            self._erase(batch.erased)
        self._ahead = ahead
        self._watermark = batch.watermark
        if self._since > self._worth_a_table():
            self._compact()

    def _worth_a_table(self) -> int:
        """More rows than this become one: as many as there are in the one that is then made anew."""
        return max(self._most_since, sum(len(table) for table in self._held.recent[-1:] if not table.full))

    def _compact(self) -> None:
        """Make a table of what came since, but for own rows that the feed has not reached and users read anew."""
        held = self._held
        rows: list[StoredInteraction] = []
        left: dict[int, list[StoredInteraction]] = {}
        for user_key, own in held.later.items():
            kept = own if user_key in held.replaced else [row for row in own if row.id in self._ahead]
            if kept:
                left[user_key] = list(kept)
            if user_key not in held.replaced:
                rows += (row for row in own if row.id not in self._ahead)
        self._since = 0
        self._become(replace(held, later=left).with_recent(EventRows.of(rows, self.types), self._folder))

    def _take_many(self, batch: FeedBatch) -> None:
        """Rows of the feed straight into a table: as objects they would take ten times as much memory."""
        self._extend((), batch.user_ids, batch.item_ids)
        rows = EventRows.of_columns(batch.rows, self.types)
        left_out = np.isin(batch.rows.user_key, list(batch.deleted)) if batch.deleted else False
        rows = rows.take(~(np.isin(batch.rows.id, list(self._ahead)) | left_out))
        # Users whose rows were read anew are no longer looked for in tables: theirs stay beside.
        beside = np.isin(rows.user_keys, list(self._held.replaced))
        if beside.any():
            kept = set(batch.rows.id[np.isin(batch.rows.user_key, list(self._held.replaced))].tolist())
            self._append(self._held, (row for row in batch.rows if row.id in kept and row.id not in self._ahead))
            rows = rows.take(~beside)
        self._become(self._held.with_recent(rows, self._folder))

    def _extend(self, rows: Iterable[StoredInteraction], user_ids: Mapping[int, str], item_ids: dict[int, str]) -> None:
        self._name_users(self._held, user_ids)
        self.catalogue.name(item_ids)
        rows = self._append(self._held, rows)
        if self._popularity is not None:
            self._popularity.add_many(*EventRows.of(rows, self.types).shown(self.types))
        # A poll that brought nothing is no change.
        self.changes += bool(rows)

    def _append(self, held: Held, rows: Iterable[StoredInteraction]) -> list[StoredInteraction]:
        rows = list(rows)
        self.types.numbers(row.event_type for row in rows)  # named here, where the lock is held
        for row in rows:
            held.later.setdefault(row.user_key, []).append(row)
        self._since += len(rows)
        return rows

    def _name_users(self, held: Held, user_ids: Mapping[int, str]) -> None:
        # One who was erased right after an own upload was committed is not to come back with it.
        held.user_keys.update((user_ids[key], key) for key in held.unnamed(user_ids) if key not in held.erased)

    def _not_reached(self, watermark: Watermark) -> dict[int, StoredInteraction]:
        """Own rows that a read of the feed up to `watermark` has not seen."""
        return {row.id: row for row in self._ahead.values() if not watermark.covers(row.id, row.xact)}

    def _replace(self, left: Mapping[int, list[StoredInteraction]], ahead: Collection[StoredInteraction]) -> None:
        """Some rows of these users were deleted: hold what is left, and no longer look into the tables."""
        held = self._held
        # A copy: whoever reads from what was held still looks into the tables.
        later = held.later | {user_key: list(rows) for user_key, rows in left.items()}
        self.types.numbers(row.event_type for rows in left.values() for row in rows)
        for row in ahead:
            if row.user_key in left:
                later[row.user_key].append(row)
        self._become(replace(held, later=later, replaced=held.replaced | left.keys()))

    def _erase(self, user_keys: Collection[int]) -> None:
        """These users are gone: nobody leads to them any more, and nothing of theirs is held."""
        self._ahead = {row.id: row for row in self._ahead.values() if row.user_key not in user_keys}
        self._become(self._held.without_users(user_keys))

    def _expire(self, before_us: int, *, still_there: Collection[int]) -> None:
        """Rows from before that moment were deleted for their age, but those of ids that came after it or may have."""
        self._become(self._held.without_expired(before_us, still_there=still_there))

    def _become(self, held: Held) -> None:
        """Rows went, or are held otherwise."""
        self._popularity = None
        self._held = held
        self.changes += 1
