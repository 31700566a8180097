from __future__ import annotations

import json
import math

import numpy as np
import pytest

from model.policy import Repeats
from model.served import ARRAY_DTYPES, ServedModel, ServedPolicy
from tests.model.small_models import NOTHING, served_model, served_policy

POLICIES = {
    "plain": served_policy(),
    "all": served_policy(
        popularity_half_life_us=3.6e9,
        fold_in_half_life_us=8.64e10,
        repeats=Repeats(0.25, 6.048e11),
        event_weights={"view": 0.5, "purchase": 4.0, "dislike": "hide"},
    ),
    "repeats without age": served_policy(repeats=Repeats(-1.0, None)),
}


def test_users_and_items_are_found_by_key():
    model = served_model(users=3, items=3)

    assert [model.user_number(key) for key in (4, 5, 6, 8, 11, 12)] == [None, 0, None, 1, 2, None]
    assert model.item_numbers(np.array([5, 1, 0, 3, 2, 99])).tolist() == [2, 0, -1, 1, -1, -1]
    assert model.item_numbers(NOTHING).tolist() == []


def test_items_are_found_by_key_in_whatever_order_they_are():
    keys = np.array([30, 10, 50, 20])

    model = served_model(items=4, item_keys=keys)

    assert model.item_numbers(np.array([10, 20, 30, 50, 0, 40, 60])).tolist() == [1, 3, 0, 2, -1, -1, -1]


def test_a_model_of_nothing_finds_nothing():
    model = served_model(users=0, items=0)

    assert (model.num_users, model.num_items, model.dimensions) == (0, 0, 3)
    assert model.user_number(5) is None
    assert model.item_numbers(np.array([1, 2])).tolist() == [-1, -1]


def test_arrays_and_facts_make_the_same_model_again_without_copying():
    model = served_model(policy=POLICIES["all"])

    again = ServedModel.from_arrays(model.arrays(), json.loads(json.dumps(model.facts())))

    assert list(model.arrays()) == list(ARRAY_DTYPES)
    assert all(again.arrays()[name] is array for name, array in model.arrays().items())
    assert again.policy == model.policy


def test_the_fold_in_is_the_map_of_the_arrays_and_the_policy():
    generator = np.random.default_rng(1)
    matrices = generator.standard_normal((2, 3, 3), dtype=np.float32)
    offsets = generator.standard_normal((2, 3), dtype=np.float32)
    policy = served_policy(fold_in_length=7.0, fold_in_half_life_us=5.0)

    model = served_model(fold_in_matrices=matrices.reshape(6, 3), fold_in_offsets=offsets, policy=policy)

    assert np.array_equal(model.fold_in.matrices, matrices)
    assert model.fold_in.offsets is offsets
    assert (model.fold_in.length, model.fold_in.half_life) == (7.0, 5.0)


def test_the_largest_norms_are_those_of_the_longest_vectors():
    user_vectors, item_vectors = np.zeros((4, 3), dtype=np.float32), np.zeros((9, 3), dtype=np.float32)
    user_vectors[2], item_vectors[8] = [3, 0, -4], [0, 12, 5]

    model = served_model(user_vectors=user_vectors, item_vectors=item_vectors)

    assert model.max_item_norm == 13
    assert model.max_user_norm == pytest.approx(5, rel=1e-4)


def test_the_largest_norm_of_a_user_holds_for_users_who_will_be_folded_in():
    model = served_model(user_vectors=np.zeros((4, 3), dtype=np.float32), policy=served_policy(fold_in_length=7.0))

    generator = np.random.default_rng(2)
    for _ in range(50):
        vector = model.fold_in.user_vector(model.item_vectors, generator.permutation(9)[:3], generator.random(3))
        assert np.linalg.norm(vector.astype(np.float64)) <= model.max_user_norm
    assert model.max_user_norm < 7.01


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"user_keys": np.array([1, 2, 2, 3])}, "user_keys must be strictly ascending"),
        ({"user_keys": np.array([1, 2, 3, 4], dtype=np.int32)}, "user_keys must be"),
        ({"item_keys": np.array([1, 2, 3, 4, 5, 6, 7, 8, 8])}, "items_by_key must lead through item_keys"),
        ({"items_by_key": np.arange(9)[::-1]}, "items_by_key must lead through item_keys"),
        ({"items_by_key": np.zeros(9, dtype=np.int64)}, "items_by_key must lead through item_keys"),
        ({"items_by_key": np.arange(9) - 1}, r"items_by_key holds a number outside 0\.\.8"),
        ({"items_by_key": np.arange(9) + 1}, r"items_by_key holds a number outside 0\.\.8"),
        ({"items_by_key": np.arange(8)}, "items_by_key has 8 rows"),
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
        ({"item_biases": np.full(9, 2e38, dtype=np.float32)}, "too large"),
        ({"popularity": np.zeros(9, dtype=np.float32)}, "popularity must be float64"),
        ({"popularity": np.zeros(8)}, "popularity has 8 rows"),
        ({"popularity": np.full(9, -1.0)}, "popularity must be 0 or more"),
        ({"popularity": np.full(9, np.nan)}, "popularity must be 0 or more"),
        ({"popularity": np.full(9, np.inf)}, "not finite"),
        ({"popularity": np.full(9, np.inf), "betas": np.zeros(4)}, "not finite"),
        ({"betas": np.array([0.0, 0.0, 0.0, math.nan])}, "betas are .*nan.*; there must be 4, all finite"),
        ({"betas": np.zeros(3)}, "there must be 4"),
        ({"betas": np.zeros(5)}, "there must be 4"),
        ({"betas": np.zeros(4, dtype=np.float32)}, "betas must be float64"),
        ({"betas": np.array([1e300, 0.0, 0.0, 0.0])}, "too large"),
        ({"user_groups": np.zeros(4, dtype=np.int64)}, "user_groups must be uint8"),
        ({"user_groups": np.zeros(5, dtype=np.uint8)}, "user_groups has 5 rows"),
        ({"user_groups": np.full(4, 4, dtype=np.uint8)}, "a group 4, and there are 4 betas"),
        ({"history_sizes": np.ones(4, dtype=np.int64)}, "history_sizes must be int32"),
        ({"history_sizes": np.ones(3, dtype=np.int32)}, "history_sizes has 3 rows"),
        ({"history_sizes": np.full(4, -1, dtype=np.int32)}, "history_sizes must be 0 or more"),
        ({"fold_in_matrices": np.eye(3)}, "fold_in_matrices must be float32"),
        ({"fold_in_matrices": np.eye(4, dtype=np.float32)}, r"fold_in_matrices have the shape \(4, 4\)"),
        ({"fold_in_matrices": np.zeros((6, 3), dtype=np.float32)}, r"fold_in_matrices have the shape \(6, 3\)"),
        ({"fold_in_matrices": np.full((3, 3), np.nan, dtype=np.float32)}, "fold_in_offsets must be finite"),
        ({"fold_in_offsets": np.zeros(3, dtype=np.float32)}, "fold_in_offsets must be float32 of 2 dimensions"),
        ({"fold_in_offsets": np.zeros((1, 2), dtype=np.float32)}, r"fold_in_offsets have the shape \(1, 2\)"),
        ({"fold_in_offsets": np.zeros((0, 3), dtype=np.float32)}, r"fold_in_offsets have the shape \(0, 3\)"),
        ({"fold_in_offsets": np.full((1, 3), np.inf, dtype=np.float32)}, "fold_in_offsets must be finite"),
        ({"policy": served_policy(fold_in_length=1e38)}, "too large"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(changed, problem):
    with pytest.raises(ValueError, match=problem):
        served_model(**changed)


def test_vectors_without_dimensions_are_refused():
    with pytest.raises(ValueError, match="0 dimensions"):
        served_model(dimensions=0)


def test_a_nan_in_a_late_row_is_found():
    vectors = np.zeros((40_000, 1), dtype=np.float32)
    vectors[20_000] = np.nan

    with pytest.raises(ValueError, match="not finite"):
        served_model(items=40_000, dimensions=1, item_vectors=vectors)


def test_missing_arrays_are_named():
    model = served_model()
    arrays = {name: array for name, array in model.arrays().items() if name not in {"item_keys", "popularity"}}

    with pytest.raises(ValueError, match="missing arrays: item_keys, popularity"):
        ServedModel.from_arrays(arrays, model.facts())


def test_missing_facts_are_refused():
    with pytest.raises(ValueError, match="the policy is not one"):
        ServedModel.from_arrays(served_model().arrays(), {})


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_comes_back_from_json(name):
    policy = POLICIES[name]

    assert ServedPolicy.from_facts(json.loads(json.dumps(policy.facts()))) == policy


FACTS = POLICIES["all"].facts()


@pytest.mark.parametrize(
    "facts",
    [
        None,
        7,
        "policy",
        [],
        {},
        {name: value for name, value in FACTS.items() if name != "repeats"},
        {name: value for name, value in FACTS.items() if name != "fold_in_length"},
        FACTS | {"more": 1},
        FACTS | {"repeats": [1.0, None]},
        FACTS | {"repeats": {"weight": 1.0}},
        FACTS | {"repeats": {"weight": "much", "half_life": None}},
        FACTS | {"repeats": {"weight": 1.0, "half_life": 0}},
        FACTS | {"event_weights": ["view"]},
        FACTS | {"event_weights": {"view": "much"}},
        FACTS | {"event_weights": {"view": 10**400}},
        FACTS | {"fold_in_length": None},
        FACTS | {"fold_in_length": "2"},
        FACTS | {"fold_in_length": 10**400},
        FACTS | {"popularity_now_us": 10**400},
        FACTS | {"popularity_half_life_us": "long"},
        FACTS | {"fold_in_half_life_us": -1.0},
    ],
    ids=repr,
)
def test_facts_that_no_policy_made_are_refused(facts):
    with pytest.raises(ValueError, match=r"policy is not one|half_life|dictionary"):
        ServedPolicy.from_facts(facts)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        *(({name: wrong}, f"half_life is {wrong}") for name in ("popularity_half_life_us", "fold_in_half_life_us")
          for wrong in (0.0, -1.0, math.inf, math.nan)),
        ({"repeats": Repeats(1.0, 0.0)}, "half_life is 0.0"),
        ({"repeats": Repeats(math.nan, None)}, "the weight of repeats must be finite"),
        ({"popularity_now_us": math.nan}, "popularity_now_us and fold_in_length must be finite"),
        ({"fold_in_length": -0.1}, "the length 0 or more"),
        ({"fold_in_length": math.inf}, "the length 0 or more"),
        ({"fold_in_length": math.nan}, "the length 0 or more"),
        *(({"event_weights": {"view": wrong}}, f"the weight of view is {wrong}")
          for wrong in (0, -1.0, math.inf, math.nan)),
    ],
)  # fmt: skip
def test_a_policy_that_no_score_can_be_made_of_is_refused(changed, problem):
    with pytest.raises(ValueError, match=problem):
        served_policy(**changed)
