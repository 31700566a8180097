"""Catalogue against a plain dict of records, however its tables were cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.db.items import ItemRecord
from app.live.catalogue import Catalogue
from app.training.history import item_table
from tests.app.live.events import item_id, record

KEYS = st.integers(1, 8)
CATEGORIES = ("a", "b", "c")
MOMENTS = (-1, 0, 5, 10, 99)
FACTS = st.fixed_dictionaries(
    {
        "title": st.sampled_from((None, "One", "Two")),
        "categories": st.lists(st.sampled_from(CATEGORIES), unique=True).map(tuple),
        "hidden": st.booleans(),
        "deleted": st.booleans(),
        "available_from_us": st.sampled_from((None, 0, 5)),
        "available_until_us": st.sampled_from((None, 5, 10)),
    }
)
PUT = st.tuples(KEYS, FACTS)


class Known(RuleBasedStateMachine):
    """The store's items, and a catalogue of which most becomes a table soon."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, ItemRecord] = {}

    @initialize(put=st.lists(PUT, max_size=4), most_since=st.sampled_from((0, 2, 100)))
    def a_table(self, put: list[tuple[int, dict[str, Any]]], most_since: int) -> None:
        self.records = {key: record(key, **facts) for key, facts in put}
        self.catalogue = Catalogue(item_table(self.records.values()), most_since=most_since)

    @rule(keys=st.sets(KEYS, max_size=3))
    def interactions_name_items(self, keys: set[int]) -> None:
        self.catalogue.name({key: item_id(key) for key in keys})
        for key in keys - self.records.keys():
            self.records[key] = record(key, updated_us=None)

    @rule(put=st.lists(PUT, max_size=3))
    def records_are_put(self, put: list[tuple[int, dict[str, Any]]]) -> None:
        new = {key: record(key, **facts) for key, facts in put}
        self.catalogue.update(new.values())
        self.records |= new

    @rule()
    def what_came_becomes_a_table(self) -> None:
        self.catalogue.compact()

    @rule(data=st.data())
    def a_training_has_written_a_table(self, data: st.DataObject) -> None:
        # It may lack what only interactions have named; what was put while it read comes with the rebase.
        put = {key: each for key, each in self.records.items() if each.updated_us is not None}
        named = sorted(self.records.keys() - put.keys())
        lacking = set(data.draw(st.lists(st.sampled_from(named), unique=True))) if named else set()
        late = set(data.draw(st.lists(st.sampled_from(sorted(put)), unique=True))) if put else set()
        read = {key: record(key, title="Before", hidden=True) if key in late else put[key] for key in put}
        read |= {key: self.records[key] for key in named if key not in lacking}
        self.catalogue.rebase(Catalogue.of(item_table(read.values()), {}, [put[key] for key in late]))

    @invariant()
    def names_are_known(self) -> None:
        catalogue, keys = self.catalogue, range(10)
        named = [item_id(key) if key in self.records else None for key in keys]
        titles = [self.records[key].title if key in self.records else None for key in keys]
        assert [catalogue.item_id(key) for key in keys] == named
        assert catalogue.item_ids(np.array(keys)) == named
        assert catalogue.names(np.array(keys)) == list(zip(named, titles, strict=True))
        known = sorted(self.records)
        assert catalogue.names(np.array(known, dtype=np.int64)) == [(item_id(key), titles[key]) for key in known]
        assert [catalogue.title(key) for key in keys] == titles
        found = [key if key in self.records else None for key in keys]
        assert [catalogue.item_key(item_id(key)) for key in keys] == found
        assert catalogue.item_keys([item_id(key) for key in keys]).tolist() == [-1 if k is None else k for k in found]
        assert catalogue.unnamed(np.array(keys)) == [key for key in keys if key not in self.records]

    @invariant()
    def categories_are_known(self) -> None:
        catalogue, keys = self.catalogue, range(10)
        of = {key: set(self.records[key].categories) if key in self.records else set() for key in keys}
        for name in CATEGORIES:
            assert catalogue.in_category(name).tolist() == [key for key in keys if name in of[key]]
        assert [set(catalogue.categories_of(key)) for key in keys] == list(of.values())
        numbers, sets = catalogue.category_sets(np.array(keys))
        assert [set() if n < 0 else set(sets[n]) for n in numbers.tolist()] == list(of.values())
        assert len(sets) == len(set(sets))

    @invariant()
    def what_may_not_be_shown_is_withheld(self) -> None:
        catalogue = self.catalogue
        restricted = {key: each for key, one in self.records.items() if (each := one.restriction) is not None}
        for now_us in MOMENTS:
            out = [k for k, each in restricted.items() if each.off or not each.from_us <= now_us < each.until_us]
            assert sorted(catalogue.withheld_keys(now_us).tolist()) == sorted(out)
        for now_us in MOMENTS[1:]:
            until_us = catalogue.withheld_until_us(now_us)
            assert until_us > now_us
            last_us = min(until_us - 1, 10**6)
            assert set(catalogue.withheld_keys(now_us).tolist()) == set(catalogue.withheld_keys(last_us).tolist())
        beyond = [key for key in sorted(self.records) if key > 3 and not (key in restricted and restricted[key].off)]
        assert catalogue.keys_beyond(np.arange(4)).tolist() == beyond
        assert [catalogue.is_deleted(key) for key in range(10)] == [
            key in self.records and self.records[key].deleted for key in range(10)
        ]


TestKnown = Known.TestCase
TestKnown.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
