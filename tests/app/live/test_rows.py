"""Rows as arrays, and as tables by user, against plain lists of the same rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.db.append import StoredInteraction
from app.live.rows import BaseTable, EventRows, RecentTable, joined_events, without_users
from app.live.seen import EventTypes, SeenRule
from model.user_factors import UserEvents
from tests.app.live.events import columns, histories, row, told, told_of, user_id

KEYS = st.integers(1, 5)
FACTS = st.tuples(KEYS, st.integers(11, 14), st.sampled_from(("view", "buy", "dislike")), st.integers(0, 9))


@st.composite
def stored_rows(draw: st.DrawFn) -> list[StoredInteraction]:
    facts = draw(st.lists(FACTS, max_size=12))
    return [
        StoredInteraction(number, 0, user, item, kind, number / 2, at)
        for number, (user, item, kind, at) in enumerate(facts, 1)
    ]


def event_types(*names: str) -> EventTypes:
    types = EventTypes(SeenRule(hidden_types=frozenset({"dislike"})))
    types.numbers(names)
    return types


def one_by_one(events: UserEvents) -> list[tuple[int, int, int, float]]:
    return list(zip(*(column.tolist() for column in events), strict=True))


def of_user(rows: list[StoredInteraction], user_key: int, types: EventTypes) -> list[tuple[int, int, int, float]]:
    return [(r.item_key, types.number(r.event_type), r.occurred_us, r.value) for r in rows if r.user_key == user_key]


@given(stored_rows())
def test_rows_are_the_same_from_the_log_s_columns_and_one_by_one(rows: list[StoredInteraction]) -> None:
    types = event_types()
    found = [EventRows.of(rows, types), EventRows.of_columns(columns(rows), types)]
    for each in found:
        assert len(each) == len(rows)
        assert told(each, types) == told_of(rows)
        assert one_by_one(each.events()) == [of_user([r], r.user_key, types)[0] for r in rows]
    for name in EventRows.__dataclass_fields__:
        assert getattr(found[0], name).dtype == getattr(found[1], name).dtype


@given(stored_rows(), stored_rows())
def test_parts_are_joined_in_their_order(first: list[StoredInteraction], second: list[StoredInteraction]) -> None:
    types = event_types()
    parts = [EventRows.of(first, types), EventRows.of(second, types)]
    joined = EventRows.joined(parts)
    assert one_by_one(joined.events()) == one_by_one(joined_events([part.events() for part in parts]))
    assert one_by_one(joined.events()) == [of_user([r], r.user_key, types)[0] for r in (*first, *second)]
    assert joined.user_keys.tolist() == [r.user_key for r in (*first, *second)]


def test_no_parts_joined_are_no_events_of_the_usual_types() -> None:
    nothing = joined_events([])
    assert [len(column) for column in nothing] == [0, 0, 0, 0]
    some = EventRows.of([row(1, 1, 11)], event_types()).events()
    assert [column.dtype for column in nothing] == [column.dtype for column in some]


def test_rows_that_hide_their_item_are_not_shown() -> None:
    types = event_types("dislike", "view")
    rows = EventRows.of([row(1, 1, 11, at=5), row(2, 1, 12, event_type="dislike"), row(3, 2, 13, at=6)], types)
    item_keys, times_us = rows.shown(types)
    assert (item_keys.tolist(), times_us.tolist()) == ([11, 13], [5, 6])


@given(stored_rows(), st.sets(KEYS))
def test_rows_of_some_users_are_left_out(rows: list[StoredInteraction], users: set[int]) -> None:
    types = event_types()
    left = without_users(EventRows.of(rows, types), users)
    assert told(left, types) == told_of(r for r in rows if r.user_key not in users)


@given(stored_rows(), st.integers(0, 10))
def test_a_recent_table_has_the_rows_of_each_user_in_their_order(rows: list[StoredInteraction], since: int) -> None:
    types = event_types()
    named = {user_id(key): key for key in (2, 4, 6)}
    table = RecentTable(EventRows.of(rows, types), named)
    newer = table.since(since)
    for each, held in ((table, rows), (newer, [r for r in rows if r.occurred_us >= since])):
        assert len(each) == len(held)
        assert told(each.rows(), types) == told_of(held)
        assert each.user_keys.tolist() == sorted({r.user_key for r in held})
        assert each.named() == named
        for key in range(8):
            assert one_by_one(each.events(key)) == of_user(held, key, types)
            assert each.size(key) == len(of_user(held, key, types))
    assert len(table) == len(rows)


def test_a_recent_table_names_the_users_it_was_given_whether_they_have_rows_or_not() -> None:
    table = RecentTable(EventRows.of([row(1, 1, 11)], event_types()), {"bob": 2, "ann": 1, "": 9})
    assert [table.user_key(name) for name in ("ann", "bob", "", "cid")] == [1, 2, 9, None]
    assert table.names_of([1, 9, 77]) == {"ann": 1, "": 9}
    assert table.names_of([]) == {}
    assert table.named() == {"bob": 2, "ann": 1, "": 9}


def test_an_empty_recent_table_knows_nobody() -> None:
    table = RecentTable(EventRows.of([], event_types()), {})
    assert (len(table), table.size(1), one_by_one(table.events(1)), table.named()) == (0, 0, [], {})
    assert table.user_key("ann") is None


@given(stored_rows())
def test_a_base_table_has_the_rows_of_a_history_under_the_numbers_of_this_process(
    rows: list[StoredInteraction],
) -> None:
    types = event_types("buy", "other")  # met before the history came
    table = BaseTable(histories(*rows), types)
    assert len(table) == len(rows)
    assert told(table.rows(), types) == told_of(rows)
    for key in range(7):
        assert one_by_one(table.events(key)) == of_user(rows, key, types)
        assert table.size(key) == len(of_user(rows, key, types))
        assert table.user_key(user_id(key)) == (key if of_user(rows, key, types) else None)


@given(stored_rows(), st.lists(st.integers(0, 4), max_size=4))
def test_rows_of_many_users_at_once_are_those_of_each(rows: list[StoredInteraction], places: list[int]) -> None:
    types = event_types()
    history = histories(*rows)
    table = BaseTable(history, types)
    users = np.array([place for place in places if place < len(history.user_keys)], dtype=np.int64)
    events, counts = table.events_of(users)
    keys = history.user_keys[users].tolist()
    assert counts.tolist() == [table.size(key) for key in keys]
    assert one_by_one(events) == [each for key in keys for each in one_by_one(table.events(key))]
