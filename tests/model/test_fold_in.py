from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import Interactions
from model.fold_in import FoldIn, FoldInSettings, growth, item_means, learnt_map
from model.user_items import UserItems

USERS, ITEMS, DIMENSIONS = 40, 30, 5
EVERY_MAP = [FoldInSettings("mean"), FoldInSettings("affine"), FoldInSettings("whitened", 2.0, 50.0)]


def world(seed=0, users=USERS):
    generator = np.random.default_rng(seed)
    pairs = generator.choice(users * ITEMS, users * 6, replace=False)
    interactions = Interactions(
        pairs // ITEMS,
        pairs % ITEMS,
        timestamps=generator.integers(0, 200, len(pairs)),
        weights=generator.uniform(0.5, 4, len(pairs)),
        num_users=users,
        num_items=ITEMS,
    )
    items = generator.normal(size=(ITEMS, DIMENSIONS)).astype(np.float32)
    return UserItems.of(interactions), items


def mapped(wanted, seed=0):
    histories, items = world(seed)
    trained = np.random.default_rng(9).normal(size=(USERS, DIMENSIONS)).astype(np.float32)
    return learnt_map(wanted, items, histories, user_vectors=trained), histories, items


def test_means_are_weighted_by_what_each_item_says():
    histories, items = world()

    means = item_means(items, histories, half_life=50.0)

    weights = histories.decayed(50.0)
    for user in range(USERS):
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        if own.start < own.stop:
            expected = np.average(items[histories.items[own]], axis=0, weights=weights[own])
            np.testing.assert_allclose(means[user], expected, rtol=1e-5, atol=1e-6)
        else:
            assert not means[user].any()


def test_means_do_not_depend_on_how_many_users_are_taken_at_once(monkeypatch):
    histories, items = world()
    whole = item_means(items, histories)

    monkeypatch.setattr("model.fold_in.ROWS_AT_ONCE", 1)

    assert np.array_equal(item_means(items, histories), whole)


@pytest.mark.parametrize("wanted", EVERY_MAP)
def test_one_user_alone_gets_the_vector_that_all_together_get(wanted):
    fold_in, histories, items = mapped(wanted)

    together = fold_in.user_vectors(items, histories)

    weights = histories.decayed(wanted.half_life)
    for user in np.flatnonzero(histories.sizes)[:10]:
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        alone = fold_in.user_vector(items, histories.items[own], weights[own])
        np.testing.assert_allclose(alone, together[user], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", EVERY_MAP)
def test_vectors_have_the_length_of_trained_ones_and_nobody_without_items_has_one(wanted):
    fold_in, histories, items = mapped(wanted)
    trained = np.random.default_rng(9).normal(size=(USERS, DIMENSIONS))

    vectors = fold_in.user_vectors(items, histories)

    filled = histories.sizes > 0
    expected = np.sqrt((trained[filled] ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(np.linalg.norm(vectors[filled], axis=1), expected, rtol=1e-4)
    assert not vectors[~filled].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(EVERY_MAP), st.integers(1, 12))
def test_contributions_and_the_rest_sum_to_the_score(seed, wanted, count):
    fold_in, _, items = mapped(wanted, seed % 5)
    generator = np.random.default_rng(seed)
    history = generator.choice(ITEMS, count, replace=False)
    weights = generator.uniform(0.1, 3, count)

    shares, rest = fold_in.contributions(items[history], weights, explained=items)

    scores = items @ fold_in.user_vector(items, history, weights)
    assert shares.shape == (ITEMS, count)
    np.testing.assert_allclose(shares.sum(axis=1) + rest, scores, rtol=0, atol=1e-4)


def test_whitening_solves_the_system_it_names():
    fold_in, histories, items = mapped(FoldInSettings("whitened", 2.0))

    shares = np.bincount(histories.items, minlength=ITEMS) / len(histories.items)
    mean = shares @ items
    covariance = (items * shares[:, None]).T @ items - np.outer(mean, mean)
    scale = np.trace(covariance) / DIMENSIONS
    expected = np.linalg.inv(covariance + 2.0 * scale * np.eye(DIMENSIONS)) * scale

    np.testing.assert_allclose(fold_in.matrices, [expected], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fold_in.offsets, [-mean @ expected], rtol=1e-3, atol=1e-4)


def test_an_affine_map_that_moves_with_the_size_of_a_history_is_found_where_there_is_one():
    histories, items = world(users=400)
    generator = np.random.default_rng(1)
    matrices = generator.normal(size=(2, DIMENSIONS, DIMENSIONS))
    offsets = generator.normal(size=(2, DIMENSIONS))
    means, scale = item_means(items, histories), growth(histories.sizes)[:, None]
    assert len(np.unique(histories.sizes)) > 5
    trained = (means @ matrices[0] + offsets[0] + scale * (means @ matrices[1] + offsets[1])).astype(np.float32)

    fold_in = learnt_map(FoldInSettings("affine"), items, histories, user_vectors=trained)

    for size in (2, 6, 12):
        user = np.flatnonzero(histories.sizes == size)[0]
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        found = fold_in.user_vector(items, histories.items[own], histories.weights[own])
        cosine = found @ trained[user] / np.linalg.norm(found) / np.linalg.norm(trained[user])
        assert cosine > 0.995, size


@pytest.mark.parametrize("wanted", EVERY_MAP)
def test_vectors_that_are_all_alike_or_zero_do_no_harm(wanted):
    histories, _ = world()
    for items in (np.zeros((ITEMS, DIMENSIONS), np.float32), np.ones((ITEMS, DIMENSIONS), np.float32)):
        fold_in = learnt_map(wanted, items, histories, user_vectors=np.ones((USERS, DIMENSIONS), np.float32))

        assert np.isfinite(fold_in.user_vectors(items, histories)).all()
        vector = fold_in.user_vector(items, np.array([0]), np.array([1.0]))
        shares, rest = fold_in.contributions(items[:1], np.array([1.0]), explained=items[1:2])
        np.testing.assert_allclose(shares.sum() + rest[0], items[1] @ vector, atol=1e-4)


def test_a_map_of_nobody_can_be_learnt():
    nobody = UserItems(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    for wanted in EVERY_MAP:
        fold_in = learnt_map(wanted, np.ones((2, 3), np.float32), nobody, user_vectors=np.ones((0, 3), np.float32))

        assert fold_in.user_vectors(np.ones((2, 3), np.float32), nobody).shape == (0, 3)


@pytest.mark.parametrize("wanted", EVERY_MAP)
def test_a_user_whose_interactions_weigh_nothing_has_no_history_and_harms_nobody(wanted):
    weights = [1.0, 1.0, 1.0, 1.0, 0.0]
    histories = UserItems.of(Interactions([0, 0, 1, 1, 2], [0, 1, 1, 2, 0], weights=weights, num_items=3))
    items, trained = (np.random.default_rng(3).random((3, 2)).astype(np.float32) for _ in range(2))

    vectors = learnt_map(wanted, items, histories, user_vectors=trained).user_vectors(items, histories)

    assert histories.sizes.tolist() == [2, 2, 0]
    assert np.isfinite(vectors).all()
    assert not vectors[2].any()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (FoldInSettings("whitend"), "kind 'whitend' is not one of mean, whitened, affine"),
        (FoldInSettings("mean", half_life=0.0), "half_life is 0.0"),
        (FoldInSettings("whitened", float("nan")), "shrinkage is nan"),
    ],
)
def test_settings_outside_their_limits_are_refused(settings, problem):
    histories, items = world()
    with pytest.raises(ValueError, match=problem):
        learnt_map(settings, items, histories, user_vectors=np.ones((USERS, DIMENSIONS), np.float32))


def test_a_vector_has_the_same_bits_wherever_in_memory_the_numbers_lie() -> None:
    generator = np.random.default_rng(3)
    matrices = generator.standard_normal((1, 64, 64)).astype(np.float32)
    offsets = generator.standard_normal((1, 64)).astype(np.float32)
    vectors = generator.standard_normal((50, 64)).astype(np.float32)

    def moved(array: np.ndarray, by: int) -> np.ndarray:
        memory = np.empty(array.nbytes + 64, dtype=np.uint8)[by : by + array.nbytes]
        found = memory.view(array.dtype).reshape(array.shape)
        found[...] = array
        return found

    items, weights = np.arange(0, 50, 3), generator.uniform(1, 2, 17)
    found = {
        FoldIn(moved(matrices, by), moved(offsets, by), 2.0, None)
        .user_vector(moved(vectors, by), items, moved(weights, by // 8 * 8))
        .tobytes()
        for by in range(0, 64, 4)
    }

    assert len(found) == 1
