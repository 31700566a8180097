"""What a replica holds of users' rows at one moment, and how it is read.

Letters used for shapes: N rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.db.append import StoredInteraction
from app.db.watermark import START, Watermark
from app.live.rows import BaseTable, EventRows, RecentTable, joined_events, without_users
from app.live.seen import EventTypes
from model.histories import Histories
from model.user_factors import UserEvents


class Base(NamedTuple):
    """A history that a training wrote, which rows it holds, and its name."""

    histories: Histories
    watermark: Watermark
    name: str

    @classmethod
    def none(cls) -> Base:
        """Before the first training."""
        return cls(Histories.empty(), START, "")


# So many rows tell what is popular lately.
MOST_ROWS_SINCE = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Tables and what came since, behind one reference: a reader that takes it sees all of the same moment.

    Attributes:
        base, base_table: what a training wrote.
        types: numbers of the types of events.
        recent: tables of rows that came since, once there are many, the oldest first.
        replaced: users whose rows in the tables no longer hold, since some were deleted; all of theirs are in `later`.
        later: the other rows by user; a list grows at its end and is otherwise replaced.
        user_keys: ids of users that the tables do not know.
        serial: another number for each; whoever keeps it does not keep what is held.
        erased: users who are gone, whatever the tables say.
        expired_us: what the base holds from before this moment was deleted for its age.
    """

    base: Base
    base_table: BaseTable
    types: EventTypes
    recent: tuple[RecentTable, ...] = ()
    replaced: frozenset[int] = frozenset()
    later: dict[int, list[StoredInteraction]] = field(default_factory=dict)
    user_keys: dict[str, int] = field(default_factory=dict)
    erased: frozenset[int] = frozenset()
    expired_us: int = -1
    serial: int = field(init=False, default_factory=itertools.count().__next__)

    @classmethod
    def resting_on(cls, base: Base, types: EventTypes) -> Held:
        """A base and nothing else."""
        return cls(base, BaseTable(base.histories, types), types)

    @property
    def tables(self) -> tuple[BaseTable | RecentTable, ...]:
        """The tables, the older one first."""
        return (self.base_table, *self.recent)

    def user_key(self, user_id: str) -> int | None:
        """The store's key of an id, or None for a user nothing is known of."""
        if (key := self.user_keys.get(user_id)) is not None:
            return key
        for table in reversed(self.tables):
            if (key := table.user_key(user_id)) is not None and key not in self.erased:
                return key
        return None

    def unnamed(self, user_keys: Collection[int]) -> list[int]:
        """Those of some users whom no table names."""
        left = np.fromiter(user_keys, dtype=np.int64, count=len(user_keys))
        for table in self.tables:
            left = left[~table.names(left)]
        unnamed: list[int] = left.tolist()
        return unnamed

    def names_of(self, user_keys: Collection[int]) -> dict[str, int]:
        """Ids of some users."""
        if not user_keys:
            return {}
        histories = self.base.histories
        found = {user_id: key for key in user_keys if (user_id := histories.user_id(key)) is not None}
        for table in self.recent:
            found |= table.names_of(user_keys)
        return found | {user_id: key for user_id, key in self.user_keys.items() if key in user_keys}

    def size(self, user_key: int) -> int:
        """How many events of a user there are."""
        if self.expired_us >= 0:
            return len(self.events(user_key).times_us)
        tables = () if user_key in self.replaced else self.tables
        return sum(table.size(user_key) for table in tables) + len(self.later.get(user_key, ()))

    def events(self, user_key: int) -> UserEvents:
        """What a user did; the codes are numbers of `types`."""
        later = self.later.get(user_key)
        if later is None and not self.recent and self.expired_us < 0 and user_key not in self.replaced:
            return self.base_table.events(user_key)  # nearly everybody
        parts = []
        if user_key not in self.replaced:
            of_base = self.base_table.events(user_key)
            parts.append(of_base if self.expired_us < 0 else of_base.take(of_base.times_us >= self.expired_us))
            parts += (table.events(user_key) for table in self.recent)
        parts = [part for part in parts if len(part.times_us)]
        if later:
            parts.append(EventRows.of(later, self.types).events())
        return joined_events(parts)

    def rows_since(self, name: str) -> EventRows:
        """All rows that the history of this name does not hold; all there are where this rests on another one."""
        own = self.base.name == name and name != ""
        covers = self.base.watermark.covers
        later = [
            row
            for user_key, rows in self.later.copy().items()
            for row in rows.copy()
            # Of a user whose rows were read anew, those that the base has too.
            if not (own and user_key in self.replaced and covers(row.id, row.xact))
        ]
        parts = []
        if not own:
            of_base = without_users(self.base_table.rows(), self.replaced)
            parts.append(of_base.take(of_base.times_us >= self.expired_us) if self.expired_us >= 0 else of_base)
        # The newest of very many: what they say of popularity waits for the training that they lead to.
        rows = 0
        for table in reversed(self.recent):
            if rows and rows + len(table) > MOST_ROWS_SINCE:
                break
            rows += len(table)
            parts.append(without_users(table.rows(), self.replaced))
        return EventRows.joined([*parts, EventRows.of(later, self.types)])

    def users(self) -> int:
        """How many users are named."""
        of_base = self.base.histories.user_keys
        erased = int(np.isin(list(self.erased), of_base).sum()) if self.erased else 0
        return len(of_base) - erased + len(self.user_ids_beside())

    def user_ids_beside(self) -> list[str]:
        """Ids of the users that the base does not name."""
        named = {user_id: key for table in self.recent for user_id, key in table.named().items()}
        return [*(user_id for user_id, key in named.items() if key not in self.erased), *self.user_keys.copy()]

    def since_base(self) -> int:
        """How many rows are held beside the base."""
        recent = sum(len(table) - sum(map(table.size, self.replaced)) for table in self.recent)
        return recent + sum(map(len, self.later.copy().values()))

    def with_recent(self, rows: EventRows, folder: Path | None = None) -> Held:
        """The rows in the newest table, which then also names the users that only `user_keys` did.

        Args:
            folder: where a table is kept that has become a large one, and is followed by another.
        """
        names, before = dict(self.user_keys), self.recent
        if before and not before[-1].full:
            *before_all, last = before
            before = tuple(before_all)
            rows = EventRows.joined([without_users(last.rows(), self.replaced), rows])
            names = last.named() | names
        made = RecentTable(rows, names)
        return replace(self, recent=(*before, made.on_disk(folder) if made.full and folder else made), user_keys={})

    def without_users(self, user_keys: Collection[int]) -> Held:
        """Without some users, for good: whatever the base says, nobody leads to them."""
        return replace(
            self,
            later={user_key: rows for user_key, rows in self.later.items() if user_key not in user_keys},
            user_keys={user_id: key for user_id, key in self.user_keys.items() if key not in user_keys},
            recent=tuple(table.without(user_keys) for table in self.recent),
            replaced=self.replaced.union(user_keys),
            erased=self.erased.union(user_keys),
        )

    def without_expired(self, before_us: int, *, still_there: Collection[int]) -> Held:
        """Without the rows from before a moment, but those of some ids."""
        later = {
            user_key: kept
            for user_key, rows in self.later.items()
            if (kept := [row for row in rows if row.occurred_us >= before_us or row.id in still_there])
        }
        recent = tuple(table.since(before_us) for table in self.recent)
        return replace(self, recent=recent, later=later, expired_us=max(self.expired_us, before_us))
