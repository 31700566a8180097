"""The temporal protocol against its definition written out row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import Interactions
from model.evaluation import ItemsByUser, ndcg_at_k
from model.evaluation.temporal import TemporalSplit, Window, renumbered, temporal_split, widened_cut

# Users 0..9 and items 0..7, some of which do not occur; many times are equal.
logs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(0, 9)), min_size=8, max_size=60)


def of(rows, **columns):
    users, items, times = zip(*rows, strict=True)
    return Interactions(users, items, timestamps=times, **columns)


def sides(rows, fraction):
    """The rows before and after the cut, each in the order given."""
    order = sorted(range(len(rows)), key=lambda row: rows[row][2])
    later = set(order[len(rows) - round(len(rows) * fraction) :])
    return [rows[row] for row in range(len(rows)) if row not in later], [rows[row] for row in sorted(later)]


def slow_window(earlier, later, *, repeats, everyone):
    """What each user has to be shown, by the user's own number, users with a history first."""
    had = {(user, item) for user, item, _ in earlier}
    known = {user for user, *_ in earlier}
    wanted: dict[int, set[int]] = {}
    for user, item, _ in later:
        if (repeats or (user, item) not in had) and (everyone or user in known):
            wanted.setdefault(user, set()).add(item)
    return {user: wanted[user] for user in sorted(wanted, key=lambda user: (user not in known, user))}


@given(rows=logs, repeats=st.booleans(), everyone=st.booleans())
@settings(max_examples=60)
def test_a_window_equals_its_definition(rows, repeats, everyone):
    earlier, later = sides(rows, 0.25)
    users, items = (sorted({row[column] for row in earlier}) for column in (0, 1))

    split = temporal_split(of(rows), fractions=[0.25])
    window = split.window(repeats=repeats, everyone=everyone)

    assert [users[number] for number in split.earlier.user_ids] == [row[0] for row in earlier]
    assert [items[number] for number in split.earlier.item_ids] == [row[1] for row in earlier]
    assert split.earlier.timestamps.tolist() == [row[2] for row in earlier]
    assert (split.earlier.num_users, split.earlier.num_items) == (len(users), len(items))
    had = [(user, item) for user, item, _ in earlier]
    assert split.repeats_share == np.mean([row[:2] in had for row in later])
    expected = slow_window(earlier, later, repeats=repeats, everyone=everyone)
    assert window.users.tolist() == [users.index(user) if user in users else -1 for user in expected]
    assert window.history.tolist() == [sum(row[0] == user for row in earlier) for user in expected]
    new_items = sorted({row[1] for row in later} - set(items))
    for found, wanted in zip(window.relevant, expected.values(), strict=True):
        assert found.tolist() == sorted(
            items.index(item) if item in items else len(items) + new_items.index(item) for item in wanted
        )
    for number, user in enumerate(users):
        seen = [] if repeats else sorted({items.index(item) for owner, item in had if owner == user})
        assert window.seen.of(number).tolist() == seen
    assert window.num_items == len(items)


@given(rows=logs, wanted=st.integers(1, 6))
@settings(max_examples=60)
def test_the_cut_is_the_narrowest_with_enough_warm_users(rows, wanted):
    fractions = [0.1, 0.2, 0.3]
    warm = [len(slow_window(*sides(rows, fraction), repeats=False, everyone=False)) for fraction in fractions]
    enough = [fraction for fraction, users in zip(fractions, warm, strict=True) if users >= wanted]

    split = temporal_split(of(rows), fractions=fractions, wanted_users=wanted)

    assert split.fraction == (enough[0] if enough else 0.3)
    assert len(split.later_users) == round(len(rows) * split.fraction)


def test_a_choice_is_made_on_the_same_columns_before_the_cut():
    rows = [(user, (user + step) % 7, step) for step in range(10) for user in range(6)]
    interactions = of(rows, weights=np.arange(60.0), ratings=np.arange(60) % 5, num_users=99, num_items=99)

    inner = temporal_split(temporal_split(interactions).earlier)

    assert len(inner.earlier) < len(interactions)
    np.testing.assert_array_equal(inner.earlier.weights, np.arange(len(inner.earlier)))
    np.testing.assert_array_equal(inner.earlier.ratings, np.arange(len(inner.earlier)) % 5)
    assert (inner.earlier.num_users, inner.earlier.num_items) == (6, 7)


def test_an_item_that_nobody_had_before_counts_as_missed():
    split = TemporalSplit(Interactions([0, 1], [0, 1]), np.array([0, 0, 0]), np.array([1, 2, 3]))

    ndcg = split.window().ndcg(lambda users: np.zeros((len(users), 2)))

    np.testing.assert_allclose(ndcg, [1 / (1 / np.log2([2, 3, 4])).sum()])


def test_where_repeats_are_allowed_nothing_is_left_out_of_a_list():
    split = TemporalSplit(Interactions([0, 0], [0, 1]), np.array([0]), np.array([1]))

    assert split.window(repeats=True).ndcg(lambda users: np.array([[0.0, 1.0]])).tolist() == [1]
    assert len(split.window()) == 0


def test_users_without_a_history_are_asked_for_as_nobody():
    split = TemporalSplit(Interactions([0, 1], [0, 1]), np.array([3, 1, 2]), np.array([0, 0, 1]))
    asked = []

    def score(users):
        asked.extend(users.tolist())
        return np.tile([1.0, 0.0], (len(users), 1))

    report = split.window(everyone=True).evaluate(score, k=1)

    assert asked == [1, -1, -1]
    assert report.recall.tolist() == [1, 0, 1]


def window(count):
    nothing = ItemsByUser(np.zeros(count + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    return Window(np.arange(count), nothing, [np.array([user % 3]) for user in range(count)], 3)


def test_the_report_and_the_ndcg_alone_agree():
    scores = np.random.default_rng(0).random((600, 3))
    users = window(600)

    ndcg = users.ndcg(lambda users: scores[users], k=2)

    np.testing.assert_array_equal(ndcg, users.evaluate(lambda users: scores[users], k=2).ndcg)
    np.testing.assert_array_equal(ndcg, ndcg_at_k(np.argsort(-scores, axis=1)[:, :2], users.relevant))


def test_of_many_users_some_can_be_drawn():
    users = window(50)

    drawn = users.drawn(20, generator=np.random.default_rng(0))

    assert users.drawn(50, generator=np.random.default_rng(0)) is users
    assert len(np.unique(drawn.users)) == 20
    assert [found.tolist() for found in drawn.relevant] == [[user % 3] for user in drawn.users]


def test_the_rows_of_a_window_keep_their_history():
    split = TemporalSplit(Interactions([0, 0, 1], [0, 1, 1]), np.array([0, 1]), np.array([2, 2]))

    assert split.window().take(np.array([1])).history.tolist() == [1]


def test_giving_up_is_possible_before_each_batch():
    def give_up():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        window(3).ndcg(lambda users: np.zeros((len(users), 3)), check=give_up)


def test_keys_become_numbers_and_unknown_ones_are_counted_on():
    assert renumbered(np.array([3, 5, 9]), np.array([9, 4, 3, 77, 4, 1])).tolist() == [2, 4, 0, 5, 4, 3]


def test_without_timestamps_there_is_no_cut():
    with pytest.raises(ValueError, match="needs timestamps"):
        temporal_split(Interactions([0, 1], [0, 1]))


def test_a_single_row_cannot_be_cut():
    with pytest.raises(ValueError, match="1 interactions are too few to cut off 30%"):
        temporal_split(of([(0, 0, 0)]))
    assert widened_cut(np.array([1]), np.array([1]), np.array([1])) is None


def test_without_fractions_there_is_no_cut():
    with pytest.raises(ValueError, match="no fractions"):
        temporal_split(of([(0, 0, 0), (0, 1, 1)]), fractions=())


def test_a_time_that_is_not_a_number_is_refused():
    rows = Interactions([0, 1, 0], [0, 1, 1], timestamps=[1.0, float("nan"), 2.0])
    with pytest.raises(ValueError, match="a timestamp is NaN"):
        temporal_split(rows)
