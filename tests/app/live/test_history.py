"""History: what it knows of a user, whichever way and in whichever order the rows came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.db.append import StoredInteraction
from app.db.watermark import START
from app.live.held import Base
from app.live.history import History
from app.live.seen import SeenRule
from tests.app.live.events import (
    DAY_US,
    ITEMS,
    appended,
    base,
    batch,
    history,
    popular,
    rebase,
    row,
    seen,
    upto,
)


def test_an_own_write_is_seen_at_once_and_names_its_user_and_item() -> None:
    h = history()
    h.apply(appended(row(1, 1, 11)))
    assert (h.user_key("ann"), h.catalogue.item_key("tea"), h.catalogue.item_id(11)) == (1, 11, "tea")
    assert seen(h, 1) == [11]
    assert h.user_key("bob") is None


def test_a_row_that_comes_by_the_own_write_and_by_the_feed_counts_once() -> None:
    h = history()
    h.apply(appended(row(1, 1, 11)))
    h.apply_feed(batch(row(1, 1, 11), row(2, 2, 12), watermark=upto(2)))
    assert seen(h, 1) == [11]
    assert popular(h) == {11: 1.0, 12: 1.0}


def test_a_row_that_the_feed_brought_before_the_own_write_was_told_counts_once() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), watermark=upto(1)))
    h.apply(appended(row(1, 1, 11)))
    assert h.held.since_base() == 1


def test_a_newer_base_replaces_the_rows_it_holds_and_no_others() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), row(2, 1, 12), row(3, 2, 13), watermark=upto(3)))
    rebase(h, base(row(1, 1, 11), row(2, 1, 12)), batch(row(3, 2, 13), watermark=upto(3)))
    assert h.held.since_base() == 1
    assert (seen(h, 1), seen(h, 2)) == ([11, 12], [13])
    assert (h.user_key("ann"), h.user_key("bob"), h.catalogue.item_id(13)) == (1, 2, "jam")


def test_a_newer_base_keeps_own_writes_that_the_feed_has_not_read_yet() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), watermark=upto(1)))
    h.apply(appended(row(2, 1, 12), row(3, 2, 13)))
    rebase(h, base(row(1, 1, 11)), batch(row(2, 1, 12), watermark=upto(2)))
    assert (seen(h, 1), seen(h, 2), h.user_key("bob")) == ([11, 12], [13], 2)
    h.apply_feed(batch(row(3, 2, 13), watermark=upto(3)))
    assert h.held.since_base() == 2


def test_the_first_base_makes_the_feed_go_on_from_what_came_since() -> None:
    h = history()
    assert h.watermark == START
    h.restart(base(row(1, 1, 11)), batch(row(2, 2, 12), watermark=upto(2)))
    assert h.watermark == upto(2)
    assert popular(h) == {11: 1.0, 12: 1.0}


def test_a_deletion_takes_an_item_of_the_base_back_and_outlives_the_next_base() -> None:
    h = history()
    rows = [row(1, 1, 11), row(2, 1, 12)]
    h.restart(base(*rows), batch(watermark=upto(2)))
    left = batch(watermark=upto(2, 1), deleted={1: rows[1:]})
    h.apply_feed(left)
    assert seen(h, 1) == [12]
    # A training that read before the deletion publishes after it: the feed is read again from where it read.
    rebase(h, base(*rows), left)
    assert seen(h, 1) == [12]
    # One that read after it knows; nothing is held beside it any more.
    rebase(h, base(rows[1]), batch(watermark=upto(2, 1)))
    assert (seen(h, 1), h.held.since_base()) == ([12], 0)


def test_a_deletion_keeps_an_own_write_that_the_feed_has_not_read_yet() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), row(2, 1, 12), watermark=upto(2)))
    h.apply(appended(row(3, 1, 13)))
    h.apply_feed(batch(watermark=upto(2, 1), deleted={1: [row(2, 1, 12)]}))
    assert seen(h, 1) == [12, 13]
    h.apply_feed(batch(row(3, 1, 13), watermark=upto(3, 1)))
    assert seen(h, 1) == [12, 13]
    assert h.held.since_base() == 2


def test_a_restart_forgets_everything_but_what_it_brings() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), watermark=upto(1)))
    h.restart(Base.none(), batch(row(9, 2, 12), watermark=upto(9)))
    assert h.user_key("ann") is None
    assert seen(h, 2) == [12]
    assert h.watermark == upto(9)


def test_a_restart_forgets_own_writes_too() -> None:
    h = history()
    h.apply(appended(row(50, 1, 11)))
    h.restart(Base.none(), batch(row(9, 2, 12), watermark=upto(9)))
    assert h.user_key("ann") is None
    assert (seen(h, 1), seen(h, 2)) == ([], [12])


def test_a_newer_base_without_an_item_does_not_take_its_name_away() -> None:
    h = history()
    h.restart(base(row(1, 1, 11), row(2, 1, 12)), batch(watermark=upto(2)))
    h.apply_feed(batch(row(3, 2, 13), watermark=upto(3)))
    rebase(h, base(row(2, 1, 12), row(3, 2, 13)), batch(watermark=upto(3)))
    assert [h.catalogue.item_id(key) for key in ITEMS] == list(ITEMS.values())
    assert h.catalogue.item_key("tea") == 11


def both(rows: Sequence[StoredInteraction], rule: SeenRule) -> tuple[History, History]:
    """The same rows once in the base and once beside it: every rule must read both the same way."""
    in_base, beside = history(rule), history(rule)
    in_base.restart(base(*rows), batch(watermark=upto(rows[-1].id)))
    beside.apply(appended(*rows))
    return in_base, beside


def test_only_the_event_types_of_the_rule_make_an_item_seen() -> None:
    rows = [row(1, 1, 11, event_type="view"), row(2, 1, 12, event_type="purchase")]
    for h in both(rows, SeenRule(event_types=frozenset({"purchase"}))):
        assert seen(h, 1) == [12]


def test_an_item_is_seen_no_longer_once_it_is_older_than_the_days_of_the_rule() -> None:
    rows = [row(1, 1, 11, at=0), row(2, 1, 12, at=9 * DAY_US)]
    for h in both(rows, SeenRule(days=7)):
        assert seen(h, 1, now_us=10 * DAY_US) == [12]


def test_a_hidden_item_stays_out_for_ever_and_when_seen_items_are_asked_for() -> None:
    rows = [row(1, 1, 11, event_type="dislike", at=0), row(2, 1, 12, at=0)]
    for h in both(rows, SeenRule(event_types=frozenset({"view"}), days=1, hidden_types=frozenset({"dislike"}))):
        assert seen(h, 1, now_us=10 * DAY_US) == [11]
        assert seen(h, 1, now_us=10 * DAY_US, only_hidden=True) == [11]


def test_what_expired_is_no_longer_seen_wherever_it_stood() -> None:
    rows = [row(1, 1, 11, event_type="dislike", at=5), row(2, 1, 12, at=5), row(3, 1, 13, at=10)]
    for h in both(rows, SeenRule(hidden_types=frozenset({"dislike"}))):
        h.apply_feed(batch(watermark=upto(3, 1), expired_us=10))
        assert seen(h, 1) == [13]
        assert seen(h, 1, only_hidden=True) == []
        # A training that read before the deletion publishes after it.
        rebase(h, base(*rows), batch(watermark=upto(3, 1), expired_us=10))
        assert seen(h, 1) == [13]


def test_a_row_that_comes_after_the_expiry_counts_however_old_it_is() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11, at=5), watermark=upto(1)))
    h.apply_feed(batch(row(2, 1, 12, at=5), watermark=upto(2, 1), expired_us=10))
    assert seen(h, 1) == [12]


def test_an_own_write_that_an_expiry_has_not_seen_stays_however_old_it_is() -> None:
    for reached in (True, False):
        h = history()
        h.apply_feed(batch(row(1, 1, 11, at=5), watermark=upto(1)))
        h.apply(appended(row(2, 1, 12, at=5)))
        since = (row(2, 1, 12, at=5),) if reached else ()
        h.apply_feed(batch(*since, watermark=upto(1 + reached, 1), expired_us=10))
        assert seen(h, 1) == [12]


def test_an_expiry_of_less_does_not_bring_back_what_an_earlier_one_took() -> None:
    h = history()
    h.restart(base(row(1, 1, 11, at=5), row(2, 1, 12, at=20)), batch(watermark=upto(2)))
    h.apply_feed(batch(watermark=upto(2, 1), expired_us=10))
    h.apply_feed(batch(watermark=upto(2, 2), expired_us=3))
    assert seen(h, 1) == [12]


def test_a_user_of_whom_a_row_was_deleted_stays_read_anew_whatever_comes_afterwards() -> None:
    h = history(most_since=2)
    rows = [row(1, 1, 11), row(2, 1, 12), row(3, 2, 11), row(4, 2, 12)]
    h.restart(base(*rows), batch(watermark=upto(4)))
    h.apply_feed(batch(watermark=upto(4, 1), deleted={1: [rows[0]]}))
    h.apply_feed(batch(watermark=upto(4, 2), deleted={2: [rows[2]]}))
    assert (seen(h, 1), seen(h, 2)) == ([11], [11])
    h.apply_feed(batch(row(5, 1, 13), *(row(n, 3, 13) for n in range(6, 10)), watermark=upto(9, 2)))
    assert h.held.recent
    assert (seen(h, 1), seen(h, 2), seen(h, 3)) == ([11, 13], [11], [13] * 4)


def test_what_was_taken_back_or_expired_is_not_popular_any_more() -> None:
    rows = [row(1, 1, 11, at=5), row(2, 1, 12, at=20), row(3, 2, 13, at=5)]
    for h in both(rows, SeenRule()):
        assert popular(h) == {11: 1.0, 12: 1.0, 13: 1.0}
        h.apply_feed(batch(watermark=upto(3, 1), deleted={1: [row(1, 1, 11, at=5)]}))
        assert popular(h) == {11: 1.0, 13: 1.0}
        h.apply_feed(batch(row(4, 2, 12, at=30), watermark=upto(4, 2), expired_us=10))
        assert popular(h) == {12: 1.0}


def test_popularity_is_not_kept_once_a_model_is_live() -> None:
    h = history()
    h.apply(appended(row(1, 1, 11)))
    h.stop_counting()
    h.apply(appended(row(2, 1, 12)))
    assert popular(h) == {}


def test_many_rows_that_came_become_a_table_and_nothing_else_changes() -> None:
    rows = [row(n, 1 + n % 2, 11 + n % 3) for n in range(1, 10)]
    h, beside = history(most_since=3), history()
    for each in (h, beside):
        each.apply_feed(batch(*rows[:4], watermark=upto(4)))
        each.apply_feed(batch(*rows[4:], watermark=upto(9)))
    assert h.held.recent
    assert (sum(map(len, h.held.recent)), h.held.later) == (9, {})
    assert not beside.held.recent
    for key in (1, 2):
        assert seen(h, key) == seen(beside, key)
    assert popular(h) == popular(beside)
    assert (h.user_key("ann"), h.user_key("bob"), h.user_key("cid")) == (1, 2, None)


def test_few_rows_beside_a_large_table_stay_beside_it() -> None:
    h = history(most_since=3)
    h.apply_feed(batch(*(row(n, 1, 11) for n in range(1, 11)), watermark=upto(10)))
    table = h.held.recent
    h.apply_feed(batch(*(row(n, 1, 12) for n in range(11, 21)), watermark=upto(20)))
    assert h.held.recent is table
    h.apply_feed(batch(row(21, 1, 13), watermark=upto(21)))
    assert h.held.recent
    assert (sum(map(len, h.held.recent)), h.held.later) == (21, {})


def test_an_own_write_that_the_feed_has_not_read_yet_stays_beside_the_table_and_counts_once() -> None:
    h = history(most_since=3)
    h.apply(appended(row(5, 3, 13), row(6, 1, 13)))
    h.apply_feed(batch(*(row(n, 1, 11) for n in range(1, 5)), watermark=upto(4)))
    assert h.held.recent
    assert (sum(map(len, h.held.recent)), {key: len(rows) for key, rows in h.held.later.items()}) == (4, {1: 1, 3: 1})
    h.apply_feed(batch(row(5, 3, 13), row(6, 1, 13), watermark=upto(6)))
    assert h.held.since_base() == 6
    assert (h.held.size(1), h.held.size(3)) == (5, 1)


def test_a_start_with_many_rows_since_the_training_makes_a_table_of_them() -> None:
    h = history(most_since=3)
    rows = [row(n, 1 + n % 3, 12) for n in range(2, 8)]
    h.restart(base(row(1, 1, 11)), batch(*rows, watermark=upto(8, 1), deleted={9: [row(8, 9, 13)]}))
    assert h.held.recent
    assert (sum(map(len, h.held.recent)), list(h.held.later)) == (6, [9])
    assert [seen(h, key) for key in (1, 2, 3, 9)] == [[11, 12, 12], [12, 12], [12, 12], [13]]
    assert [h.user_key(name) for name in ("ann", "bob", "cid", "user-9")] == [1, 2, 3, 9]


def test_a_read_that_brings_nothing_is_no_change_and_all_else_is_one() -> None:
    h = history()
    counts = [h.changes]
    mine = row(1, 1, 11)
    for change in (
        lambda: h.apply(appended(mine)),
        lambda: h.apply_feed(batch(row(2, 1, 12), watermark=upto(2))),
        lambda: h.apply_feed(batch(watermark=upto(2, 1), deleted={1: [mine]})),
        lambda: h.apply_feed(batch(watermark=upto(2, 2), expired_us=500)),
        lambda: rebase(h, base(mine), batch(watermark=upto(2, 2))),
        lambda: h.restart(base(mine), batch(watermark=upto(2, 2))),
    ):
        change()
        counts.append(h.changes)
    assert counts == sorted(set(counts))
    h.apply_feed(batch(watermark=upto(2, 3)))
    h.apply_feed(batch(row(3, 1, 12), watermark=upto(3, 3)))
    assert h.changes == counts[-1] + 1
    h.apply(appended(row(4, 1, 12)))
    h.apply_feed(batch(row(4, 1, 12), watermark=upto(4, 3)))
    assert h.changes == counts[-1] + 2


def test_one_who_is_erased_between_the_commit_of_a_row_and_its_arrival_does_not_come_back_by_name() -> None:
    h = history()
    own = row(1, 1, 11)
    h.apply_feed(replace(batch(watermark=upto(1, 1)), erased=frozenset({1})))
    h.apply(appended(own))
    assert h.user_key("ann") is None
    assert h.held.users() == 0


def test_a_newer_base_is_read_up_beside_the_one_that_serves_and_own_rows_go_with_it() -> None:
    h = history()
    rows = [row(n, n, 11) for n in range(1, 5)]
    h.restart(base(rows[0]), batch(*rows[1:3], watermark=upto(3)))
    newer = h.beside(base(*rows[:2]), batch(rows[2], watermark=upto(3)))
    h.apply(appended(row(5, 9, 13)))
    newer.apply_feed(batch(rows[3], watermark=upto(4)))
    assert [len(seen(h, key)) for key in (1, 3, 4, 9)] == [1, 1, 0, 1]
    h.become(newer)
    assert [len(seen(h, key)) for key in (1, 3, 4, 9)] == [1, 1, 1, 1]
    assert (h.user_key("user-9"), h.catalogue.item_key("jam"), h.watermark) == (9, 13, upto(4))
    h.apply_feed(batch(row(5, 9, 13), watermark=upto(5)))
    assert len(seen(h, 9)) == 1


def test_one_who_is_erased_while_a_newer_base_is_read_up_does_not_come_back_with_it() -> None:
    h = history()
    h.restart(base(row(1, 1, 11)), batch(watermark=upto(1)))
    newer = h.beside(base(row(1, 1, 11)), batch(row(2, 1, 12), watermark=upto(2)))
    h.erase(1)
    h.become(newer)
    assert h.user_key("ann") is None
    assert seen(h, 1) == []
