from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.served import ServedModel

NOTHING = np.array([], dtype=np.int64)


def make(*, users=4, items=9, dimensions=3, seed=0, **changed: Any) -> ServedModel:
    generator = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "user_keys": np.arange(users) * 3 + 5,
        "item_keys": np.arange(items) * 2 + 1,
        "user_vectors": generator.standard_normal((users, dimensions), dtype=np.float32),
        "item_vectors": generator.standard_normal((items, dimensions), dtype=np.float32),
        "item_biases": generator.standard_normal(items, dtype=np.float32),
        "popularity": generator.integers(0, 50, items).astype(np.float64),
        "betas": np.array([0.3, 0.7]),
        "user_groups": (np.arange(users) % 2).astype(np.uint8),
    }
    return ServedModel.from_arrays({**arrays, **changed})


def bits(scores):
    return scores.view(np.uint32).tolist()


def full_sort(scores, k, excluded):
    left = set(range(len(scores))) - set(excluded)
    return sorted(left, key=lambda number: (-scores[number], number))[:k]


def test_the_score_is_product_plus_bias_plus_log_popularity_weighted_by_the_users_group():
    model = make()

    for user, beta in ((2, 0.3), (3, 0.7)):
        scores = model.scores(user, np.arange(9))
        for item in range(9):
            vectors = zip(model.user_vectors[user], model.item_vectors[item], strict=True)
            product = sum(float(x) * float(q) for x, q in vectors)
            expected = product + float(model.item_biases[item]) + beta * math.log(1 + model.popularity[item])
            assert scores[item] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dimensions", [1, 7, 32, 64])
def test_a_pair_has_the_same_bits_wherever_its_score_leaves(dimensions):
    model = make(users=20, items=5000, dimensions=dimensions)
    everything = np.arange(5000)
    generator = np.random.default_rng(1)

    for user in (0, 7, 19):
        expected = model.scores(user, everything)
        for rows in (1, 16, 5000):
            chosen = generator.permutation(5000)[:rows]
            assert bits(model.scores(user, chosen)) == bits(expected[chosen])
            mixed = generator.integers(0, 20, rows)
            mixed[0] = user
            assert bits(model.pair_scores(mixed, chosen))[0] == bits(expected[chosen])[0]
        for k in (1, 16, 5000):
            numbers, scores = model.recommend(user, k=k, excluded=NOTHING)
            assert len(numbers) == k
            assert bits(scores) == bits(expected[numbers])


def test_scoring_more_pairs_than_a_block_holds_changes_nothing():
    model = make(users=3, items=40_000, dimensions=2)

    scores = model.scores(1, np.arange(40_000))

    assert bits(scores[16_380:16_390]) == bits(model.scores(1, np.arange(16_380, 16_390)))
    assert bits(scores[-1:]) == bits(model.scores(1, np.array([39_999])))


# Vectors out of very few values make many equal and nearly equal scores; the scales make rounding matter.
@settings(max_examples=150)
@given(data=st.data(), dimensions=st.sampled_from([1, 2, 7, 16]), scale=st.sampled_from([0.0, 1e-30, 1.0, 1e12]))
def test_recommendations_equal_a_full_exact_sort(data, dimensions, scale):
    items = data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 2**32 - 1))
    k = data.draw(st.integers(0, 45))
    excluded = data.draw(st.lists(st.integers(-1, items - 1), max_size=45))
    generator = np.random.default_rng(seed)
    values = (np.array([0, 0.1, 0.1, -0.1, 1 / 3], dtype=np.float32) * np.float32(scale)).astype(np.float32)
    model = make(
        items=items,
        dimensions=dimensions,
        user_vectors=generator.choice(values, (4, dimensions)),
        item_vectors=generator.choice(values, (items, dimensions)),
        item_biases=generator.choice(values, items),
        popularity=generator.integers(0, 2, items).astype(np.float64),
    )
    every_score = model.scores(1, np.arange(items))

    numbers, scores = model.recommend(1, k=k, excluded=np.array(excluded, dtype=np.int64))

    assert numbers.tolist() == full_sort(every_score.tolist(), k, excluded)
    assert bits(scores) == bits(every_score[numbers])


def test_sums_that_differ_by_order_of_addition_are_ranked_by_the_exact_kernel():
    # All items are permutations of one vector, so the true scores are equal and every difference is rounding.
    generator = np.random.default_rng(3)
    row = generator.standard_normal(64).astype(np.float32)
    model = make(
        items=2000,
        dimensions=64,
        user_vectors=np.ones((4, 64), dtype=np.float32),
        item_vectors=np.stack([generator.permutation(row) for _ in range(2000)]),
        item_biases=np.zeros(2000, dtype=np.float32),
        betas=np.zeros(2),
    )
    every_score = model.scores(0, np.arange(2000))
    assert len(set(every_score.tolist())) > 1
    assert (model.item_vectors @ model.user_vectors[0] != every_score).any()

    numbers, _ = model.recommend(0, k=20, excluded=NOTHING)

    assert numbers.tolist() == full_sort(every_score.tolist(), 20, [])


def test_equal_scores_are_ranked_by_item_number():
    flat = {"item_vectors": np.zeros((9, 3), dtype=np.float32), "item_biases": np.zeros(9, np.float32)}
    model = make(items=9, **flat, betas=np.zeros(2))

    numbers, scores = model.recommend(0, k=4, excluded=np.array([2, 2, -1]))

    assert numbers.tolist() == [0, 1, 3, 4]
    assert scores.tolist() == [0, 0, 0, 0]


def test_popular_items_come_by_log_popularity_without_excluded_ones():
    model = make(items=5, popularity=np.array([3.0, 0.0, 8.0, 3.0, 1.0]))

    numbers, scores = model.popular(k=3, excluded=np.array([2, -1]))

    assert numbers.tolist() == [0, 3, 4]
    assert scores.tolist() == np.log1p([3.0, 3.0, 1.0]).astype(np.float32).tolist()
    assert model.popular(k=10, excluded=NOTHING)[0].tolist() == [2, 0, 3, 4, 1]


def test_users_and_items_are_found_by_key():
    model = make(users=3, items=3)

    assert [model.user_number(key) for key in (4, 5, 6, 8, 11, 12)] == [None, 0, None, 1, 2, None]
    assert model.item_numbers(np.array([5, 1, 0, 3, 2, 99])).tolist() == [2, 0, -1, 1, -1, -1]
    assert model.item_numbers(NOTHING).tolist() == []


def test_a_model_of_nothing_answers_with_nothing():
    model = make(users=0, items=0)

    assert model.user_number(5) is None
    assert model.item_numbers(np.array([1, 2])).tolist() == [-1, -1]
    assert model.popular(k=5, excluded=NOTHING)[0].tolist() == []


def test_a_user_of_a_model_without_items_gets_nothing():
    assert make(items=0).recommend(0, k=5, excluded=NOTHING)[0].tolist() == []


@pytest.mark.parametrize("number", [-1, 9])
def test_an_item_number_out_of_range_is_refused(number):
    with pytest.raises(IndexError, match=rf"item number {number} is outside 0\.\.8"):
        make().scores(0, np.array([0, number]))


@pytest.mark.parametrize("number", [-1, 4])
def test_a_user_number_out_of_range_is_refused(number):
    with pytest.raises(IndexError, match=rf"user number {number} is outside 0\.\.3"):
        make().scores(number, np.array([0]))
    with pytest.raises(IndexError, match=rf"user number {number} is outside 0\.\.3"):
        make().recommend(number, k=1, excluded=NOTHING)


def test_arrays_make_the_same_model_again_without_copying():
    model = make()

    again = ServedModel.from_arrays(model.arrays())

    assert bits(again.scores(1, np.arange(9))) == bits(model.scores(1, np.arange(9)))
    assert all(again.arrays()[name] is array for name, array in model.arrays().items())


def test_derived_arrays_cannot_be_written():
    model = make()

    for array in (model.priors, model.popular_scores):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"user_keys": np.array([1, 2, 2, 3])}, "user_keys must be strictly ascending"),
        ({"user_keys": np.array([1, 2, 3, 4], dtype=np.int32)}, "user_keys must be"),
        ({"item_keys": np.arange(9)[::-1]}, "item_keys must be strictly ascending"),
        ({"user_vectors": np.zeros((4, 3))}, "user_vectors must be float32"),
        ({"user_vectors": np.zeros((5, 3), dtype=np.float32)}, "user_vectors has 5 rows"),
        ({"user_vectors": np.zeros((4, 2), dtype=np.float32)}, "user_vectors have 2 dimensions"),
        ({"user_vectors": np.full((4, 3), np.nan, dtype=np.float32)}, "not finite"),
        ({"item_vectors": np.zeros(9, dtype=np.float32)}, "item_vectors must be float32 of 2 dimensions"),
        ({"item_vectors": np.zeros((8, 3), dtype=np.float32)}, "item_vectors has 8 rows"),
        ({"item_vectors": np.full((9, 3), np.inf, dtype=np.float32)}, "not finite"),
        ({"item_vectors": np.full((9, 3), 3e38, dtype=np.float32)}, "too large"),
        ({"item_biases": np.zeros(8, dtype=np.float32)}, "item_biases has 8 rows"),
        ({"item_biases": np.full(9, np.nan, dtype=np.float32)}, "not finite"),
        ({"popularity": np.zeros(9, dtype=np.float32)}, "popularity must be float64"),
        ({"popularity": np.full(9, -1.0)}, "popularity must be 0 or more"),
        ({"popularity": np.full(9, np.nan)}, "popularity must be 0 or more"),
        ({"popularity": np.full(9, np.inf)}, "not finite"),
        ({"popularity": np.full(9, np.inf), "betas": np.zeros(2)}, "not finite"),
        ({"betas": np.array([0.0, math.nan])}, "betas are .*nan"),
        ({"betas": np.empty(0)}, "there must be some"),
        ({"betas": np.array([1e300, 0.0])}, "too large"),
        ({"user_groups": np.zeros(4, dtype=np.int64)}, "user_groups must be uint8"),
        ({"user_groups": np.zeros(5, dtype=np.uint8)}, "user_groups has 5 rows"),
        ({"user_groups": np.full(4, 2, dtype=np.uint8)}, "a group 2, and there are 2 betas"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(changed, problem):
    with pytest.raises(ValueError, match=problem):
        make(**changed)


def test_a_nan_in_a_late_row_is_found():
    vectors = np.zeros((40_000, 1), dtype=np.float32)
    vectors[20_000] = np.nan

    with pytest.raises(ValueError, match="not finite"):
        make(items=40_000, dimensions=1, item_vectors=vectors)


def test_missing_arrays_are_named():
    with pytest.raises(ValueError, match="missing arrays: item_keys, popularity"):
        ServedModel.from_arrays(
            {name: array for name, array in make().arrays().items() if name not in {"item_keys", "popularity"}}
        )
