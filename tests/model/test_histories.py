from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.histories import Histories
from model.item_table import ItemTable
from model.snapshot import load_snapshot, write_snapshot

EVENT_TYPES = ["view", "purchase", "like"]
USER_IDS = {7: "anna", 3: "b\u00f6rje", 12: "nobody-yet"}
ITEM_IDS = {20: "lamp", 10: "chair", 15: "rug", 99: "never-bought"}
TITLES = {20: "A lamp", 15: "", 99: "Dust"}

# In the order of their ids: user, item, event, time (not rising), value.
ROWS = [
    (7, 20, 0, 500, 1.0),
    (3, 10, 1, 900, 2.5),
    (7, 15, 2, 100, 1.0),
    (7, 20, 1, 100, 3.0),
    (3, 20, 0, 50, 1.0),
]


def build(rows=ROWS, **changed: Any) -> Histories:
    users, items, codes, times, values = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    arguments: dict[str, Any] = {
        "event_codes": codes.astype(np.int64),
        "times_us": times.astype(np.int64),
        "values": values,
        "event_types": EVENT_TYPES,
        "user_ids": USER_IDS,
        "items": ItemTable.build(ITEM_IDS, titles=TITLES),
    }
    return Histories.build(users.astype(np.int64), items.astype(np.int64), **{**arguments, **changed})


def rows_of(histories: Histories, user_key: int):
    return list(zip(*(column.tolist() for column in histories.of_user(user_key)), strict=True))


def test_the_rows_of_a_user_come_in_the_order_of_their_ids():
    histories = build()

    assert rows_of(histories, 7) == [(20, 0, 500, 1.0), (15, 2, 100, 1.0), (20, 1, 100, 3.0)]
    assert rows_of(histories, 3) == [(10, 1, 900, 2.5), (20, 0, 50, 1.0)]
    assert len(histories) == 5


def test_users_without_rows_and_unknown_users_have_an_empty_history():
    histories = build()

    for key in (12, 0, 8, 10**12):
        assert rows_of(histories, key) == []
    assert [column.dtype.name for column in histories.of_user(0)] == ["int64", "uint8", "int64", "float32"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(sorted(USER_IDS)),
            st.sampled_from(sorted(ITEM_IDS)),
            st.integers(0, 2),
            st.integers(-(2**50), 2**50),
            st.floats(0, 2.0**20, width=32),
        ),
        max_size=40,
    )
)
def test_it_groups_like_a_plain_loop(rows):
    histories = build(rows)

    for key in USER_IDS:
        assert rows_of(histories, key) == [tuple(row[1:]) for row in rows if row[0] == key]


def test_ids_keys_and_titles_are_found_both_ways():
    histories = build()

    for key, user_id in USER_IDS.items():
        assert histories.user_key(user_id) == key
        assert histories.user_id(key) == user_id
    for key, item_id in ITEM_IDS.items():
        assert histories.items.key(item_id) == key
        assert histories.items.id(key) == item_id
    assert [histories.items.title(key) for key in (20, 99, 15, 10)] == ["A lamp", "Dust", None, None]


def test_what_is_unknown_is_none():
    histories = build()

    assert histories.user_key("lamp") is None
    assert histories.items.key("anna") is None
    for key in (0, 4, 1000):
        assert histories.user_id(key) is None
        assert histories.items.id(key) is None
        assert histories.items.title(key) is None


def test_the_arrays_are_small_and_the_big_ones_are_views():
    histories = build()

    assert histories.item_positions.dtype == np.int32
    assert histories.event_codes.dtype == np.uint8
    assert histories.values.dtype == np.float32
    _, codes, times, values = histories.of_user(7)
    assert np.shares_memory(codes, histories.event_codes)
    assert np.shares_memory(times, histories.times_us)
    assert np.shares_memory(values, histories.values)


def test_more_event_types_than_a_byte_holds_take_two():
    histories = build([(7, 20, 256, 0, 1.0)], event_types=[f"type-{n}" for n in range(257)])

    assert histories.event_codes.dtype == np.uint16
    assert rows_of(histories, 7) == [(20, 256, 0, 1.0)]


@pytest.mark.parametrize("histories", [build(), Histories.empty()], ids=["some", "none"])
def test_they_come_back_from_a_memory_mapped_snapshot(histories, tmp_path: Path):
    folder = tmp_path / "history"
    about = {"kind": "history", "store_id": "s"}
    write_snapshot(folder, histories.arrays(), created_at="", facts=histories.facts(), **about)
    snapshot = load_snapshot(folder, **about)

    again = Histories.from_arrays(snapshot.arrays, snapshot.facts)

    assert again.event_types == histories.event_types
    assert again.user_keys.tolist() == histories.user_keys.tolist()
    assert again.items.keys.tolist() == histories.items.keys.tolist()
    for key in USER_IDS:
        assert rows_of(again, key) == rows_of(histories, key)
        assert again.user_id(key) == histories.user_id(key)
    for key, item_id in ITEM_IDS.items():
        assert again.items.title(key) == histories.items.title(key)
        assert again.items.key(item_id) == histories.items.key(item_id)
    assert again.times_us is snapshot.arrays["times_us"]
    assert set(again.arrays()) == set(snapshot.arrays)


def test_empty_histories_know_nobody():
    histories = Histories.empty()

    assert len(histories) == 0
    assert histories.user_key("anna") is None
    assert histories.items.title(1) is None
    assert rows_of(histories, 1) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"user_ids": {3: "x"}}, "user key 7 has no id"),
        ({"items": ItemTable.build({10: "x", 20: "y"})}, "item key 15 has no id"),
        ({"items": ItemTable.build({})}, "item key 20 has no id"),
        ({"event_types": ["view", "like"]}, "event_codes holds a number outside 0..1"),
        ({"user_ids": {3: "x", 7: "x"}}, "'x' is there twice"),
    ],
)
def test_rows_that_refer_to_nothing_are_refused(changed, problem):
    with pytest.raises(ValueError, match=problem):
        build(**changed)


@pytest.mark.parametrize("column", ["event_codes", "times_us", "values"])
def test_columns_of_another_length_are_refused(column):
    for length in (4, 6):
        with pytest.raises(ValueError, match="same length"):
            build(**{column: np.zeros(length, dtype=np.int64)})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"user_keys": np.array([3, 3, 12])}, "user_keys must be strictly ascending"),
        ({"user_keys": np.array([3, 12])}, "same number of users"),
        ({"items_keys": np.array([10, 15, 20])}, "same number of items"),
        ({"items_keys": np.array([[10, 15, 20, 99]])}, "keys must be one-dimensional int64"),
        ({"indptr": np.array([0, 2, 5])}, "same number of users"),
        ({"indptr": np.array([0, 2, 5, 6])}, "indptr must rise"),
        ({"indptr": np.array([1, 2, 5, 5])}, "indptr must rise"),
        ({"indptr": np.array([0, 5, 2, 5])}, "indptr must rise"),
        ({"item_positions": np.zeros(5, dtype=np.int64)}, "item_positions must be"),
        ({"item_positions": np.full(5, 4, dtype=np.int32)}, "item_positions holds a number outside 0..3"),
        ({"item_positions": np.full(5, -1, dtype=np.int32)}, "item_positions holds a number outside 0..3"),
        ({"event_codes": np.full(5, 3, dtype=np.uint8)}, "event_codes holds a number outside 0..2"),
        ({"values": np.zeros(4, dtype=np.float32)}, "same length"),
        ({"times_us": np.zeros(5)}, "times_us must be"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(changed, problem):
    histories = build()

    with pytest.raises(ValueError, match=problem):
        Histories.from_arrays({**histories.arrays(), **changed}, histories.facts())


@pytest.mark.parametrize("name", ["times_us", "users_blob", "items_titles_offsets"])
def test_a_missing_array_is_named(name):
    arrays = build().arrays()
    del arrays[name]

    with pytest.raises(ValueError, match=f"missing arrays: {name}"):
        Histories.from_arrays(arrays, build().facts())


@pytest.mark.parametrize("facts", [{}, {"event_types": "view"}, {"event_types": [1]}])
def test_facts_without_event_types_are_refused(facts):
    with pytest.raises(ValueError, match="event_types"):
        Histories.from_arrays(build().arrays(), facts)
