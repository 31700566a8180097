from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.policy import Repeats, group_of
from model.positives import TypeWeights
from model.user_factors import UserEvents, as_trained, chosen_items, folded_in
from model.user_items import LEAST_SHARE
from tests.model.small_models import NOW_US, served_model, served_policy

DAY = 86_400_000_000
TYPES = TypeWeights.of(("view", "dislike"), {"dislike": "hide"})


def events(*rows):
    """Of (item key, days before now[, value[, type]])."""
    filled = [(*row, *(1.0, 0)[len(row) - 2 :]) for row in rows]
    keys, days, values, codes = zip(*filled, strict=True) if filled else ([], [], [], [])
    return UserEvents(
        np.array(keys, dtype=np.int64),
        np.array(codes, dtype=np.int32),
        np.array([NOW_US - round(day * DAY) for day in days], dtype=np.int64),
        np.array(values, dtype=np.float32),
    )


def chosen(served, *rows, now_us=NOW_US):
    return chosen_items(served, events(*rows), types=TYPES, now_us=now_us)


def test_an_item_weighs_the_logarithm_of_all_that_its_events_say():
    found = chosen(served_model(), (5, 1, 3.0), (1, 2), (5, 4, 4.0))

    assert found.items.tolist() == [0, 2]
    assert found.weights.tolist() == [math.log2(2), math.log2(8)]
    assert found.events == 3


def test_an_item_that_the_version_does_not_know_is_left_out():
    found = chosen(served_model(), (4, 1), (3, 1), (999, 0))

    assert (found.items.tolist(), found.events) == ([1], 1)


def test_what_is_hidden_is_left_out():
    found = chosen(served_model(), (1, 5), (3, 5), (3, 1, 1.0, 1))

    assert found.items.tolist() == [0]


def test_an_event_of_a_value_too_small_for_a_float_says_nothing():
    assert chosen(served_model(), (1, 1, 0.0)).events == 0


def test_age_counts_back_from_the_users_own_newest_item():
    served = served_model(policy=served_policy(fold_in_half_life_us=float(DAY)))

    found = chosen(served, (1, 11), (3, 10), (5, 12), (5, 20))

    assert found.weights.tolist() == pytest.approx([0.5, 1.0, 0.25 * math.log2(3)])
    assert chosen(served, (1, 111), (3, 110), (5, 112), (5, 120)).weights.tolist() == found.weights.tolist()


def test_what_a_user_did_years_ago_still_counts_beside_a_click_of_today():
    served = served_model(policy=served_policy(fold_in_half_life_us=float(DAY)))

    found = chosen(served, (1, 0), (3, 10_000))

    assert found.weights.tolist() == [1.0, LEAST_SHARE]


def test_own_counts_age_from_the_moment_of_the_version():
    served = served_model(policy=served_policy(repeats=Repeats(0.5, float(2 * DAY))))

    found = chosen(served, (1, 2), (1, 4), (3, -1))

    assert found.counts.tolist() == pytest.approx([0.5 + 0.25, 1.0])


def test_without_repeats_nothing_adds_to_a_score():
    served = served_model()

    found = folded_in(served, chosen(served, (1, 1), (3, 1)))

    assert (found.own.tolist(), found.own_scores.tolist(), found.max_own) == ([], [], 0)


@pytest.mark.parametrize("weight", [0.5, -2.0])
def test_with_repeats_own_items_add_the_logarithm_of_their_count(weight):
    served = served_model(policy=served_policy(repeats=Repeats(weight, None)))

    found = folded_in(served, chosen(served, (5, 1), (5, 2), (1, 1)))

    assert found.own.tolist() == [0, 2]
    assert found.own_scores.tolist() == pytest.approx([weight * math.log(2), weight * math.log(3)])
    assert found.max_own == pytest.approx(abs(weight) * math.log(3))


def test_the_vector_is_the_map_of_the_weighted_mean():
    matrix = np.random.default_rng(1).standard_normal((3, 3), dtype=np.float32)
    served = served_model(fold_in_matrices=matrix, fold_in_offsets=np.ones((1, 3), dtype=np.float32))

    found = folded_in(served, chosen(served, (1, 1), (3, 1, 3.0)))

    mapped = (served.item_vectors[0] + 2 * served.item_vectors[1]) / 3 @ matrix + 1
    assert found.vector == pytest.approx(2.0 * mapped / np.linalg.norm(mapped), rel=1e-5)


@pytest.mark.parametrize("items", [1, 2, 4, 5])
def test_the_group_is_that_of_so_many_items(items):
    served = served_model()

    found = folded_in(served, chosen(served, *[(2 * item + 1, 1) for item in range(items) for _ in range(2)]))

    assert found.group == group_of(np.array([items]))[0]


def test_the_order_of_events_does_not_change_a_bit():
    served = served_model(
        policy=served_policy(fold_in_half_life_us=float(3 * DAY), repeats=Repeats(0.7, float(5 * DAY)))
    )
    generator = np.random.default_rng(2)
    rows = [(2 * int(item) + 1, float(day), float(value)) for item, day, value in generator.uniform(0, 8, (60, 3))]

    first = folded_in(served, chosen(served, *rows))

    for _ in range(5):
        again = folded_in(served, chosen(served, *[rows[place] for place in generator.permutation(60)]))
        assert first.vector.tobytes() == again.vector.tobytes()
        assert first.own_scores.tobytes() == again.own_scores.tobytes()


def test_a_user_as_trained_has_the_stored_vector_and_group():
    served = served_model()

    found = as_trained(served, 3, None)

    assert found.vector.tolist() == served.user_vectors[3].tolist()
    assert (found.group, found.max_own) == (3, 0)


def test_a_user_as_trained_has_own_parts_by_the_history():
    served = served_model(policy=served_policy(repeats=Repeats(1.0, None)))

    found = as_trained(served, 0, chosen(served, (1, 1)))

    assert (found.own.tolist(), found.own_scores.tolist()) == ([0], [np.float32(math.log(2))])


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.5, 3.0, 40.0]), st.sampled_from([0.5, 1.0, 4.0])),
        unique_by=lambda row: row[0],
        max_size=12,
    )
)
def test_a_history_without_an_item_twice_is_no_special_case(rows):
    policy = served_policy(fold_in_half_life_us=float(3 * DAY), repeats=Repeats(0.7, float(5 * DAY)))
    served = served_model(policy=policy)

    short = chosen(served, *rows)
    # An item that nobody knows is hidden: the general rule has to look at everything, and nothing changes.
    general = chosen(served, *rows, (10**6, 1.0, 1.0, 1))

    assert short.events == general.events
    for name in ("items", "weights", "counts"):
        assert getattr(short, name).tobytes() == getattr(general, name).tobytes()
