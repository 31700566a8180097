"""Restrictions: which items no list may hold at a moment, and until when that stays so."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.live.restrictions import Restrictions
from model.item_table import FOREVER_US, ItemTable, Restriction
from tests.app.live.events import record


def of_windows(*windows: tuple[bool, int, int]) -> Restrictions:
    off, from_us, until_us = zip(*windows, strict=True)
    return Restrictions(
        np.arange(len(windows)),
        np.array(off, dtype=np.bool_),
        np.array(from_us, dtype=np.int64),
        np.array(until_us, dtype=np.int64),
    )


def table(restrictions: dict[int, Restriction], *others: int) -> ItemTable:
    return ItemTable.build({key: f"item-{key}" for key in (*restrictions, *others)}, restrictions=restrictions)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.one_of(st.integers(0, 9), st.just(FOREVER_US))),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 10),
)
def test_what_is_withheld_stays_so_until_the_moment_that_is_told(
    windows: list[tuple[bool, int, int]], now_us: int
) -> None:
    restrictions = of_windows(*windows)

    def slow(at_us: int) -> list[int]:
        return [n for n, (off, start, stop) in enumerate(windows) if off or not start <= at_us < stop]

    until_us = restrictions.until(now_us)
    for at_us in (now_us, *range(now_us, min(until_us, 12))):
        assert restrictions.withheld(at_us).tolist() == slow(at_us) == slow(now_us)


def test_the_moment_is_the_next_one_at_which_a_window_opens_or_closes() -> None:
    restrictions = of_windows((False, 10, 30), (False, 20, FOREVER_US))
    assert [restrictions.until(now_us) for now_us in (0, 9, 10, 19, 20, 29)] == [10, 10, 20, 20, 30, 30]
    assert restrictions.until(30) == FOREVER_US
    assert of_windows((True, 0, FOREVER_US)).until(5) == FOREVER_US


def test_nothing_is_withheld_where_nothing_is_restricted() -> None:
    restrictions = Restrictions.of({1: record(1)}, [table({}, 1, 2)])
    assert restrictions.withheld(0).tolist() == []
    assert restrictions.always_off.tolist() == []
    assert restrictions.until(0) == FOREVER_US


def test_a_record_says_more_than_tables_and_a_newer_table_more_than_an_older_one() -> None:
    hidden = Restriction(off=True)
    records = {1: record(1), 2: record(2, deleted=True)}
    newer = table({3: hidden}, 4)
    older = table(dict.fromkeys((1, 4, 5), hidden), 2, 3)
    restrictions = Restrictions.of(records, [newer, older])
    # 1 is shown again by its record, 4 by the newer table.
    assert sorted(restrictions.withheld(0).tolist()) == [2, 3, 5]
    assert restrictions.always_off.tolist() == [2, 3, 5]


def test_a_record_of_another_window_takes_the_place_of_the_table_s() -> None:
    restrictions = Restrictions.of(
        {1: record(1, available_from_us=10)}, [table({1: Restriction(from_us=50), 2: Restriction(until_us=20)})]
    )
    assert [sorted(restrictions.withheld(now_us).tolist()) for now_us in (9, 10, 20)] == [[1], [], [2]]
    assert [restrictions.until(now_us) for now_us in (0, 10, 20)] == [10, 20, FOREVER_US]
    assert restrictions.always_off.tolist() == []


def test_a_hidden_item_is_withheld_within_its_window_too() -> None:
    restrictions = Restrictions.of({1: record(1, hidden=True, available_from_us=10, available_until_us=20)}, [])
    assert [restrictions.withheld(now_us).tolist() for now_us in (5, 15, 25)] == [[1], [1], [1]]
    assert restrictions.always_off.tolist() == [1]
