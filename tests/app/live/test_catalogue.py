"""What is known of items, from a snapshot's table and from what came since."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.catalogue import MOST_NAMES, Catalogue
from model.item_table import ItemTable, Restriction
from tests.app.live.events import item_id, record


def table(*keys: int) -> ItemTable:
    return ItemTable.build({key: item_id(key) for key in keys})


def keys_of(*keys: int) -> np.ndarray:
    return np.array(keys, dtype=np.int64)


CATALOGUES = {
    "empty": ((), ()),
    "snapshot": ((2, 5, 9), ()),
    "since": ((), (1, 5)),
    "both": ((2, 5, 9), (3, 11)),
}


@pytest.mark.parametrize("most_since", [0, 100], ids=["tables", "beside"])
@pytest.mark.parametrize("name", CATALOGUES)
def test_many_names_at_once_are_those_of_one_at_a_time(name: str, most_since: int) -> None:
    stored, since = CATALOGUES[name]
    catalogue = Catalogue(table(*stored), most_since=most_since)
    catalogue.name({key: item_id(key) for key in since})
    catalogue.compact()
    keys = [*range(12), 5, 0]
    assert catalogue.item_ids(keys_of(*keys)) == [catalogue.item_id(key) for key in keys]
    assert catalogue.names(keys_of(*keys)) == [(catalogue.item_id(key), None) for key in keys]
    assert [catalogue.item_id(key) is not None for key in range(12)] == [key in (*stored, *since) for key in range(12)]
    ids = [item_id(key) for key in keys]
    found = [catalogue.item_key(one) for one in ids]
    assert catalogue.item_keys(ids).tolist() == [-1 if key is None else key for key in found]


@pytest.mark.parametrize("name", CATALOGUES)
def test_no_names_at_once_are_none(name: str) -> None:
    catalogue = Catalogue(table(*CATALOGUES[name][0]))
    assert catalogue.item_ids(keys_of()) == []
    assert catalogue.names(keys_of()) == []
    assert catalogue.item_keys([]).tolist() == []


def test_a_title_that_was_shown_is_another_one_after_an_update() -> None:
    catalogue = Catalogue(ItemTable.build({11: "tea", 12: "cup"}, titles={11: "Tea", 12: "Cup"}))
    assert catalogue.names(keys_of(11, 12)) == [("tea", "Tea"), ("cup", "Cup")]
    catalogue.update([record(11, title="Green tea"), record(12)])
    assert catalogue.names(keys_of(11, 12)) == [("tea", "Green tea"), ("cup", None)]


def test_an_item_that_was_asked_for_before_it_had_a_name_has_it_afterwards() -> None:
    catalogue = Catalogue(table(11))
    assert catalogue.names(keys_of(11, 12)) == [("tea", None), (None, None)]
    catalogue.name({12: "cup"})
    assert catalogue.names(keys_of(11, 12)) == [("tea", None), ("cup", None)]


def test_names_that_were_shown_are_not_those_of_the_table_before() -> None:
    catalogue = Catalogue(ItemTable.build({11: "tea"}, titles={11: "Tea"}))
    assert catalogue.names(keys_of(11)) == [("tea", "Tea")]
    catalogue.rebase(Catalogue(ItemTable.build({11: "tea"}, titles={11: "Green tea"})))
    assert catalogue.names(keys_of(11)) == [("tea", "Green tea")]


def test_names_that_are_kept_do_not_grow_without_bound() -> None:
    catalogue = Catalogue(table(*range(MOST_NAMES + 10)))
    for key in range(0, MOST_NAMES + 10, 1_000):
        several = np.arange(key, min(key + 1_000, MOST_NAMES + 10))
        assert catalogue.names(several) == [(item_id(one), None) for one in several.tolist()]
    assert len(catalogue._kept_names) > MOST_NAMES
    assert catalogue.names(keys_of(3, 99_999)) == [("item-3", None), (None, None)]
    assert len(catalogue._kept_names) == 0
    assert catalogue.names(keys_of(3)) == [("item-3", None)]
    assert len(catalogue._kept_names) == 1


def test_a_rebase_keeps_the_names_that_only_older_tables_have() -> None:
    catalogue = Catalogue(table(1, 2), most_since=0)
    catalogue.name({3: "item-3"})
    catalogue.compact()  # a table in between
    catalogue.name({4: "item-4"})
    catalogue.rebase(Catalogue.of(table(2, 5), {6: "item-6"}, [record(7, title="Seven")]))
    assert catalogue.item_ids(np.arange(8)) == [None, *(f"item-{key}" for key in range(1, 8))]
    assert catalogue.item_keys([f"item-{key}" for key in range(8)]).tolist() == [-1, *range(1, 8)]
    assert catalogue.title(7) == "Seven"
    assert catalogue.unnamed(np.arange(9)) == [0, 8]


def test_a_rebase_takes_the_newer_table_for_what_older_records_said() -> None:
    catalogue = Catalogue(table(1))
    catalogue.update([record(1, title="Old", hidden=True, categories=("a",))])
    catalogue.rebase(Catalogue(ItemTable.build({1: "item-1"}, titles={1: "New"}, categories={1: ["b"]})))
    assert catalogue.title(1) == "New"
    assert (catalogue.in_category("a").tolist(), catalogue.in_category("b").tolist()) == ([], [1])
    assert catalogue.withheld_keys(0).tolist() == []


def test_a_record_says_more_than_the_table_whatever_became_a_table_since() -> None:
    stored = ItemTable.build(
        {1: "item-1", 2: "item-2"},
        titles={1: "One", 2: "Two"},
        categories={1: ["a", "b"], 2: ["a"]},
        restrictions={1: Restriction(off=True)},
    )
    catalogue = Catalogue(stored, most_since=0)
    for turn in range(2):
        catalogue.update([record(1, title=f"{turn}", categories=("c",))])
        for _ in range(2):
            assert catalogue.title(1) == f"{turn}"
            assert list(catalogue.categories_of(1)) == ["c"]
            assert [catalogue.in_category(name).tolist() for name in "abc"] == [[2], [], [1]]
            assert catalogue.withheld_keys(0).tolist() == []
            catalogue.compact()


def test_a_record_without_anything_takes_back_what_the_table_says() -> None:
    stored = ItemTable.build(
        {1: "item-1"}, titles={1: "One"}, categories={1: ["a"]}, restrictions={1: Restriction(off=True)}
    )
    catalogue = Catalogue(stored, most_since=0)
    catalogue.update([record(1)])
    for _ in range(2):
        assert (catalogue.title(1), list(catalogue.categories_of(1))) == (None, [])
        assert (catalogue.in_category("a").tolist(), catalogue.withheld_keys(0).tolist()) == ([], [])
        assert catalogue.names(keys_of(1)) == [("item-1", None)]
        sets, names = catalogue.category_sets(keys_of(1))
        assert (sets.tolist(), names) == ([-1], [])
        catalogue.compact()


def test_a_table_that_is_made_again_has_what_the_one_before_had() -> None:
    catalogue = Catalogue(table(1), most_since=0)
    catalogue.update([record(2, title="Two", categories=("a",), hidden=True)])
    catalogue.compact()
    catalogue.update([record(3, title="Three"), record(4)])
    catalogue.compact()
    assert catalogue.names(np.arange(1, 5)) == [
        *(("item-1", None), ("item-2", "Two")),
        *(("item-3", "Three"), ("item-4", None)),
    ]
    assert (catalogue.in_category("a").tolist(), catalogue.withheld_keys(0).tolist()) == ([2], [2])


def test_no_table_is_made_of_little_beside_a_larger_one() -> None:
    catalogue = Catalogue(table(), most_since=2)
    for keys, made in (((1, 2), False), ((3, 4, 5), True), ((6, 7, 8, 9, 10), False), ((11,), True)):
        catalogue.name({key: item_id(key) for key in keys})
        named = catalogue.version
        catalogue.compact()
        assert (catalogue.version > named) == made


def test_a_deleted_item_is_told_from_a_hidden_one() -> None:
    catalogue = Catalogue(table(1, 2, 3), most_since=0)
    catalogue.update([record(1, deleted=True), record(2, hidden=True)])
    for _ in range(2):
        assert [catalogue.is_deleted(key) for key in range(5)] == [False, True, False, False, False]
        assert sorted(catalogue.withheld_keys(0).tolist()) == [1, 2]
        catalogue.compact()
    catalogue.update([record(1)])
    assert not catalogue.is_deleted(1)


def test_the_items_beyond_some_are_the_others_that_may_ever_be_shown() -> None:
    catalogue = Catalogue(table(1, 2, 3))
    catalogue.name({5: "item-5"})
    catalogue.update([record(6), record(7, deleted=True), record(2, deleted=True), record(8, available_from_us=9)])
    assert catalogue.keys_beyond(keys_of(3, 4)).tolist() == [1, 5, 6, 8]
    assert catalogue.keys_beyond(keys_of()).tolist() == [1, 3, 5, 6, 8]
    catalogue.update([record(7)])
    assert catalogue.keys_beyond(keys_of(3)).tolist() == [1, 5, 6, 7, 8]


def test_an_item_is_withheld_outside_of_its_window_only() -> None:
    catalogue = Catalogue(table(1))
    catalogue.update([record(1, available_from_us=10, available_until_us=20)])
    moments = (9, 10, 19, 20)
    assert [catalogue.withheld_keys(now_us).tolist() for now_us in moments] == [[1], [], [], [1]]
    assert [catalogue.withheld_until_us(now_us) for now_us in moments[:3]] == [10, 20, 20]
    assert catalogue.withheld_until_us(20) > 10**18


def test_sets_of_categories_are_those_of_each_item_wherever_they_stand() -> None:
    stored = ItemTable.build({key: item_id(key) for key in range(4)}, categories={0: ["b", "a"], 1: ["a"], 2: ["c"]})
    catalogue = Catalogue(stored)
    catalogue.update([record(2, categories=("b", "a")), record(5, categories=("c",)), record(6)])
    numbers, names = catalogue.category_sets(np.arange(8))
    assert [None if n < 0 else names[n] for n in numbers.tolist()] == [
        *(("a", "b"), ("a",), ("a", "b"), None),
        *(None, ("c",), None, None),
    ]
    assert len(names) == len(set(names))


def test_every_change_has_another_version_and_nothing_new_has_none() -> None:
    catalogue = Catalogue(table(1))
    versions = [catalogue.version]
    for change in (
        lambda: catalogue.name({2: "item-2"}),
        lambda: catalogue.update([record(1, hidden=True)]),
        lambda: catalogue.rebase(Catalogue(table(1, 2))),
    ):
        change()
        versions.append(catalogue.version)
    assert versions == sorted(set(versions))
    catalogue.name({1: "item-1", 2: "item-2"})
    catalogue.update([])
    catalogue.compact()
    assert catalogue.version == versions[-1]
