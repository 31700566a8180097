"""Rows of what users did as arrays: many at once, and as tables by user.

Letters used for shapes: N rows, U users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from app.db.append import StoredInteraction
from app.db.columns import InteractionColumns
from app.live.mapped import mapped_arrays
from app.live.seen import EventTypes
from model.histories import Histories
from model.user_factors import UserEvents
from model.vocabulary import Vocabulary

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EventRows:
    """Rows of any users as aligned columns of shape (N,); the codes are numbers of the process's EventTypes."""

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    event_codes: NDArray[np.int32]
    times_us: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, rows: Sequence[StoredInteraction], types: EventTypes) -> EventRows:
        """Those of stored rows, in their order."""
        rows = list(rows)  # another thread may append to them
        return cls(
            np.array([row.user_key for row in rows], dtype=np.int64),
            np.array([row.item_key for row in rows], dtype=np.int64),
            np.array([types.number(row.event_type) for row in rows], dtype=np.int32),
            np.array([row.occurred_us for row in rows], dtype=np.int64),
            np.array([row.value for row in rows], dtype=np.float32),
        )

    @classmethod
    def of_columns(cls, rows: InteractionColumns, types: EventTypes) -> EventRows:
        """Those of the log's columns."""
        codes = np.array([types.number(name) for name in rows.event_type], dtype=np.int32)
        return cls(rows.user_key, rows.item_key, codes, rows.occurred_us, rows.value.astype(np.float32))

    @classmethod
    def joined(cls, parts: Sequence[EventRows]) -> EventRows:
        """All rows of some parts, one part after the other."""
        columns = ("user_keys", "item_keys", "event_codes", "times_us", "values")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> EventRows:
        """Some of the rows."""
        return EventRows(
            self.user_keys[rows],
            self.item_keys[rows],
            self.event_codes[rows],
            self.times_us[rows],
            self.values[rows],
        )

    def events(self) -> UserEvents:
        """The rows as one user's."""
        return UserEvents(self.item_keys, self.event_codes, self.times_us, self.values)

    def shown(self, types: EventTypes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Item keys and times of the rows that do not hide their item."""
        shown = ~types.hides[self.event_codes]
        return self.item_keys[shown], self.times_us[shown]


class BaseTable:
    """The rows of a training's history."""

    def __init__(self, histories: Histories, types: EventTypes) -> None:
        self._histories = histories
        self._codes = np.array(types.numbers(histories.event_types), dtype=np.int32)

    def __len__(self) -> int:
        return len(self._histories)

    def user_key(self, user_id: str) -> int | None:
        """The key of an id, or None for one that is not named here."""
        return self._histories.user_key(user_id)

    def names(self, user_keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some users are named here, bool, shape of user_keys."""
        return _among(user_keys, self._histories.user_keys)

    def size(self, user_key: int) -> int:
        """How many rows a user has."""
        return self._histories.size(user_key)

    def events(self, user_key: int) -> UserEvents:
        """The rows of a user."""
        item_keys, event_codes, times_us, values = self._histories.of_user(user_key)
        return UserEvents(item_keys, self._codes[event_codes], times_us, values)

    def events_of(self, users: NDArray[np.int64]) -> tuple[UserEvents, NDArray[np.int64]]:
        """The rows of some users, given by their place in the history, and how many each has."""
        histories = self._histories
        starts = histories.indptr[users]
        counts = histories.indptr[users + 1] - starts
        ends = np.cumsum(counts)
        rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
        events = UserEvents(
            histories.items.keys[histories.item_positions[rows]],
            self._codes[histories.event_codes[rows]],
            histories.times_us[rows],
            histories.values[rows],
        )
        return events, counts

    def rows(self) -> EventRows:
        """All rows."""
        histories = self._histories
        return EventRows(
            np.repeat(histories.user_keys, np.diff(histories.indptr)),
            histories.items.keys[histories.item_positions],
            self._codes[histories.event_codes],
            histories.times_us,
            histories.values,
        )


# A quarter of a second to sort, some twenty megabytes.
FULL_ROWS = 200_000


class RecentTable:
    """Rows that came since the last training, and the users that its history does not name.

    Args:
        rows: in any order; those of one user stay in theirs.
        user_keys: ids of users by their key.
    """

    def __init__(self, rows: EventRows, user_keys: Mapping[str, int]) -> None:
        named = dict(sorted(user_keys.items(), key=itemgetter(1)))
        self._names = Vocabulary.from_ids(named)
        self._named = np.fromiter(named.values(), dtype=np.int64, count=len(named))
        self._group(rows.take(np.argsort(rows.user_keys, kind="stable")))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether what comes next makes another table: to group this one anew would take too long."""
        return len(self) >= FULL_ROWS

    def on_disk(self, folder: Path) -> RecentTable:
        """The same table in a file without a name, mapped into memory; itself where none can be made."""
        names = self._names.arrays()
        rows = {name: getattr(self._rows, name) for name in EventRows.__dataclass_fields__}
        arrays = {**names, **rows, "named": self._named, "users": self._users, "indptr": self._indptr}
        try:
            mapped = mapped_arrays(folder, arrays)
        except OSError as error:
            _log.warning("rows_kept_in_memory", folder=str(folder), reason=str(error))
            return self
        found = copy(self)
        found._names = Vocabulary.from_arrays({name: mapped[name] for name in names})
        found._named, found._users, found._indptr = mapped["named"], mapped["users"], mapped["indptr"]
        found._rows = EventRows(**{name: mapped[name] for name in rows})
        return found

    def user_key(self, user_id: str) -> int | None:
        """The key of an id, or None for one that is not named here."""
        number = self._names.number(user_id)
        return None if number is None else int(self._named[number])

    def names(self, user_keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some users are named here, bool, shape of user_keys."""
        return _among(user_keys, self._named)

    def named(self) -> dict[str, int]:
        """The users that are named here."""
        return self._names_of(np.arange(len(self._named)))

    def names_of(self, user_keys: Collection[int]) -> dict[str, int]:
        """Those of some users that are named here."""
        return self._names_of(np.flatnonzero(np.isin(self._named, list(user_keys))))

    @property
    def user_keys(self) -> NDArray[np.int64]:
        """The users who have rows here, ascending."""
        return self._users

    def size(self, user_key: int) -> int:
        """How many rows a user has."""
        return len(self._rows.times_us[self._part(user_key)])

    def events(self, user_key: int) -> UserEvents:
        """The rows of a user."""
        part = self._part(user_key)
        rows = self._rows
        return UserEvents(rows.item_keys[part], rows.event_codes[part], rows.times_us[part], rows.values[part])

    def rows(self) -> EventRows:
        """All rows."""
        return self._rows

    def since(self, time_us: int) -> RecentTable:
        """A table without the rows from before a moment."""
        found = copy(self)
        found._group(self._rows.take(self._rows.times_us >= time_us))
        return found

    def without(self, user_keys: Collection[int]) -> RecentTable:
        """A table without some users and their names; itself where it has none of them."""
        names = self.names_of(user_keys)
        if not names and not np.isin(self._users, list(user_keys)).any():
            return self
        kept = {user_id: key for user_id, key in self.named().items() if key not in user_keys}
        return RecentTable(without_users(self._rows, user_keys), kept)

    def _group(self, rows: EventRows) -> None:
        """Hold rows that are in the order of their users."""
        self._users, starts = np.unique(rows.user_keys, return_index=True)
        self._indptr = np.append(starts, len(rows))
        self._rows = rows

    def _names_of(self, numbers: NDArray[np.int64]) -> dict[str, int]:
        return dict(zip(self._names.ids(numbers), self._named[numbers].tolist(), strict=True))

    def _part(self, user_key: int) -> slice:
        place = int(np.searchsorted(self._users, user_key))
        if place == len(self._users) or self._users[place] != user_key:
            return slice(0, 0)
        return slice(int(self._indptr[place]), int(self._indptr[place + 1]))


def _among(keys: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    places = np.searchsorted(ascending, keys)
    found = places < len(ascending)
    found[found] = ascending[places[found]] == keys[found]
    return found


def joined_events(parts: Sequence[UserEvents]) -> UserEvents:
    """All events of some parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return UserEvents(nothing, nothing.astype(np.int32), nothing, np.empty(0, dtype=np.float32))
    item_keys, event_codes, times_us, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return UserEvents(item_keys, event_codes, times_us, values)


def without_users(rows: EventRows, user_keys: Collection[int]) -> EventRows:
    """Those of some rows that are of other users."""
    return rows.take(~np.isin(rows.user_keys, list(user_keys))) if user_keys else rows
