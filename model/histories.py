"""What users did, apart from any model version: who, which items, what and when, and the items as they were then.

One compressed-sparse-row table by the store's keys. It is pure arrays, so it is stored as a snapshot and memory-mapped.

Letters used for shapes: U users, I items, N interactions, n interactions of one user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model import item_table
from model.item_table import ItemTable
from model.vocabulary import Vocabulary

EventCodes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "user_keys": ("int64",),
    "indptr": ("int64",),
    "item_positions": ("int32",),
    "event_codes": ("uint8", "uint16", "int32"),
    "times_us": ("int64",),
    "values": ("float32",),
}
STORED_ARRAYS = (
    *COLUMNS,
    *(f"users_{name}" for name in ("blob", "offsets", "hashes", "order")),
    *(f"items_{name}" for name in item_table.STORED_ARRAYS),
)


class UserHistory(NamedTuple):
    """The interactions of one user in the order of their ids; all of shape (n,)."""

    item_keys: NDArray[np.int64]
    event_codes: EventCodes
    times_us: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories of all users.

    Args:
        user_keys: the store's keys, strictly ascending, int64, shape (U,).
        users: the users' ids, in the order of user_keys.
        items: all items there were, those without interactions too.
        indptr: the interactions of user u are rows indptr[u] to indptr[u + 1], int64, shape (U + 1,).
        item_positions: row of `items`, int32, shape (N,).
        event_codes: index into event_types, uint8, uint16 or int32, shape (N,).
        event_types: names of the event types.
        times_us: when it happened, microseconds since the epoch, int64, shape (N,).
        values: float32, shape (N,).
    Raises: ValueError naming what does not fit.
    """

    user_keys: NDArray[np.int64]
    users: Vocabulary
    items: ItemTable
    indptr: NDArray[np.int64]
    item_positions: NDArray[np.int32]
    event_codes: EventCodes
    event_types: tuple[str, ...]
    times_us: NDArray[np.int64]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, dtypes in COLUMNS.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype.name not in dtypes:
                raise ValueError(f"{name} must be one-dimensional {' or '.join(dtypes)}, not {array.dtype}")
        if (self.user_keys[1:] <= self.user_keys[:-1]).any():
            raise ValueError("user_keys must be strictly ascending")
        if not len(self.users) == len(self.user_keys) == len(self.indptr) - 1:
            raise ValueError("user_keys, users and indptr do not have the same number of users")
        if not len(self.item_positions) == len(self.event_codes) == len(self.times_us) == len(self.values):
            raise ValueError("item_positions, event_codes, times_us and values do not have the same length")
        if self.indptr[0] != 0 or self.indptr[-1] != len(self) or (self.indptr[1:] < self.indptr[:-1]).any():
            raise ValueError(f"indptr must rise from 0 to the {len(self)} interactions")
        _check_below("item_positions", self.item_positions, len(self.items))
        _check_below("event_codes", self.event_codes, len(self.event_types))

    @classmethod
    def build(
        cls,
        user_keys: NDArray[np.int64],
        item_keys: NDArray[np.int64],
        *,
        event_codes: NDArray[np.integer[Any]],
        times_us: NDArray[np.int64],
        values: NDArray[np.floating[Any]],
        event_types: Sequence[str],
        user_ids: Mapping[int, str],
        items: ItemTable,
    ) -> Histories:
        """Group interactions by user.

        Args:
            user_keys: user of each interaction, in the order of the interactions' ids, shape (N,).
            item_keys: item of each interaction, shape (N,).
            event_codes: index into event_types, shape (N,).
            times_us: microseconds since the epoch, shape (N,).
            values: shape (N,).
            event_types: names of the event types.
            user_ids: id of every user key; users without interactions may be among them.
            items: every item; items without interactions may be among them.
        Raises: ValueError for a key without an id, an event code without a name, or lengths that disagree.
        """
        if not len(user_keys) == len(item_keys) == len(event_codes) == len(times_us) == len(values):
            raise ValueError("user_keys, item_keys, event_codes, times_us and values do not have the same length")
        all_users = np.sort(np.fromiter(user_ids, dtype=np.int64, count=len(user_ids)))
        user_rows = _positions(all_users, user_keys, "user")
        item_rows = _positions(items.keys, item_keys, "item")
        _check_below("event_codes", event_codes, len(event_types))
        # Stable: the rows of a user stay in the order of their ids.
        order = np.argsort(user_rows, kind="stable")
        codes = event_codes[order]
        indptr = np.zeros(len(all_users) + 1, dtype=np.int64)
        np.cumsum(np.bincount(user_rows, minlength=len(all_users)), out=indptr[1:])
        return cls(
            user_keys=all_users,
            users=Vocabulary.from_ids(user_ids[key] for key in all_users.tolist()),
            items=items,
            indptr=indptr,
            item_positions=item_rows[order].astype(np.int32),
            event_codes=_in_fewest_bytes(codes, len(event_types)),
            event_types=tuple(event_types),
            times_us=times_us[order],
            values=values[order].astype(np.float32),
        )

    @classmethod
    def empty(cls) -> Histories:
        """No users, no items, no interactions."""
        nothing = np.empty(0, dtype=np.int64)
        return cls.build(
            nothing,
            nothing,
            event_codes=nothing,
            times_us=nothing,
            values=np.empty(0),
            event_types=(),
            user_ids={},
            items=ItemTable.build({}),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Histories:
        """The histories whose `arrays()` and `facts()` these are; nothing is copied. Raises ValueError."""
        missing = [name for name in STORED_ARRAYS if name not in arrays]
        if missing:
            raise ValueError(f"missing arrays: {', '.join(missing)}")
        event_types = facts.get("event_types")
        if not (isinstance(event_types, list) and all(isinstance(name, str) for name in event_types)):
            raise ValueError("event_types must be a list of strings")
        columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
        return cls(
            users=Vocabulary.from_arrays(_with_prefix(arrays, "users")),
            items=ItemTable.from_arrays(_with_prefix(arrays, "items")),
            event_types=tuple(event_types),
            **columns,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the names of the event types, to be stored."""
        stored = {name: getattr(self, name) for name in COLUMNS}
        for part, table in (("users", self.users), ("items", self.items)):
            stored |= {f"{part}_{name}": array for name, array in table.arrays().items()}
        return stored

    def facts(self) -> dict[str, Any]:
        """What is stored beside the arrays: the names of the event types."""
        return {"event_types": list(self.event_types)}

    def __len__(self) -> int:
        """The number of interactions."""
        return len(self.times_us)

    def of_user(self, user_key: int) -> UserHistory:
        """The interactions of a user; none if the user is unknown. Found in O(log U)."""
        row = _row(self.user_keys, user_key)
        start, stop = (0, 0) if row is None else (int(self.indptr[row]), int(self.indptr[row + 1]))
        return UserHistory(
            self.items.keys[self.item_positions[start:stop]],
            self.event_codes[start:stop],
            self.times_us[start:stop],
            self.values[start:stop],
        )

    def size(self, user_key: int) -> int:
        """How many interactions a user has."""
        row = _row(self.user_keys, user_key)
        return 0 if row is None else int(self.indptr[row + 1] - self.indptr[row])

    def user_key(self, user_id: str) -> int | None:
        """The store's key of a user, or None if unknown."""
        row = self.users.number(user_id)
        return None if row is None else int(self.user_keys[row])

    def user_id(self, user_key: int) -> str | None:
        """The id of a user, or None if unknown."""
        row = _row(self.user_keys, user_key)
        return None if row is None else self.users.id(row)


def _in_fewest_bytes(codes: NDArray[np.integer[Any]], types: int) -> EventCodes:
    if types <= 2**8:
        return codes.astype(np.uint8)
    return codes.astype(np.uint16) if types <= 2**16 else codes.astype(np.int32)


def _row(keys: NDArray[np.int64], key: int) -> int | None:
    place = int(keys.searchsorted(key))
    return place if place < len(keys) and keys[place] == key else None


def _positions(keys: NDArray[np.int64], wanted: NDArray[np.int64], noun: str) -> NDArray[np.int64]:
    places = np.searchsorted(keys, wanted)
    known = places < len(keys)
    known[known] = keys[places[known]] == wanted[known]
    if not known.all():
        raise ValueError(f"{noun} key {wanted[~known][0]} has no id")
    return places


def _check_below(name: str, numbers: NDArray[np.integer[Any]], count: int) -> None:
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= count):
        raise ValueError(f"{name} holds a number outside 0..{count - 1}")


def _with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f"{prefix}_"): array for name, array in arrays.items() if name.startswith(f"{prefix}_")}
