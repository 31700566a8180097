"""What every user did, in memory: one memory-mapped base and the rows that came since.

Rows arrive twice: from this worker's own writes, right after their commit, and from the feed, which sees the commits
of all processes. A row is applied once, by its id. The base is replaced after each training, together with what the
feed brought since that base was read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.db.feed import FeedBatch
from app.db.interactions import Appended, StoredInteraction
from app.db.items import ItemRecord
from app.db.watermark import START, Watermark
from app.live.catalogue import Catalogue
from app.live.popularity import RecentPopularity
from model.histories import Histories

_DAY_US = 86_400_000_000
_NO_KEYS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class SeenRule:
    """Which events keep an item out of its user's lists.

    `event_types` None means all; `days` None means for ever; `hidden_types` keep the item out whatever is asked for.
    """

    event_types: frozenset[str] | None = None
    days: float | None = None
    hidden_types: frozenset[str] = frozenset()

    def sees(self, event_type: str) -> bool:
        """Whether an event of this type makes its item a seen one."""
        return self.event_types is None or event_type in self.event_types or event_type in self.hidden_types


@dataclass(frozen=True, slots=True)
class _State:
    """A base and what came since, behind one reference: a reader that takes it sees both of the same moment.

    Attributes:
        replaced: users whose rows in the base no longer hold, since some were deleted; all of theirs stand in `later`.
        later: rows by user; a list grows at its end and is otherwise replaced.
        user_keys: ids of users that the base does not know.
        expired_us: what the base holds from before this moment was deleted for its age.
    """

    base: Histories
    replaced: frozenset[int]
    later: dict[int, list[StoredInteraction]]
    user_keys: dict[str, int]
    expired_us: int = -1


class History:
    """The events of all users by store keys, readable without the store.

    The readers of the request path take no lock (before the first model `recent_popularity` does).
    """

    def __init__(self, rule: SeenRule, *, popularity_half_life_us: float) -> None:
        self._rule = rule
        self._half_life_us = popularity_half_life_us
        self._lock = threading.Lock()
        self._state = _State(Histories.empty(), frozenset(), {}, {})
        self._watermark = START
        # Ids of own rows that the feed has not brought yet.
        self._ahead: set[int] = set()
        self.catalogue = Catalogue(Histories.empty())
        self._counting = True
        # Made when it is asked for; None also when rows were taken away, which it cannot follow.
        self._popularity: RecentPopularity | None = None

    # -- what comes in ------------------------------------------------------------------------------------------------

    @property
    def watermark(self) -> Watermark:
        """Up to where the feed was read; the next read goes on from here."""
        return self._watermark

    def apply(self, appended: Appended) -> None:
        """Take rows that this process has just committed, before the feed brings them."""
        with self._lock:
            fresh = [row for row in appended.rows if not self._watermark.covers(row.id, row.xact)]
            self._ahead.update(row.id for row in fresh)
            self._extend(fresh, appended.user_ids, appended.item_ids)

    def apply_feed(self, batch: FeedBatch) -> None:
        """Take what the feed read and move the watermark with it."""
        with self._lock:
            self._take(batch)

    def restart(self, base: Histories, batch: FeedBatch, records: Iterable[ItemRecord] = ()) -> None:
        """Forget everything and hold a base and what came since: the first time, or for a store that was restored.

        Args:
            records: item records older than those of the batch; a base has none.
        """
        with self._lock:
            self._ahead.clear()
            self._counting = True
            self.catalogue = Catalogue(base)
            self.catalogue.update(records)
            self._rest_on(base, batch)

    def rebase(self, base: Histories, batch: FeedBatch) -> None:
        """Hold a newer base and what came since it."""
        with self._lock:
            self.catalogue.rebase(base)
            self._rest_on(base, batch)

    def name_items(self, item_ids: dict[int, str]) -> None:
        """Learn ids of item keys."""
        with self._lock:
            self.catalogue.name(item_ids)

    def stop_counting(self) -> None:
        """A model is live and carries its own popularity: stop keeping counts for the time before the first one."""
        with self._lock:
            self._counting = False
            self._popularity = None

    # -- what is asked ------------------------------------------------------------------------------------------------

    def user_key(self, user_id: str) -> int | None:
        """The store's key of an id, or None for a user nothing is known of."""
        state = self._state
        key = state.user_keys.get(user_id)
        return key if key is not None else state.base.user_key(user_id)

    def seen_item_keys(self, user_key: int, *, now_us: int, only_hidden: bool = False) -> NDArray[np.int64]:
        """Keys of items that `user_key` has dealt with, as the rule counts it, shape (S,), repeats possible.

        With `only_hidden`, just those that the user asked not to see again (`dislike=hide`), for which no age counts.
        """
        since_us = -1 if self._rule.days is None else now_us - int(self._rule.days * _DAY_US)
        seen: list[NDArray[np.int64]] = []
        state = self._state
        if user_key not in state.replaced:
            seen.append(self._seen_in_base(state, user_key, since_us, only_hidden=only_hidden))
        keys = [
            row.item_key
            for row in state.later.get(user_key, ())
            if self._counts(row.event_type, row.occurred_us, since_us, only_hidden=only_hidden)
        ]
        seen.append(np.array(keys, dtype=np.int64))
        return np.concatenate(seen)

    def recent_popularity(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Item keys ascending and decayed counts, both shape (I,); empty once a model is live."""
        with self._lock:
            if not self._counting:
                return _NO_KEYS, np.empty(0, dtype=np.float64)
            if self._popularity is None:
                self._popularity = RecentPopularity(half_life_us=self._half_life_us)
                self._popularity.add(self._base_events())
                self._popularity.add(self._shown(row for rows in self._state.later.values() for row in rows))
            return self._popularity.counts()

    def later_rows(self) -> int:
        """Rows held beside the base."""
        return sum(map(len, self._state.later.copy().values()))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _rest_on(self, base: Histories, batch: FeedBatch) -> None:
        """A base and everything since it, whatever was held before, save own rows that the feed has not reached."""
        self.catalogue.name(batch.item_ids)
        self.catalogue.update(batch.items)
        old = self._state
        ahead = [
            row
            for rows in (old.later.values() if self._ahead else ())
            for row in rows
            if row.id in self._ahead and not batch.watermark.covers(row.id, row.xact)
        ]
        users_ahead = {row.user_key for row in ahead}
        later: dict[int, list[StoredInteraction]] = {user_key: [] for user_key in batch.deleted}
        for row in (*batch.rows, *(row for rows in batch.deleted.values() for row in rows), *ahead):
            later.setdefault(row.user_key, []).append(row)
        user_keys = {user_id: key for user_id, key in old.user_keys.items() if key in users_ahead}
        user_keys |= {user_id: key for key, user_id in batch.user_ids.items()}
        user_keys = {user_id: key for user_id, key in user_keys.items() if base.user_key(user_id) != key}
        expired_us = -1 if batch.expired_us is None else batch.expired_us
        self._ahead = {row.id for row in ahead}
        self._watermark = batch.watermark
        self._popularity = None
        self._state = _State(base, frozenset(batch.deleted), later, user_keys, expired_us)

    def _take(self, batch: FeedBatch) -> None:
        self.catalogue.update(batch.items)
        if batch.expired_us is not None:
            self._expire(batch.expired_us)
        fresh = [row for row in batch.rows if row.id not in self._ahead and row.user_key not in batch.deleted]
        self._extend(fresh, batch.user_ids, batch.item_ids)
        for user_key, rows in batch.deleted.items():
            self._replace(user_key, rows, batch)
        self._ahead.difference_update(row.id for row in batch.rows)
        self._watermark = batch.watermark

    def _extend(self, rows: Iterable[StoredInteraction], user_ids: Mapping[int, str], item_ids: dict[int, str]) -> None:
        self._name_users(user_ids)
        self.catalogue.name(item_ids)
        rows = list(rows)
        for row in rows:
            self._state.later.setdefault(row.user_key, []).append(row)
        if self._popularity is not None:
            self._popularity.add(self._shown(rows))

    def _name_users(self, user_ids: Mapping[int, str]) -> None:
        for key, user_id in user_ids.items():
            if self._state.base.user_key(user_id) != key:
                self._state.user_keys[user_id] = key

    def _replace(self, user_key: int, rows: list[StoredInteraction], batch: FeedBatch) -> None:
        """Some of the user's rows were deleted: hold what is left of all of them, and no longer look into the base."""
        self._name_users({k: u for k, u in batch.user_ids.items() if k == user_key})
        self.catalogue.name(batch.item_ids)
        held = {row.id for row in rows}
        ahead = [r for r in self._state.later.get(user_key, ()) if r.id in self._ahead and r.id not in held]
        left = [*rows, *(r for r in ahead if not batch.watermark.covers(r.id, r.xact))]
        self._state.later[user_key] = left
        self._popularity = None
        self._state = replace(self._state, replaced=self._state.replaced | {user_key})

    def _expire(self, before_us: int) -> None:
        """Rows from before that moment were deleted for their age; those that come after this may be older again."""
        state = self._state
        later = {
            user_key: kept
            for user_key, rows in state.later.items()
            if (kept := [row for row in rows if row.occurred_us >= before_us]) or user_key in state.replaced
        }
        self._popularity = None
        self._state = replace(state, later=later, expired_us=max(state.expired_us, before_us))

    def _base_events(self) -> Iterable[tuple[int, int]]:
        base, gone = self._state.base, np.array(sorted(self._state.replaced), dtype=np.int64)
        shown = (base.times_us >= self._state.expired_us) & ~np.repeat(
            np.isin(base.user_keys, gone), np.diff(base.indptr)
        )
        for code, name in enumerate(base.event_types):
            if name in self._rule.hidden_types:
                shown &= base.event_codes != code
        return zip(base.item_keys[base.item_positions[shown]].tolist(), base.times_us[shown].tolist(), strict=True)

    def _shown(self, rows: Iterable[StoredInteraction]) -> Iterable[tuple[int, int]]:
        return ((row.item_key, row.occurred_us) for row in rows if row.event_type not in self._rule.hidden_types)

    def _counts(self, event_type: str, occurred_us: int, since_us: int, *, only_hidden: bool) -> bool:
        if event_type in self._rule.hidden_types:
            return True
        return not only_hidden and occurred_us >= since_us and self._rule.sees(event_type)

    def _seen_in_base(self, state: _State, user_key: int, since_us: int, *, only_hidden: bool) -> NDArray[np.int64]:
        event_types = state.base.event_types
        if not event_types:
            return _NO_KEYS
        item_keys, event_codes, times_us, _ = state.base.of_user(user_key)
        seen = np.array([name in self._rule.hidden_types for name in event_types], dtype=np.bool_)[event_codes]
        if not only_hidden:
            sees = np.array([self._rule.sees(name) for name in event_types], dtype=np.bool_)
            seen |= sees[event_codes] & (times_us >= since_us)
        return item_keys[seen & (times_us >= state.expired_us)]
