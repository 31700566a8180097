"""History: what it knows of a user, whichever way and in whichever order the rows came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.db.feed import FeedBatch
from app.db.interactions import Appended, StoredInteraction
from app.db.watermark import START, Watermark
from app.live.history import History
from app.live.seen import SeenRule
from model.histories import Histories

DAY_US = 86_400_000_000
USERS = {1: "ann", 2: "bob", 3: "cid"}
ITEMS = {11: "tea", 12: "cup", 13: "jam"}


def row(row_id: int, user_key: int, item_key: int, *, event_type: str = "view", at: int = 1_000) -> StoredInteraction:
    return StoredInteraction(row_id, 0, user_key, item_key, event_type, 1.0, at)


def upto(last_id: int, last_change_id: int = 0) -> Watermark:
    return Watermark(last_id=last_id, last_change_id=last_change_id, snapshot=None)


def appended(*rows: StoredInteraction) -> Appended:
    users = {r.user_key: USERS[r.user_key] for r in rows}
    items = {r.item_key: ITEMS[r.item_key] for r in rows}
    return Appended(accepted=len(rows), duplicates=0, rows=list(rows), user_ids=users, item_ids=items)


def batch(
    *rows: StoredInteraction,
    watermark: Watermark,
    deleted: dict[int, list[StoredInteraction]] | None = None,
    expired_us: int | None = None,
) -> FeedBatch:
    named = appended(*rows, *(r for left in (deleted or {}).values() for r in left))
    return FeedBatch(
        rows=list(rows),
        deleted=deleted or {},
        items=[],
        user_ids=named.user_ids,
        item_ids=named.item_ids,
        keys_changed=False,
        watermark=watermark,
        expired_us=expired_us,
    )


def base(*rows: StoredInteraction) -> Histories:
    types = sorted({r.event_type for r in rows})
    return Histories.build(
        np.array([r.user_key for r in rows], dtype=np.int64),
        np.array([r.item_key for r in rows], dtype=np.int64),
        event_codes=np.array([types.index(r.event_type) for r in rows]),
        times_us=np.array([r.occurred_us for r in rows], dtype=np.int64),
        values=np.array([r.value for r in rows]),
        event_types=types,
        user_ids={r.user_key: USERS[r.user_key] for r in rows},
        item_ids={r.item_key: ITEMS[r.item_key] for r in rows},
        titles={},
    )


def history(rule: SeenRule | None = None) -> History:
    return History(rule or SeenRule(), popularity_half_life_us=30 * DAY_US)


def seen(h: History, user_key: int, *, now_us: int = 2_000, only_hidden: bool = False) -> list[int]:
    return sorted(h.seen_item_keys(user_key, now_us=now_us, only_hidden=only_hidden).tolist())


def popular(h: History) -> dict[int, float]:
    keys, counts = h.recent_popularity()
    return dict(zip(keys.tolist(), counts.tolist(), strict=True))


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
    assert h.later_rows() == 1


def test_a_newer_base_replaces_the_rows_it_holds_and_no_others() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), row(2, 1, 12), row(3, 2, 13), watermark=upto(3)))
    h.rebase(base(row(1, 1, 11), row(2, 1, 12)), batch(row(3, 2, 13), watermark=upto(3)))
    assert h.later_rows() == 1
    assert (seen(h, 1), seen(h, 2)) == ([11, 12], [13])
    assert (h.user_key("ann"), h.user_key("bob"), h.catalogue.item_id(13)) == (1, 2, "jam")


def test_a_newer_base_keeps_own_writes_that_the_feed_has_not_read_yet() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), watermark=upto(1)))
    h.apply(appended(row(2, 1, 12), row(3, 2, 13)))
    h.rebase(base(row(1, 1, 11)), batch(row(2, 1, 12), watermark=upto(2)))
    assert (seen(h, 1), seen(h, 2), h.user_key("bob")) == ([11, 12], [13], 2)
    h.apply_feed(batch(row(3, 2, 13), watermark=upto(3)))
    assert h.later_rows() == 2


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
    h.rebase(base(*rows), left)
    assert seen(h, 1) == [12]
    # One that read after it knows; nothing is held beside it any more.
    h.rebase(base(rows[1]), batch(watermark=upto(2, 1)))
    assert (seen(h, 1), h.later_rows()) == ([12], 0)


def test_a_deletion_keeps_an_own_write_that_the_feed_has_not_read_yet() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), row(2, 1, 12), watermark=upto(2)))
    h.apply(appended(row(3, 1, 13)))
    h.apply_feed(batch(watermark=upto(2, 1), deleted={1: [row(2, 1, 12)]}))
    assert seen(h, 1) == [12, 13]
    h.apply_feed(batch(row(3, 1, 13), watermark=upto(3, 1)))
    assert seen(h, 1) == [12, 13]
    assert h.later_rows() == 2


def test_a_restart_forgets_everything_but_what_it_brings() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11), watermark=upto(1)))
    h.restart(Histories.empty(), batch(row(9, 2, 12), watermark=upto(9)))
    assert h.user_key("ann") is None
    assert seen(h, 2) == [12]
    assert h.watermark == upto(9)


def test_a_newer_base_without_an_item_does_not_take_its_name_away() -> None:
    h = history()
    h.restart(base(row(1, 1, 11), row(2, 1, 12)), batch(watermark=upto(2)))
    h.apply_feed(batch(row(3, 2, 13), watermark=upto(3)))
    h.rebase(base(row(2, 1, 12), row(3, 2, 13)), batch(watermark=upto(3)))
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
        h.rebase(base(*rows), batch(watermark=upto(3, 1), expired_us=10))
        assert seen(h, 1) == [13]


def test_a_row_that_comes_after_the_expiry_counts_however_old_it_is() -> None:
    h = history()
    h.apply_feed(batch(row(1, 1, 11, at=5), watermark=upto(1)))
    h.apply_feed(batch(row(2, 1, 12, at=5), watermark=upto(2, 1), expired_us=10))
    assert seen(h, 1) == [12]


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
