"""The log as arrays, range by range."""

from __future__ import annotations

import numpy as np
import pytest

from app.db import tables
from app.db.engine import Store
from app.db.interactions import NewInteraction, append, current_watermark, delete_by_event_id
from app.db.scan import EventNames, LogRange, keys_in_order_of_ids, scan
from app.db.watermark import Watermark
from tests.app.db.rows import row, store_rows


def watermark_of(store: Store) -> Watermark:
    with store.read(repeatable=True) as connection:
        return current_watermark(connection)


def scanned(store: Store, upto: Watermark | None = None, *, rows: int = 10) -> tuple[list[LogRange], EventNames]:
    names = EventNames()
    return list(scan(store, upto or watermark_of(store), names, rows=rows)), names


def test_ranges_give_what_the_watermark_covers_as_columns(store: Store) -> None:
    values = [0.1, 1 / 3, 1e-300, 1e6, 123_456.789_012]
    stored = store_rows(
        store, [NewInteraction(f"u{n % 4}", f"i{n}", f"t{n % 2}", values[n % 5], n * 10) for n in range(25)]
    )
    upto = watermark_of(store)
    store_rows(store, [row("later", "later")])
    parts, names = scanned(store, upto)
    assert [len(part) for part in parts] == [10, 10, 5]
    assert np.concatenate([part.ids for part in parts]).tolist() == [one.id for one in stored.rows]
    assert np.concatenate([part.user_keys for part in parts]).tolist() == [one.user_key for one in stored.rows]
    assert np.concatenate([part.item_keys for part in parts]).tolist() == [one.item_key for one in stored.rows]
    assert np.concatenate([part.times_us for part in parts]).tolist() == [n * 10 for n in range(25)]
    codes = np.concatenate([part.event_codes for part in parts]).tolist()
    assert [names.names[code] for code in codes] == [f"t{n % 2}" for n in range(25)]
    expected = np.array([values[n % 5] for n in range(25)]).astype(np.float32)
    assert np.concatenate([part.values for part in parts]).tobytes() == expected.tobytes()


def test_a_range_of_ids_without_rows_ends_nothing(store: Store) -> None:
    store_rows(store, [row(event_id=f"e{n}") for n in range(30)])
    with store.write() as connection:
        for n in range(3, 28):
            delete_by_event_id(connection, f"e{n}")
    parts, _ = scanned(store)
    assert [len(part) for part in parts] == [3, 2]


def test_an_empty_store_has_no_ranges(store: Store) -> None:
    assert scanned(store)[0] == []


def test_types_that_come_late_are_numbered_when_they_come(store: Store) -> None:
    store_rows(store, [NewInteraction("u", "i", f"type-{n // 6:02d}", 1.0, n) for n in range(40)])
    parts, names = scanned(store)
    codes = np.concatenate([part.event_codes for part in parts]).tolist()
    assert [names.names[code] for code in codes] == [f"type-{n // 6:02d}" for n in range(40)]
    assert len(names) == 7


@pytest.mark.postgres
def test_what_was_not_committed_then_is_left_out_though_its_id_is_lower(postgres_store: Store) -> None:
    with postgres_store.write() as slow:
        early = append(slow, [row("slow", "x")], received_us=1).rows[0].id
        late = store_rows(postgres_store, [row("quick", "y")]).rows[0].id
        upto = watermark_of(postgres_store)
    assert early < late
    assert [part.ids.tolist() for part in scanned(postgres_store, upto)[0]] == [[late]]
    assert [part.ids.tolist() for part in scanned(postgres_store)[0]] == [[early, late]]


def test_keys_come_in_the_order_of_the_bytes_of_their_ids(store: Store) -> None:
    ids = ["b", "a", "Z", "é", "\U0001f600", "\uffee", "a b", "10", "9"]
    store_rows(store, [row(user_id, "x") for user_id in ids])
    with store.read() as connection:
        keys = keys_in_order_of_ids(connection, tables.users)
        names = dict(connection.execute(tables.users.select().with_only_columns(*tables.users.c[:2])).all())
    assert [names[key] for key in keys.tolist()] == sorted(ids, key=str.encode)
