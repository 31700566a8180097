"""Items: their ids, and the records that callers put for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app.db import changes, tables
from app.db.statements import among, chunked, insert
from model.item_table import FOREVER_US, Restriction

# A bulk upload of more records than this is one change to the feed: "many items".
_ONE_BY_ONE = 1_000
MANY = 0
_READ_ROWS = 5_000

_t = tables.items.c


@dataclass(frozen=True, slots=True)
class NewItem:
    """A whole record as it came in; it replaces the one before."""

    item_id: str
    title: str | None = None
    categories: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    hidden: bool = False
    available_from_us: int | None = None
    available_until_us: int | None = None


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item as the store holds it; `updated_us` is None where only interactions have named it."""

    item_key: int
    item_id: str
    title: str | None
    categories: tuple[str, ...]
    hidden: bool
    deleted: bool
    available_from_us: int | None
    available_until_us: int | None
    updated_us: int | None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def restriction(self) -> Restriction | None:
        """What keeps the item out of lists, now or at some time; None for nothing."""
        if not (self.hidden or self.deleted) and self.available_from_us is None and self.available_until_us is None:
            return None
        until_us = FOREVER_US if self.available_until_us is None else self.available_until_us
        return Restriction(self.hidden or self.deleted, self.available_from_us or 0, until_us, self.deleted)


def ids_of(connection: sa.Connection, keys: Iterable[int]) -> dict[int, str]:
    """key -> id of the items that exist."""
    found: dict[int, str] = {}
    for chunk in chunked(keys):
        query = sa.select(_t.item_key, _t.item_id).where(among(connection, _t.item_key, chunk))
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found


def get(connection: sa.Connection, item_id: str) -> ItemRecord | None:
    """The item of an id; None where nothing ever named it, or where it is deleted."""
    row = connection.execute(_records_query().where(_t.item_id == item_id, _t.deleted.is_(False))).mappings().first()
    return None if row is None else _record(row)


def page(connection: sa.Connection, *, limit: int, after_key: int | None = None, put: bool = False) -> list[ItemRecord]:
    """Up to `limit` items, ascending by key, that follow `after_key`; deleted ones are left out.

    `put`: only those that somebody has put a record for.
    """
    query = _records_query().where(_t.deleted.is_(False)).limit(limit)
    if put:
        query = query.where(_t.updated_us.is_not(None))
    if after_key is not None:
        query = query.where(_t.item_key > after_key)
    return [_record(row) for row in connection.execute(query).mappings()]


def records(connection: sa.Connection, keys: Iterable[int] | None = None) -> Iterator[ItemRecord]:
    """The items of `keys`, or all, ascending by key within each chunk of keys."""
    query = _records_query()
    if keys is None:
        yield from _read(connection, query)
        return
    for chunk in chunked(keys):
        yield from _read(connection, query.where(among(connection, _t.item_key, chunk)))


def put_records(connection: sa.Connection) -> Iterator[ItemRecord]:
    """The items that somebody has put a record for, deleted ones included, ascending by key."""
    query = _records_query()
    yield from _read(connection, query.where(_t.updated_us.is_not(None)))


def put_keys(connection: sa.Connection) -> list[int]:
    """Keys of the items that somebody has put a record for, deleted ones included, ascending."""
    query = sa.select(_t.item_key).where(_t.updated_us.is_not(None)).order_by(_t.item_key)
    return list(connection.scalars(query))


def upsert(connection: sa.Connection, new: Sequence[NewItem], *, now_us: int) -> int:
    """Put whole records, the last one of an id winning; a deleted item is back with it. Returns how many were put."""
    rows = {
        item.item_id: {
            "item_id": item.item_id,
            "title": item.title,
            "categories": None if item.categories is None else list(item.categories),
            "metadata": None if item.metadata is None else dict(item.metadata),
            "hidden": item.hidden,
            "deleted": False,
            "available_from_us": item.available_from_us,
            "available_until_us": item.available_until_us,
            "updated_us": now_us,
        }
        for item in new
    }
    return _upsert(connection, rows, now_us=now_us)


def upsert_titles(connection: sa.Connection, titles: Mapping[str, str | None], *, now_us: int) -> int:
    """Set only the titles, item id -> title. Returns how many were set."""
    rows = {item_id: {"item_id": item_id, "title": title, "updated_us": now_us} for item_id, title in titles.items()}
    return _upsert(connection, rows, now_us=now_us)


def delete(connection: sa.Connection, item_id: str, *, now_us: int) -> bool:
    """Keep an item out of everything until it is put again; False where there is none, or it is deleted already.

    Interactions with it stay, and new ones are taken. The feed brings it to every replica.
    """
    # With the time, also where only interactions had named the item: a replica that starts reads what has one.
    gone = sa.update(tables.items).where(_t.item_id == item_id, _t.deleted.is_(False))
    item_key = connection.scalar(gone.values(deleted=True, updated_us=now_us).returning(_t.item_key))
    if item_key is None:
        return False
    changes.record(connection, "item", [item_key], at_us=now_us)
    return True


def count(connection: sa.Connection, *, put: bool = False) -> int:
    """How many items there are, or have been `put`, deleted ones left out."""
    query = sa.select(sa.func.count()).where(_t.deleted.is_(False))
    return connection.scalar(query.where(_t.updated_us.is_not(None)) if put else query) or 0


def _upsert(connection: sa.Connection, rows: Mapping[str, dict[str, Any]], *, now_us: int) -> int:
    if not rows:
        return 0
    # In sorted order: two uploads that meet then wait for each other in one direction only. Insert and update apart,
    # since an INSERT that turns into an update would still use up a key.
    known: set[str] = set()
    ordered = sorted(rows)
    for start in range(0, len(ordered), _ONE_BY_ONE):
        chunk = ordered[start : start + _ONE_BY_ONE]
        known.update(connection.scalars(sa.select(_t.item_id).where(among(connection, _t.item_id, chunk))))
    fields = [name for name in rows[ordered[0]] if name != "item_id"]
    if new := [rows[item_id] for item_id in ordered if item_id not in known]:
        statement = insert(connection, tables.items)
        # Another writer may have named the item meanwhile.
        overwrite = {name: statement.excluded[name] for name in fields}
        connection.execute(statement.on_conflict_do_update(index_elements=[_t.item_id], set_=overwrite), new)
    if old := [rows[item_id] for item_id in ordered if item_id in known]:
        statement_update = (
            sa.update(tables.items)
            .where(_t.item_id == sa.bindparam("of_item"))
            .values({name: sa.bindparam(f"new_{name}", type_=_t[name].type) for name in fields})
        )
        connection.execute(
            statement_update,
            [{"of_item": row["item_id"], **{f"new_{name}": row[name] for name in fields}} for row in old],
        )
    _note(connection, ordered, now_us=now_us)
    return len(rows)


def _note(connection: sa.Connection, item_ids: list[str], *, now_us: int) -> None:
    if len(item_ids) > _ONE_BY_ONE:
        changes.record(connection, "item", [MANY], at_us=now_us)
        return
    query = sa.select(_t.item_key).where(among(connection, _t.item_id, item_ids)).order_by(_t.item_key)
    changes.record(connection, "item", list(connection.scalars(query)), at_us=now_us)


def _records_query() -> sa.Select[Any]:
    return sa.select(*(_t[name] for name in ItemRecord.__dataclass_fields__)).order_by(_t.item_key)


def _read(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[ItemRecord]:
    for row in connection.execute(query.execution_options(yield_per=_READ_ROWS)).mappings():
        yield _record(row)


def _record(row: Mapping[str, Any] | sa.RowMapping) -> ItemRecord:
    fields = dict(row)
    fields["categories"] = tuple(fields["categories"] or ())
    fields["metadata"] = fields["metadata"] or {}
    return ItemRecord(**fields)
