"""Held: what one moment holds, wherever its rows stand, and whatever comes afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.live.held import Base, Held
from app.live.history import History
from app.live.seen import EventTypes, SeenRule
from tests.app.live.events import appended, base, batch, history, row, told, told_of, upto

BASE = [row(1, 1, 11), row(2, 2, 12, at=500)]
RECENT = [row(3, 1, 12), row(4, 3, 13, at=400), row(5, 3, 11)]
LATER = [row(6, 1, 13), row(7, 4, 14)]


def in_every_place() -> History:
    """Rows in the base, in the recent table and beside both."""
    h = history(most_since=2)
    h.restart(base(*BASE), batch(*RECENT, watermark=upto(5)))
    h.apply(appended(*LATER))
    held = h.held
    assert held.recent
    assert (len(held.base_table), sum(map(len, held.recent)), sum(map(len, held.later.values()))) == (2, 3, 2)
    return h


def items_of(held: Held, user_key: int) -> list[int]:
    return held.events(user_key).item_keys.tolist()


def rows_since(h: History, name: str) -> list[tuple[int, int, str, int, float]]:
    return told(h.held.rows_since(name), h.types)


def test_a_user_has_the_rows_of_every_place_the_older_ones_first() -> None:
    held = in_every_place().held
    assert [items_of(held, key) for key in range(1, 6)] == [[11, 12, 13], [12], [13, 11], [14], []]
    assert [held.size(key) for key in range(1, 6)] == [3, 1, 2, 1, 0]


def test_rows_since_a_training_are_those_that_its_history_lacks() -> None:
    h = in_every_place()
    assert rows_since(h, "model-1") == told_of([*RECENT, *LATER])
    assert rows_since(h, "model-7") == told_of([*BASE, *RECENT, *LATER])
    assert h.held.since_base() == 5


def test_before_the_first_training_every_row_came_since() -> None:
    h = history()
    h.apply(appended(*LATER))
    assert h.held.base.name == ""
    assert rows_since(h, "") == rows_since(h, "model-1") == told_of(LATER)


def test_users_are_named_wherever_their_rows_stand() -> None:
    held = in_every_place().held
    names = {"ann": 1, "bob": 2, "cid": 3, "user-4": 4}
    assert {name: held.user_key(name) for name in (*names, "dan")} == names | {"dan": None}
    assert held.names_of([1, 3, 4, 99]) == {"ann": 1, "cid": 3, "user-4": 4}
    assert held.names_of([]) == {}
    assert held.users() == 4
    assert sorted(held.user_ids_beside()) == ["cid", "user-4"]


def test_a_user_who_came_back_under_another_key_is_found_by_the_newer_one() -> None:
    h = in_every_place()
    rows = [row(8, 9, 11), row(9, 9, 12)]
    for _ in range(2):
        h.apply_feed(replace(batch(*rows, watermark=upto(rows[-1].id)), user_ids={9: "ann"}))
        assert h.held.user_key("ann") == 9
        # At the next turn, from the table that what came since has become.
        rows = [row(number, 9, 13) for number in range(10, 20)]
    assert h.held.recent
    assert h.held.recent[-1].user_key("ann") == 9


def test_a_user_of_whom_a_row_was_deleted_has_what_is_left_and_nothing_of_the_tables() -> None:
    h = in_every_place()
    h.apply_feed(batch(watermark=upto(7, 1), deleted={1: [RECENT[0], LATER[0]], 3: []}))
    held = h.held
    assert [items_of(held, key) for key in (1, 2, 3, 4)] == [[12, 13], [12], [], [14]]
    assert [held.size(key) for key in (1, 2, 3, 4)] == [2, 1, 0, 1]
    assert rows_since(h, "model-1") == told_of([RECENT[0], *LATER])
    assert rows_since(h, "") == told_of([BASE[1], RECENT[0], *LATER])
    assert held.since_base() == 3


def test_a_row_of_the_base_that_was_read_anew_did_not_come_since() -> None:
    h = in_every_place()
    h.apply_feed(batch(watermark=upto(7, 1), deleted={1: [BASE[0], LATER[0]]}))
    assert items_of(h.held, 1) == [11, 13]
    assert rows_since(h, "model-1") == told_of([*RECENT[1:], *LATER])


def test_rows_of_the_base_from_before_an_expiry_are_gone_and_later_ones_of_that_age_are_not() -> None:
    h = in_every_place()
    old = row(8, 2, 11, at=450)
    h.apply_feed(batch(old, watermark=upto(8, 1), expired_us=600))
    held = h.held
    assert [items_of(held, key) for key in (1, 2, 3)] == [[11, 12, 13], [11], [11]]
    assert [held.size(key) for key in (1, 2, 3)] == [3, 1, 1]
    assert rows_since(h, "") == told_of([BASE[0], RECENT[0], RECENT[2], *LATER, old])


@pytest.mark.parametrize("change", [{"deleted": {1: [], 3: []}}, {"expired_us": 10_000}], ids=["deletion", "expiry"])
def test_what_was_taken_before_rows_went_still_has_all_of_its_moment(change: dict[str, Any]) -> None:
    h = in_every_place()
    before = h.held
    told_before = told(before.rows_since(""), h.types)
    h.apply_feed(batch(watermark=upto(7, 1), **change))
    assert told(before.rows_since(""), h.types) == told_before
    assert items_of(before, 1) == [11, 12, 13]
    assert items_of(h.held, 1) == []
    assert h.held.serial != before.serial


def test_what_was_taken_before_a_table_was_made_still_has_all_of_its_moment() -> None:
    h = in_every_place()
    before = h.held
    told_before = told(before.rows_since(""), h.types)
    h.apply_feed(batch(*LATER, *(row(n, 1, 11) for n in range(8, 12)), watermark=upto(11)))
    assert h.held.recent is not before.recent
    assert set(told_before) <= set(told(before.rows_since(""), h.types))
    assert before.user_key("user-4") == h.held.user_key("user-4") == 4


def test_nothing_held_is_nothing_of_everybody() -> None:
    held = Held.resting_on(Base.none(), EventTypes(SeenRule()))
    assert (held.users(), held.since_base(), held.size(1), items_of(held, 1)) == (0, 0, 0, [])
    assert len(held.rows_since("")) == len(held.rows_since("model-1")) == 0
    assert held.user_key("ann") is None
