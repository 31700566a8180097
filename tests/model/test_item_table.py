from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.item_table import FOREVER_US, STORED_ARRAYS, ItemTable, Restriction

OFF, DELETED, LATER = Restriction(off=True), Restriction(off=True, deleted=True), Restriction(from_us=5, until_us=9)


@pytest.fixture
def table():
    return ItemTable.build(
        {7: "saucer", 2: "cup", 30: "té/pot"},
        titles={2: "A cup", 30: ""},
        categories={2: ["blue", "small"], 30: ["small", "blue", "small"]},
        restrictions={30: DELETED, 2: LATER},
    )


def changed(table, **arrays):
    return ItemTable.from_arrays({**table.arrays(), **arrays})


def test_items_are_found_by_key_and_by_id(table):
    assert table.keys.tolist() == [2, 7, 30]
    assert [table.id(key) for key in (2, 7, 30, 8, -1)] == ["cup", "saucer", "té/pot", None, None]
    assert [table.key(item_id) for item_id in ("té/pot", "cup", "pot")] == [30, 2, None]
    assert [table.row(key) for key in (2, 30, 31)] == [0, 2, None]


def test_an_empty_title_is_none(table):
    assert [table.title(key) for key in (2, 7, 30, 99)] == ["A cup", None, None, None]


def test_a_category_that_stands_twice_counts_once_in_its_first_place(table):
    assert [table.categories_of(key) for key in (2, 7, 30, 99)] == [["blue", "small"], [], ["small", "blue"], []]


def test_a_category_has_its_items_by_key(table):
    assert table.in_category("small").tolist() == [2, 30]
    assert table.in_category("green").tolist() == []


def test_sets_of_categories_are_the_same_in_any_order(table):
    numbers, sets = table.category_sets(np.array([2, 1, 0]))

    assert numbers.tolist() == [0, -1, 0]
    assert sets == [("blue", "small")]


def test_restrictions_come_back_as_they_were(table):
    assert [table.restriction(key) for key in (2, 7, 30, 99)] == [LATER, None, DELETED, None]


@pytest.mark.parametrize("restriction", [OFF, DELETED, LATER, Restriction(off=True, from_us=1, until_us=FOREVER_US)])
def test_every_kind_of_restriction_is_kept(restriction):
    assert ItemTable.build({1: "a"}, restrictions={1: restriction}).restriction(1) == restriction


def test_a_table_of_nothing_knows_nothing():
    table = ItemTable.build({})

    assert len(table) == 0
    assert (table.id(0), table.key("a"), table.title(0), table.restriction(0)) == (None, None, None, None)
    assert table.in_category("a").tolist() == []
    assert table.category_sets(np.array([], dtype=np.int64)) == (pytest.approx([]), [])


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)


@given(st.data())
def test_arrays_make_the_same_table_again(data):
    ids = data.draw(st.lists(NAMES, unique=True, max_size=12))
    keys = data.draw(st.lists(st.integers(0, 2**40), unique=True, min_size=len(ids), max_size=len(ids)))
    some_keys = st.sampled_from(keys) if keys else st.nothing()
    titles = data.draw(st.dictionaries(some_keys, NAMES))
    categories = data.draw(st.dictionaries(some_keys, st.lists(NAMES, max_size=4)))
    restrictions = data.draw(st.dictionaries(some_keys, st.sampled_from([OFF, DELETED, LATER])))
    item_ids = dict(zip(keys, ids, strict=True))
    table = ItemTable.build(item_ids, titles=titles, categories=categories, restrictions=restrictions)

    again = ItemTable.from_arrays(table.arrays())

    assert list(table.arrays()) == list(STORED_ARRAYS)
    for key in keys:
        assert again.key(item_ids[key]) == key
        assert again.id(key) == item_ids[key]
        assert again.title(key) == titles.get(key)
        assert again.categories_of(key) == list(dict.fromkeys(categories.get(key, [])))
        assert again.restriction(key) == restrictions.get(key)
    for name in {name for names in categories.values() for name in names}:
        assert again.in_category(name).tolist() == sorted(key for key, names in categories.items() if name in names)
    numbers, sets = again.category_sets(np.arange(len(keys)))
    found = [() if number < 0 else sets[number] for number in numbers.tolist()]
    assert found == [tuple(sorted(set(categories.get(key, [])))) for key in sorted(keys)]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"keys": np.array([2, 2, 30])}, "keys must be strictly ascending"),
        ({"keys": np.array([2, 7])}, "same number of items"),
        ({"keys": np.array([2, 7, 30], dtype=np.int32)}, "keys must be one-dimensional int64"),
        ({"restricted_keys": np.array([30, 2])}, "restricted_keys must be strictly ascending"),
        ({"restricted_off": np.array([1], dtype=np.uint8)}, "restricted items do not have the same length"),
        ({"category_indptr": np.array([0, 3, 2, 4])}, "category_indptr must rise"),
        ({"category_indptr": np.array([1, 2, 2, 4])}, "category_indptr must rise"),
        ({"category_indptr": np.array([0, 2, 2, 3])}, "category_indptr must rise"),
        ({"category_codes": np.array([0, 1, 1, 2], dtype=np.int32)}, r"outside 0\.\.1"),
        ({"category_codes": np.array([0, 1, 1, -1], dtype=np.int32)}, r"outside 0\.\.1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(table, arrays, words):
    with pytest.raises(ValueError, match=words):
        changed(table, **arrays)


def test_a_missing_array_is_named(table):
    arrays = table.arrays()
    del arrays["titles_blob"]

    with pytest.raises(ValueError, match="missing arrays of items: titles_blob"):
        ItemTable.from_arrays(arrays)
