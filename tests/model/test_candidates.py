from __future__ import annotations

import math

import numpy as np
import pytest

from model.candidates import Candidates
from tests.model.small_models import NOTHING, bits, factors, new_items, served_model, with_new


def test_the_score_is_product_plus_bias_plus_log_popularity_weighted_by_the_users_group():
    served = served_model()
    candidates = Candidates.as_trained(served)

    for user, beta in enumerate([0.3, 0.7, 0.0, -0.2]):
        scores = candidates.scores(factors(served, user), np.arange(9))
        for item in range(9):
            vectors = zip(served.user_vectors[user], served.item_vectors[item], strict=True)
            product = sum(float(x) * float(q) for x, q in vectors)
            expected = product + float(served.item_biases[item]) + beta * math.log(1 + served.popularity[item])
            assert scores[item] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_what_an_item_is_to_its_user_adds_to_the_score():
    served = served_model()
    candidates = Candidates.as_trained(served)

    without, with_own = (candidates.scores(factors(served, 1, own), np.arange(9)) for own in (None, {2: 0.5, 8: -1.5}))

    assert (with_own - without).tolist() == pytest.approx([0, 0, 0.5, 0, 0, 0, 0, 0, -1.5], abs=1e-6)


def test_popularity_of_now_takes_the_place_of_that_of_the_training():
    served = served_model()
    now = Candidates(served, np.full(9, 7.0), served.policy.popularity_now_us, new_items(0, 0))

    assert now.popular_scores.tolist() == [np.float32(math.log(8))] * 9
    assert bits(now.scores(factors(served, 2), np.arange(9))) == bits(
        Candidates.as_trained(served).scores(factors(served, 2), np.arange(9))  # beta 0
    )
    assert (
        now.scores(factors(served, 1), np.arange(9))
        != Candidates.as_trained(served).scores(factors(served, 1), np.arange(9))
    ).any()


def test_new_items_follow_and_are_scored_by_their_place():
    served = served_model()
    new = new_items(2, 1, places=2, keys=np.array([4, 8, 2]))._replace(places=np.array([1, 0]))
    candidates = with_new(served, new)

    assert (len(candidates), candidates.num_scored) == (12, 11)
    assert candidates.numbers(np.array([1, 2, 4, 8, 17, 18, -1])).tolist() == [0, 11, 9, 10, 8, -1, -1]
    assert candidates.known_numbers(np.array([8, 3, 99])).tolist() == [10, 1]
    assert candidates.keys(np.array([11, 0, 9])).tolist() == [2, 1, 4]
    assert np.array_equal(
        candidates.vectors(np.array([9, 8, 10])), [new.vectors[1], served.item_vectors[8], new.vectors[0]]
    )
    expected = (
        float(served.user_vectors[0] @ new.vectors[1]) + float(new.biases[1]) + 0.3 * math.log1p(new.popularity[0])
    )
    assert candidates.scores(factors(served, 0), np.array([9]))[0] == pytest.approx(expected, rel=1e-5)


def test_new_items_change_no_other_score():
    served = served_model(items=50)

    alone, beside = Candidates.as_trained(served), with_new(served, new_items(5, 5))

    for user in range(4):
        assert bits(alone.scores(factors(served, user), np.arange(50))) == bits(
            beside.scores(factors(served, user), np.arange(50))
        )


@pytest.mark.parametrize("dimensions", [1, 7, 32, 64])
def test_a_score_has_the_same_bits_in_whatever_company(dimensions):
    served = served_model(users=20, items=5000, dimensions=dimensions)
    candidates = Candidates.as_trained(served)
    generator = np.random.default_rng(1)
    users = [factors(served, user) for user in range(20)]

    for user in (0, 7, 19):
        expected = candidates.scores(users[user], np.arange(5000))
        for rows in (1, 16, 5000):
            chosen = generator.permutation(5000)[:rows]
            assert bits(candidates.scores(users[user], chosen)) == bits(expected[chosen])
            mixed = generator.integers(0, 20, rows)
            mixed[0] = user
            assert bits(candidates.pair_scores(users, mixed, chosen))[0] == bits(expected[chosen])[0]


def test_scoring_more_items_than_a_block_holds_changes_nothing():
    served = served_model(users=3, items=40_000, dimensions=2)
    candidates = Candidates.as_trained(served)

    scores = candidates.scores(factors(served, 1), np.arange(40_000))

    assert bits(scores[16_380:16_390]) == bits(candidates.scores(factors(served, 1), np.arange(16_380, 16_390)))
    assert bits(scores[-1:]) == bits(candidates.scores(factors(served, 1), np.array([39_999])))


@pytest.mark.parametrize("number", [-1, 11])
def test_an_item_without_a_personal_score_is_refused(number):
    candidates = with_new(served_model(), new_items(2, 1))

    with pytest.raises(IndexError, match=rf"item number {number} is outside 0\.\.10"):
        candidates.scores(factors(candidates.served, 0), np.array([0, number]))


def test_nothing_has_no_scores_and_no_numbers():
    served = served_model()
    candidates = Candidates.as_trained(served)

    assert candidates.scores(factors(served, 0), NOTHING).tolist() == []
    assert candidates.numbers(NOTHING).tolist() == []


@pytest.mark.parametrize("step", [1, 7, 2_048])
def test_no_score_of_a_step_exceeds_its_limit(monkeypatch, step):
    monkeypatch.setattr("model.products.ITEMS_OF_A_STEP", step)
    served = served_model(users=30, items=200, dimensions=1)
    # Of one dimension, so that the product of the norms is reached.
    candidates = with_new(served, new_items(3, 2, dimensions=1))
    own = {item: -0.5 if item % 2 else 2.0 for item in range(200)}
    users = [factors(served, user, own) for user in range(30)]
    vectors_BD, groups_B = np.array([user.vector for user in users]), np.array([user.group for user in users])

    limits_BS = candidates.limits(vectors_BD, groups_B, max_own=2.0)

    scores_BI = np.array([candidates.scores(user, np.arange(200)) for user in users])
    starts = np.arange(0, 200, step)
    assert limits_BS.shape == (30, len(starts))
    assert (np.maximum.reduceat(scores_BI, starts, axis=1) <= limits_BS).all()


def test_longer_vectors_and_own_parts_allow_more_error():
    lengths = (np.full((9, 3), length, dtype=np.float32) for length in (1, 10))
    short, long = (Candidates.as_trained(served_model(item_vectors=vectors)) for vectors in lengths)

    assert 0 < short.error(max_own=0) < short.error(max_own=1000) < 1e-2
    assert short.error(max_own=0) < long.error(max_own=0)


def test_each_has_a_serial_of_its_own():
    served = served_model()

    assert Candidates.as_trained(served).serial != Candidates.as_trained(served).serial
