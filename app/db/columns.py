"""Many rows of the log as arrays: a row on its own takes a quarter of a kilobyte, in columns some forty bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.db import tables
from app.db.append import StoredInteraction

_ROWS_AT_ONCE = 10_000
_t = tables.interactions.c


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """Rows of the log as aligned columns of shape (N,), ascending by id; times in microseconds since the epoch."""

    id: NDArray[np.int64]
    xact: NDArray[np.int64]
    user_key: NDArray[np.int64]
    item_key: NDArray[np.int64]
    event_type: list[str]
    value: NDArray[np.float64]
    occurred_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.event_type)

    def __iter__(self) -> Iterator[StoredInteraction]:
        """The rows one by one."""
        ids, xacts, users, items, values, times = (column.tolist() for column in self._arrays())
        columns = zip(ids, xacts, users, items, self.event_type, values, times, strict=True)
        return (StoredInteraction(*row) for row in columns)

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> InteractionColumns:
        """Rows of id, xact, user_key, item_key, event_type, value and occurred_us, in any order."""
        remaining = iter(rows)
        types: list[str] = []
        # One string object a type: a million equal ones would weigh fifty megabytes.
        names: dict[str, str] = {}
        chunks = []
        while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
            ids, xacts, users, items, event_types, values, times = zip(*chunk, strict=True)
            types += [names.setdefault(name, name) for name in event_types]
            whole = np.array([ids, xacts, users, items, times], dtype=np.int64)
            chunks.append((whole, np.array(values, dtype=np.float64)))
        if not chunks:
            nothing = np.empty(0, dtype=np.int64)
            return cls(nothing, nothing, nothing, nothing, [], np.empty(0), nothing)
        whole, values_N = (np.concatenate(parts, axis=-1) for parts in zip(*chunks, strict=True))
        order = np.argsort(whole[0], kind="stable")
        ids_N, xacts_N, users_N, items_N, times_N = whole[:, order]
        return cls(ids_N, xacts_N, users_N, items_N, [types[row] for row in order.tolist()], values_N[order], times_N)

    def take(self, rows: NDArray[np.int64]) -> InteractionColumns:
        """Some of the rows, ascending."""
        ids, xacts, users, items, values, times = (column[rows] for column in self._arrays())
        types = [self.event_type[row] for row in rows.tolist()]
        return InteractionColumns(ids, xacts, users, items, types, values, times)

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.id, self.xact, self.user_key, self.item_key, self.value, self.occurred_us
