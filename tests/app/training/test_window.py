"""Holding rows out, and what is asked about them."""

from __future__ import annotations

import numpy as np
import pytest

from app.training.dataset import Positives, pairs
from app.training.window import Split, by_number, open_windows, split, split_by_number


def rows(users: list[int], items: list[int], times: list[int] | None = None) -> Positives:
    moments = np.arange(len(users)) if times is None else np.array(times)
    return Positives(np.array(users), np.array(items), moments.astype(np.int64), np.ones(len(users)), left_out={})


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_newest_tenth_is_held_out_when_enough_users_are_in_it() -> None:
    users = [*range(300)] * 10
    items = [step for step in range(10) for _ in range(300)]

    divided = split(rows(users, items), generator=generator())

    assert divided is not None
    assert divided.by == "time"
    assert len(divided.later) == 300
    assert divided.cut_at_us == 2700
    assert divided.earlier.times_us.max() < divided.cut_at_us


def test_the_cut_is_widened_until_there_are_enough_users_but_not_beyond_a_third() -> None:
    users = [*range(60)] * 20
    items = [step for step in range(20) for _ in range(60)]

    divided = split(rows(users, items), generator=generator())

    assert divided is not None
    assert len(divided.later) == round(0.3 * 1200)


def test_rows_imported_user_by_user_are_held_out_at_random() -> None:
    users = [user for user in range(50) for _ in range(10)]
    items = [*range(10)] * 50

    divided = split(rows(users, items, times=[0] * 500), generator=generator())

    assert divided is not None
    assert divided.by == "random"
    assert len(divided.earlier) + len(divided.later) == 500


def test_too_few_users_give_no_split() -> None:
    assert split(rows([1, 2, 3] * 50, [*range(150)]), generator=generator()) is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_rows_give_no_split(count: int) -> None:
    assert split(rows([*range(count)], [*range(count)]), generator=generator()) is None


def window_of(earlier: Positives, later: Positives, *, most_users: int = 100) -> tuple[dict[int, list[int]], int]:
    numbered = pairs(earlier)
    windows = open_windows(
        split_by_number(Split(earlier, later, "time"), numbered), most_users=most_users, generator=generator()
    )
    window = windows.new_items
    relevant = [found.tolist() for found in window.relevant]
    return dict(zip(numbered.user_keys[window.users].tolist(), relevant, strict=True)), window.num_items


def test_relevant_is_what_a_known_user_chose_for_the_first_time() -> None:
    earlier = rows([1, 1, 2, 3], [10, 20, 30, 10])
    later = rows([1, 1, 1, 2, 9], [10, 30, 30, 30, 10])

    relevant, num_items = window_of(earlier, later)

    # Item 10 again is a repeat for user 1, as 30 is for user 2; user 9 is new, user 3 did nothing more.
    assert relevant == {1: [2]}
    assert num_items == 3


def test_an_item_nobody_knew_before_counts_as_missed() -> None:
    earlier, later = rows([1, 2], [10, 20]), rows([1, 1, 1], [20, 77, 78])
    numbered = pairs(earlier)
    windows = open_windows(
        split_by_number(Split(earlier, later, "time"), numbered), most_users=10, generator=generator()
    )
    window = windows.new_items

    assert [len(found) for found in window.relevant] == [3]
    ndcg = window.ndcg(lambda users: np.zeros((len(users), 2)), check=lambda: None)
    ideal = (1 / np.log2([2, 3, 4])).sum()
    np.testing.assert_allclose(ndcg, [1 / ideal])


def test_of_many_users_as_many_as_allowed_are_drawn() -> None:
    earlier, later = rows([*range(50)], [1] * 50), rows([*range(50)], [2] * 50)

    assert len(window_of(rows([*range(50), 99], [1] * 50 + [2]), later, most_users=20)[0]) == 20
    assert len(window_of(earlier, later, most_users=50)[0]) == 50


def test_events_are_numbered_like_their_pairs() -> None:
    events = rows([7, 3, 7], [20, 10, 20], times=[5, 6, 7])

    numbered = by_number(events, pairs(events))

    assert numbered.user_ids.tolist() == [1, 0, 1]
    assert numbered.item_ids.tolist() == [1, 0, 1]
    assert (numbered.num_users, numbered.num_items) == (2, 2)
    assert numbered.timestamps is not None
    assert numbered.timestamps.tolist() == [5, 6, 7]


def test_windows_differ_in_what_counts_and_who_is_asked() -> None:
    earlier, later = rows([1, 1, 2], [10, 20, 30]), rows([1, 1, 9], [10, 30, 30])
    divided = Split(earlier, later, "time")

    windows = open_windows(split_by_number(divided, pairs(earlier)), most_users=10, generator=generator())

    assert [found.tolist() for found in windows.new_items.relevant] == [[2]]
    assert [found.tolist() for found in windows.repeats.relevant] == [[0, 2]]
    assert windows.everyone.users.tolist() == [0, -1]
