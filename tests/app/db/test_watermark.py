from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from app.db.engine import Store
from app.db.watermark import START, PostgresSnapshot, Watermark


def test_ids_decide_on_sqlite() -> None:
    watermark = Watermark(5, 0, None)
    assert [watermark.covers(row_id, 0) for row_id in (4, 5, 6)] == [True, True, False]


def test_the_snapshot_decides_on_postgresql_whatever_the_id() -> None:
    watermark = Watermark(5, 0, "10:20:12,15")
    assert [watermark.covers(99, xact) for xact in (9, 10, 12, 13, 15, 19)] == [True, True, False, True, False, True]
    assert [watermark.covers(1, xact) for xact in (20, 21)] == [False, False]


def test_the_start_covers_nothing() -> None:
    assert not START.covers(1, 0)


@given(
    last_id=st.integers(0, 2**60),
    last_change_id=st.integers(0, 2**60),
    snapshot=st.sampled_from([None, "1:1:", "3:9:3,4", "700:9000000000:700"]),
)
def test_it_survives_json(last_id: int, last_change_id: int, snapshot: str | None) -> None:
    watermark = Watermark(last_id, last_change_id, snapshot)
    assert Watermark.from_json(json.loads(json.dumps(watermark.to_json()))) == watermark


@pytest.mark.parametrize(
    "document",
    [{}, {"last_id": 1, "last_change_id": 1}, {"last_id": 1, "last_change_id": 1, "snapshot": "later"}],
)
def test_anything_else_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Watermark.from_json(document)


@pytest.mark.postgres
def test_postgresql_sees_the_same_in_a_snapshot(postgres_store: Store) -> None:
    snapshot = "100:110:101,105,109"
    asked = sa.text(
        "SELECT xact, pg_visible_in_snapshot(CAST(CAST(xact AS text) AS xid8), CAST(:snapshot AS pg_snapshot))"
        " FROM generate_series(90, 120) AS xact"
    )
    with postgres_store.read() as connection:
        found = {row[0]: row[1] for row in connection.execute(asked, {"snapshot": snapshot})}
    assert found == {xact: PostgresSnapshot.parse(snapshot).sees(xact) for xact in range(90, 121)}
