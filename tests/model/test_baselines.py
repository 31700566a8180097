"""Baselines against their definitions written out, and against answers worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import Interactions
from model.baselines import EASE, MOST_ITEMS, ItemKNN, OwnRepeats, Popularity

USERS, ITEMS = 6, 5
rows_of_a_log = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 50)), min_size=1, max_size=40
)


def interactions(rows, weights=None):
    users, items, times = zip(*rows, strict=True)
    return Interactions(users, items, timestamps=times, weights=weights, num_users=USERS, num_items=ITEMS)


def dense(rows):
    matrix = np.zeros((USERS, ITEMS))
    for user, item, _ in rows:
        matrix[user, item] = 1
    return matrix


def everybody(model):
    scores = model.scores(np.arange(USERS))
    assert scores.dtype == np.float32
    assert scores.shape == (USERS, ITEMS)
    # A user's scores do not depend on who else is asked about.
    np.testing.assert_allclose(model.scores(np.array([3])), scores[3:4], rtol=1e-6)
    return scores


@given(rows=rows_of_a_log, half_life=st.none() | st.floats(1, 100))
@settings(max_examples=25)
def test_popularity_counts_for_everybody_alike(rows, half_life):
    newest = max(time for *_, time in rows)
    expected = np.zeros(ITEMS)
    for _, item, time in rows:
        expected[item] += 1 if half_life is None else 2 ** (-(newest - time) / half_life)

    scores = everybody(Popularity(interactions(rows), half_life=half_life))

    np.testing.assert_allclose(scores, np.tile(expected, (USERS, 1)), rtol=1e-6)


@given(rows=rows_of_a_log, half_life=st.none() | st.floats(1, 100))
@settings(max_examples=25)
def test_own_items_come_first_by_count_and_then_by_popularity(rows, half_life):
    newest = max(time for *_, time in rows)
    popular, own = np.zeros(ITEMS), np.zeros((USERS, ITEMS))
    for user, item, time in rows:
        weight = 1 if half_life is None else 2 ** (-(newest - time) / half_life)
        popular[item] += weight
        own[user, item] += weight
    # Rounded: sums of decayed counts depend on the order of the rows. What is popular decides between equal counts.
    keys = [[(own[user, item] > 0, round(own[user, item], 5)) for item in range(ITEMS)] for user in range(USERS)]
    if half_life is None:
        keys = [[(*key, popular[item]) for item, key in enumerate(of_user)] for of_user in keys]

    scores = everybody(OwnRepeats(interactions(rows), half_life=half_life))

    for user, one, other in itertools.product(range(USERS), range(ITEMS), range(ITEMS)):
        if keys[user][one] < keys[user][other]:
            assert scores[user, one] < scores[user, other]


def test_somebody_without_a_history_is_given_what_is_popular():
    rows = [(0, 2, 0), (1, 2, 1), (1, 3, 1)]

    for model in (Popularity(interactions(rows)), OwnRepeats(interactions(rows))):
        assert np.argsort(-model.scores(np.array([-1]))[0], kind="stable")[:3].tolist() == [2, 3, 0]


@given(rows=rows_of_a_log, neighbours=st.integers(1, 6), shrinkage=st.sampled_from([0.0, 2.5]), weighted=st.booleans())
@settings(max_examples=25)
def test_item_neighbours_equal_their_definition(rows, neighbours, shrinkage, weighted):
    weights = np.arange(1, len(rows) + 1, dtype=np.float32)
    matrix = dense(rows)
    if weighted:
        matrix[:] = 0
        for (user, item, _), weight in zip(rows, weights, strict=True):
            matrix[user, item] += weight
    similarities = np.zeros((ITEMS, ITEMS))
    for one in range(ITEMS):
        for other in range(ITEMS):
            norms = np.linalg.norm(matrix[:, one]) * np.linalg.norm(matrix[:, other])
            if one != other and norms:
                similarities[one, other] = np.float32(matrix[:, one] @ matrix[:, other] / (norms + shrinkage))
    expected = np.zeros((USERS, ITEMS))
    for item in range(ITEMS):
        for other in sorted(range(ITEMS), key=lambda j: (-round(similarities[item, j], 5), j))[:neighbours]:
            expected[:, item] += matrix[:, other] * similarities[item, other]

    model = ItemKNN(interactions(rows, weights), neighbours=neighbours, shrinkage=shrinkage, use_weights=weighted)

    # Of equally near neighbours rounding may choose another one than here: what they add to a score may differ.
    ties = [len({round(s, 5) for s in row if s > 0}) < (row > 0).sum() > neighbours for row in similarities]
    clear = [item for item in range(ITEMS) if not ties[item]]
    np.testing.assert_allclose(everybody(model)[:, clear], expected[:, clear], rtol=1e-5, atol=1e-6)


@given(rows=rows_of_a_log, regularization=st.sampled_from([0.5, 10.0]))
@settings(max_examples=25)
def test_the_autoencoder_equals_its_closed_form(rows, regularization):
    matrix = dense(rows)
    inverse = np.linalg.inv(matrix.T @ matrix + regularization * np.eye(ITEMS))
    weights = np.eye(ITEMS) - inverse / np.diag(inverse)

    scores = everybody(EASE(interactions(rows), regularization=regularization))

    np.testing.assert_allclose(scores, matrix @ weights, rtol=1e-4, atol=1e-5)


def test_the_autoencoder_of_two_items_worked_by_hand():
    # X'X = [[2, 1], [1, 2]]; with lambda 1 the inverse is [[3, -1], [-1, 3]] / 8, so that B_01 = B_10 = 1/3.
    model = EASE(Interactions([0, 0, 1, 2], [0, 1, 0, 1]), regularization=1.0)

    np.testing.assert_allclose(model.scores(np.arange(3)), [[1 / 3, 1 / 3], [0, 1 / 3], [1 / 3, 0]], rtol=1e-6)


def test_the_autoencoder_is_right_over_several_blocks():
    generator = np.random.default_rng(0)
    pairs = Interactions(generator.integers(0, 300, 4_000), generator.integers(0, 600, 4_000), num_items=600)
    matrix = (pairs.tocsr() > 0).astype(np.float64).toarray()
    inverse = np.linalg.inv(matrix.T @ matrix + 20 * np.eye(600))

    scores = EASE(pairs, regularization=20.0).scores(np.arange(50))

    np.testing.assert_allclose(scores, matrix[:50] @ (np.eye(600) - inverse / np.diag(inverse)), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("model", [ItemKNN, EASE])
def test_friends_get_what_their_circle_has(model):
    # Even users have even items, odd users odd ones, and everybody lacks one of them.
    log = [(user, item) for user in range(20) for item in range(10) if (user + item) % 2 == 0 and item // 2 != user % 5]
    users, items = zip(*log, strict=True)

    scores = model(Interactions(users, items)).scores(np.arange(20))

    scores[users, items] = -np.inf
    assert scores.argmax(axis=1).tolist() == [2 * (user % 5) + user % 2 for user in range(20)]


@pytest.mark.parametrize("model", [ItemKNN, EASE])
def test_nobodys_items_say_nothing(model):
    scores = model(interactions([(0, 1, 0), (0, 2, 0)])).scores(np.array([-1, 0]))

    assert scores[0].tolist() == [0] * ITEMS
    assert scores[1, 1] > 0


@pytest.mark.parametrize("model", [OwnRepeats, ItemKNN, EASE])
@pytest.mark.parametrize("number", [-2, 1])
def test_a_number_that_is_nobodys_and_no_users_is_refused(model, number):
    with pytest.raises(ValueError, match=rf"user number {number} is outside -1\.\.0"):
        model(Interactions([0, 0], [1, 2])).scores(np.array([0, number]))


def test_a_catalogue_too_large_for_a_dense_inverse_is_refused():
    with pytest.raises(ValueError, match=rf"{MOST_ITEMS + 1} items need 1\.6 GB at once; the limit is {MOST_ITEMS}"):
        EASE(Interactions([0], [0], num_items=MOST_ITEMS + 1))


@pytest.mark.parametrize("regularization", [0.0, -1.0, float("nan"), float("inf")])
def test_a_regularization_that_is_not_finite_and_above_zero_is_refused(regularization):
    with pytest.raises(ValueError, match="regularization"):
        EASE(Interactions([0], [0]), regularization=regularization)


def test_a_matrix_without_an_inverse_is_told():
    with pytest.raises(ValueError, match="larger regularization"):
        EASE(Interactions(np.repeat(np.arange(2_000), 2), [0, 1] * 2_000), regularization=1e-9)


@pytest.mark.parametrize("model", [Popularity, OwnRepeats])
def test_a_half_life_needs_timestamps(model):
    with pytest.raises(ValueError, match="needs timestamps"):
        model(Interactions([0], [0]), half_life=1.0)


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"shrinkage": -1.0}, {"use_weights": True}])
def test_item_neighbours_refuse_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ItemKNN(Interactions([0], [0]), **wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
def test_a_weight_that_is_no_weight_is_refused(wrong):
    with pytest.raises(ValueError, match="must be finite and 0 or more"):
        ItemKNN(Interactions([0, 0, 1], [0, 1, 1], weights=[1.0, wrong, 1.0]), use_weights=True)


@pytest.mark.parametrize("model", [Popularity, OwnRepeats])
def test_a_timestamp_that_is_no_number_is_refused(model):
    with pytest.raises(ValueError, match="timestamp nan of interaction 1"):
        model(Interactions([0, 0], [0, 1], timestamps=[1.0, np.nan]), half_life=1.0)
