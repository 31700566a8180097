from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.ranking import exact_scores, score_error, top_k

NOTHING = np.array([], dtype=np.int64)


def bits(scores):
    return scores.view(np.uint32).tolist()


def full_sort(scores, k, excluded):
    """The slow way: sort every item that is left by (-score, number)."""
    left = set(range(len(scores))) - set(excluded)
    return sorted(left, key=lambda number: (-scores[number], number))[:k]


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7, 32, 33, 64, 200])
def test_a_score_has_the_same_bits_in_whatever_company(dimensions):
    generator = np.random.default_rng(dimensions)
    users = generator.standard_normal((5000, dimensions), dtype=np.float32)
    items = generator.standard_normal((5000, dimensions), dtype=np.float32)
    priors = generator.standard_normal(5000, dtype=np.float32)

    all_at_once = exact_scores(users, items, priors=priors)

    assert all_at_once.dtype == np.float32
    for rows in (1, 2, 3, 5, 16, 17, 999):
        for start in (0, 1, 6, 4000):
            chosen = slice(start, start + rows)
            alone = exact_scores(users[chosen], items[chosen], priors=priors[chosen])
            assert bits(alone) == bits(all_at_once[chosen])


@pytest.mark.parametrize("dimensions", [1, 7, 32, 64])
def test_the_memory_layout_of_the_rows_does_not_change_a_score(dimensions):
    generator = np.random.default_rng(dimensions)
    user = generator.standard_normal((1, dimensions), dtype=np.float32)
    items = generator.standard_normal((50, dimensions), dtype=np.float32)
    priors = np.zeros(50, dtype=np.float32)
    expected = bits(exact_scores(np.repeat(user, 50, axis=0), items, priors=priors))

    broadcast = np.broadcast_to(user, (50, dimensions))
    assert bits(exact_scores(broadcast, items, priors=priors)) == expected
    assert bits(exact_scores(broadcast, np.asfortranarray(items), priors=priors)) == expected
    strided = np.repeat(items, 2, axis=0)[::2]
    assert bits(exact_scores(broadcast, strided, priors=priors)) == expected
    unaligned = np.frombuffer(b"\0" + items.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(items.shape)
    assert bits(exact_scores(broadcast, unaligned, priors=priors)) == expected


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e15])
@pytest.mark.parametrize("dimensions", [1, 7, 64, 500])
def test_any_order_of_summation_stays_within_half_the_error(dimensions, scale):
    generator = np.random.default_rng(dimensions)
    user = generator.standard_normal(dimensions, dtype=np.float32) * np.float32(scale)
    items = generator.standard_normal((40, dimensions), dtype=np.float32)
    # Cancellation to nothing: the rounding that is left is as large as it gets against the score.
    items[: len(items) // 2, dimensions // 2 :] *= np.float32(1e-3)
    priors = (generator.standard_normal(40) * scale).astype(np.float32)
    error = score_error(
        dimensions=dimensions,
        user_norm=float(np.linalg.norm(user.astype(np.float64))),
        max_item_norm=float(np.linalg.norm(items.astype(np.float64), axis=1).max()),
        max_prior=float(np.abs(priors).max()),
    )

    true = [
        sum((Fraction(float(x)) * Fraction(float(q)) for x, q in zip(user, item, strict=True)), Fraction(float(prior)))
        for item, prior in zip(items, priors, strict=True)
    ]
    blas = items @ user + priors
    one_by_one = np.array([sum(item * user, start=np.float32(0)) for item in items], dtype=np.float32) + priors
    kernel = exact_scores(np.broadcast_to(user, items.shape), items, priors=priors)
    for scores in (blas, one_by_one, kernel):
        assert max(abs(Fraction(float(got)) - want) for got, want in zip(scores, true, strict=True)) <= error / 2


def test_the_error_is_small_enough_to_keep_candidates_few():
    assert score_error(dimensions=64, user_norm=1.0, max_item_norm=1.0, max_prior=1.0) < 1e-5


# Few different values, so that ties are everywhere, and noise as large as the error allows.
@given(
    exact=st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.25000003, 0.5]), min_size=1, max_size=25),
    noise=st.lists(st.floats(-1, 1, width=32), min_size=25, max_size=25),
    error=st.sampled_from([0.0, 1e-6, 0.3, 2.0]),
    k=st.integers(0, 30),
    excluded=st.lists(st.integers(-1, 24), max_size=30),
)
@example(exact=[0.0] * 5, noise=[1.0, -1.0] * 12 + [0.0], error=2.0, k=2, excluded=[])
@example(exact=[0.5, 0.25], noise=[-1.0, 1.0] + [0.0] * 23, error=0.3, k=1, excluded=[])
def test_it_equals_a_full_sort_by_exact_score_and_number(exact, noise, error, k, excluded):
    exact = np.array(exact, dtype=np.float32)
    excluded = [number for number in excluded if number < len(exact)]
    # 0.999: the float32 rounding of the noisy score must not take it past the error.
    approximate = (exact + np.array(noise[: len(exact)]) * error * 0.999).astype(np.float32)

    numbers, scores = top_k(
        approximate, k=k, exact=exact.__getitem__, error=error, excluded=np.array(excluded, dtype=np.int64)
    )

    assert numbers.tolist() == full_sort(exact.tolist(), k, excluded)
    assert bits(scores) == bits(exact[numbers])
    assert numbers.dtype == np.int64
    assert scores.dtype == np.float32


def test_more_than_is_left_gives_all_that_is_left():
    scores = np.array([1, 3, 2], dtype=np.float32)

    numbers, _ = top_k(scores, k=50, exact=scores.__getitem__, error=0.0, excluded=np.array([1, 1, -1]))

    assert numbers.tolist() == [2, 0]


def test_nothing_left_gives_nothing():
    scores = np.array([1, 3], dtype=np.float32)

    numbers, best = top_k(scores, k=5, exact=scores.__getitem__, error=0.0, excluded=np.array([1, 0]))

    assert numbers.tolist() == []
    assert best.tolist() == []
    assert (numbers.dtype, best.dtype) == (np.int64, np.float32)


def test_a_catalogue_without_items_gives_nothing():
    scores = np.array([], dtype=np.float32)

    numbers, _ = top_k(scores, k=5, exact=scores.__getitem__, error=0.0, excluded=NOTHING)

    assert numbers.tolist() == []


def test_only_items_near_the_top_are_scored_exactly():
    approximate = np.arange(1000, dtype=np.float32)
    asked = []

    def exact(numbers):
        asked.extend(numbers.tolist())
        return approximate[numbers]

    top_k(approximate, k=10, exact=exact, error=1.0, excluded=NOTHING)

    assert asked == list(range(988, 1000))


def test_the_scores_passed_in_are_left_alone():
    scores = np.array([1, 3, 2], dtype=np.float32)
    scores.flags.writeable = False

    top_k(scores, k=1, exact=scores.__getitem__, error=0.0, excluded=np.array([1]))

    assert scores.tolist() == [1, 3, 2]


def test_an_excluded_number_beyond_the_items_is_refused():
    scores = np.zeros(3, dtype=np.float32)

    with pytest.raises(ValueError, match=r"item number 3 is outside 0\.\.2"):
        top_k(scores, k=1, exact=scores.__getitem__, error=0.0, excluded=np.array([0, 3]))


def test_a_negative_k_is_refused():
    scores = np.zeros(3, dtype=np.float32)

    with pytest.raises(ValueError, match="k is -1"):
        top_k(scores, k=-1, exact=scores.__getitem__, error=0.0, excluded=NOTHING)
