from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from model.ranking import BLOCK_ROWS, exact_scores, max_norm, one_over_norms, score_error


def bits(scores):
    return scores.view(np.uint32).tolist()


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


def test_the_largest_norm_is_that_of_the_longest_row_in_whatever_block():
    vectors = np.zeros((BLOCK_ROWS + 3, 2), dtype=np.float32)
    vectors[5], vectors[-1] = [3, 4], [5, -12]

    assert max_norm(vectors) == 13
    assert max_norm(vectors[:0]) == 0


def test_a_norm_of_what_is_not_a_number_is_none():
    assert np.isnan(max_norm(np.array([[np.nan], [1]], dtype=np.float32)))


def test_one_over_norms_are_zero_where_there_is_no_direction():
    vectors = np.zeros((BLOCK_ROWS + 1, 2), dtype=np.float32)
    vectors[1], vectors[2], vectors[-1] = [3, 4], [1e-20, 0], [0, 8]

    found = one_over_norms(vectors)

    assert found.dtype == np.float32
    assert found[[0, 1, 2, -1]].tolist() == [0, np.float32(0.2), 0, 0.125]
