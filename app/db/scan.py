"""The log up to a watermark as arrays, range by range: no row is ever an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql

from app.db import tables
from app.db.columns import InteractionColumns
from app.db.engine import Store
from app.db.statements import covered, is_postgres
from app.db.watermark import Watermark

# One short read of the store: long reads hold back its clean-up and, with them, everybody's writes.
RANGE_ROWS = 50_000
_t = tables.interactions.c
_INTEGERS, _FLOATS = msgspec.json.Decoder(list[int]), msgspec.json.Decoder(list[float])
_TEXTS = msgspec.json.Decoder(list[str])
_BIG_ENDIAN: dict[type[np.generic], str] = {np.int64: ">i8", np.int32: ">i4", np.float64: ">f8"}


@dataclass(frozen=True, slots=True)
class LogRange:
    """Rows of the log as aligned columns of shape (N,), ascending by id.

    Attributes:
        ids, user_keys, item_keys: int64.
        event_codes: index into `EventNames`, int32.
        values: float32.
        times_us: microseconds since the epoch, int64.
    """

    ids: NDArray[np.int64]
    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    event_codes: NDArray[np.int32]
    values: NDArray[np.float32]
    times_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class EventNames:
    """Names of the types of events, numbered in the order they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, name: str) -> int:
        """The number of a type; a new one for a new type."""
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of their numbers."""
        return tuple(self._numbers)


def scan(
    store: Store,
    upto: Watermark,
    names: EventNames,
    *,
    rows: int = RANGE_ROWS,
    check: Callable[[], None] = lambda: None,
) -> Iterator[LogRange]:
    """All rows that `upto` covers, some tens of thousands in each short read.

    What a watermark covers does not grow, so ranges may be read in transactions of their own.

    Args:
        rows: how many at most in a range.
        names: takes up the types that are met.
        check: called before each read; may raise to give up.
    Raises: StoreUnavailable.
    """
    for after_id in range(0, upto.last_id, rows):  # what is covered was there when the watermark was taken
        check()
        # By ids, of which some are of no row: a LIMIT would have the database look for the last one first.
        within = (_t.id > after_id, _t.id <= after_id + rows, covered(tables.interactions, upto, last_id=upto.last_id))
        with store.read() as connection:
            read = _of_postgres if is_postgres(connection) else _of_sqlite
            found = read(connection, names, within)
        if len(found):
            yield found


def columns_where(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> InteractionColumns:
    """The rows of the log that a condition holds for, all at once."""
    columns = (_t.id, _t.xact, _t.user_key, _t.item_key, _t.occurred_us, _t.value, _t.event_type)
    if not is_postgres(connection):
        rows = sa.select(*columns).where(condition).order_by(_t.id).subquery()
        texts = connection.execute(sa.select(*map(sa.func.json_group_array, rows.c))).one()
        whole = [np.array(_INTEGERS.decode(text), dtype=np.int64) for text in texts[:5]]
        return _as_columns(whole, np.array(_FLOATS.decode(texts[5]), dtype=np.float64), _TEXTS.decode(texts[6]))
    # Not sorted there: for an ORDER BY, it may walk the whole primary key instead of the few new entries by xact.
    of_rows = sa.select(*columns).where(condition).subquery().c
    *numbers, values, types = connection.execute(
        sa.select(
            *(_packed("int8send", column) for column in list(of_rows)[:5]),
            _packed("float8send", of_rows.value),
            sa.func.array_agg(of_rows.event_type),
        )
    ).one()
    whole = [_numbers(packed, np.int64) for packed in numbers]
    order = np.argsort(whole[0], kind="stable")
    names = types or []
    return _as_columns(
        [column[order] for column in whole], _numbers(values, np.float64)[order], [names[row] for row in order.tolist()]
    )


def _as_columns(
    whole: list[NDArray[np.int64]], values: NDArray[np.float64], event_types: list[str]
) -> InteractionColumns:
    ids, xacts, users, items, times = whole
    # One text object a type: a million equal ones would weigh fifty megabytes.
    names = {name: name for name in set(event_types)}
    return InteractionColumns(ids, xacts, users, items, list(map(names.__getitem__, event_types)), values, times)


def keys_in_order_of_ids(connection: sa.Connection, table: sa.Table) -> NDArray[np.int64]:
    """The keys of all users or items, in the order of their ids byte by byte, int64."""
    key, id_ = table.columns.values()[:2]
    ordered = sa.select(key.label("key")).order_by(id_).subquery().c.key
    if is_postgres(connection):
        return _numbers(connection.scalar(sa.select(_packed("int8send", ordered))), np.int64)
    return np.array(_INTEGERS.decode(connection.scalars(sa.select(sa.func.json_group_array(ordered))).one()), np.int64)


def _of_sqlite(connection: sa.Connection, names: EventNames, within: Sequence[sa.ColumnElement[bool]]) -> LogRange:
    """The columns come as JSON, each as one text: row by row they take four times as long."""
    columns = (_t.id, _t.user_key, _t.item_key, _t.event_type, _t.value, _t.occurred_us)
    rows = sa.select(*columns).where(*within).order_by(_t.id).subquery()
    texts = connection.execute(sa.select(*map(sa.func.json_group_array, rows.c))).one()
    ids, users, items, times = (np.array(_INTEGERS.decode(texts[place]), dtype=np.int64) for place in (0, 1, 2, 5))
    codes = np.array(list(map(names.number, _TEXTS.decode(texts[3]))), dtype=np.int32)
    return LogRange(ids, users, items, codes, np.array(_FLOATS.decode(texts[4])).astype(np.float32), times)


def _of_postgres(connection: sa.Connection, names: EventNames, within: Sequence[sa.ColumnElement[bool]]) -> LogRange:
    """The columns come packed, each as one value: a row on its own costs the driver five microseconds."""
    known = sa.func.unnest(sa.bindparam("names", list(names.names), type_=postgresql.ARRAY(sa.Text)))
    types = known.table_valued("name", with_ordinality="place", name="known").render_derived()
    rows = (
        sa.select(_t.id, _t.user_key, _t.item_key, types.c.place, _t.event_type, _t.value, _t.occurred_us)
        .select_from(tables.interactions.outerjoin(types, types.c.name == _t.event_type))
        .where(*within)
        .subquery()
        .c
    )
    packed = connection.execute(
        sa.select(
            sa.func.array_agg(rows.event_type.distinct()).filter(rows.place.is_(None)),
            *(_packed("int8send", column) for column in (rows.id, rows.user_key, rows.item_key)),
            _packed("int4send", sa.cast(sa.func.coalesce(rows.place, 1) - 1, sa.Integer)),
            _packed("float8send", rows.value),
            _packed("int8send", rows.occurred_us),
        )
    ).one()
    if packed[0]:
        for name in sorted(packed[0]):
            names.number(name)
        return _of_postgres(connection, names, within)
    kinds: tuple[type[np.generic], ...] = (np.int64, np.int64, np.int64, np.int32, np.float64, np.int64)
    columns = [_numbers(text, kind) for text, kind in zip(packed[1:], kinds, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    ids, users, items, codes, values, times = (column[order] for column in columns)
    return LogRange(ids, users, items, codes, values.astype(np.float32), times)


def _packed(send: str, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
    """All values of a column behind one another, as PostgreSQL sends them: of a fixed length, the high byte first."""
    sent = getattr(sa.func, send)(column, type_=sa.LargeBinary)
    return sa.func.string_agg(sent, sa.cast(sa.literal(b"", sa.LargeBinary), sa.LargeBinary), type_=sa.LargeBinary)


def _numbers(packed: bytes | None, kind: type[np.generic]) -> NDArray[Any]:
    if packed is None:
        return np.empty(0, dtype=kind)
    return np.frombuffer(packed, dtype=_BIG_ENDIAN[kind]).astype(kind)
