from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

from model.products import (
    ITEMS_OF_A_STEP,
    MOST_FREE,
    SCORES_OF_A_PART,
    Scratch,
    padded_width,
    products,
    step_maxima,
)


def whole_numbers(seed, *shape):
    """Small ones, whose products and sums a float32 holds exactly in whatever order."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)


def joined(parts):
    """All parts, which must follow one another and stay within their size."""
    found = []
    for first, part in parts:
        assert first == sum(map(len, found))
        assert part.size <= SCORES_OF_A_PART
        assert part.flags.c_contiguous
        found.append(part.copy())
        part[:] = 12345.0  # whoever gets a part may use it up
    return np.concatenate(found) if found else np.empty((0, 0))


@pytest.mark.parametrize("users", [1, 2, 3, 16, 40])
@pytest.mark.parametrize("beside", [-1, 0, 1])
@pytest.mark.parametrize("parts", [0, 1, 2])
def test_it_is_the_product_with_the_prior_of_each_users_group(users, beside, parts):
    items = max(0, parts * (SCORES_OF_A_PART // users) + beside)
    item_vectors, vectors_BD = whole_numbers(1, items, 3), whole_numbers(2, users, 3)
    priors_GI, groups_B = whole_numbers(3, 4, items + 2), np.arange(users) * 7 % 4

    found = joined(products(item_vectors, vectors_BD, Scratch(), priors_GI=priors_GI, groups_B=groups_B))

    expected = item_vectors.astype(np.int64) @ vectors_BD.astype(np.int64).T + priors_GI[groups_B, :items].T
    assert np.array_equal(found, expected) if items else not found.size


@pytest.mark.parametrize("users", [1, 5])
def test_without_priors_it_is_the_product_alone(users):
    item_vectors, vectors_BD = whole_numbers(1, 30, 4), whole_numbers(2, users, 4)

    assert np.array_equal(joined(products(item_vectors, vectors_BD, Scratch())), item_vectors @ vectors_BD.T)


@pytest.mark.parametrize("users", [1, 2, 15, 16, 17, 64])
def test_it_is_the_product_within_the_rounding(users):
    generator = np.random.default_rng(users)
    item_vectors = generator.standard_normal((9_000, 16), dtype=np.float32)
    vectors_BD = generator.standard_normal((users, 16), dtype=np.float32)
    priors_GI = generator.standard_normal((4, 9_000), dtype=np.float32)
    groups_B = generator.integers(0, 4, users)

    found = joined(products(item_vectors, vectors_BD, Scratch(), priors_GI=priors_GI, groups_B=groups_B))

    expected = item_vectors.astype(np.float64) @ vectors_BD.astype(np.float64).T + priors_GI[groups_B].T
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_a_prior_comes_through_exactly_beside_larger_ones_of_other_groups():
    priors_GI = np.array([[1e-20, 3e38], [1 / 3, -3e38]], dtype=np.float32)

    found = joined(
        products(
            np.zeros((2, 1), np.float32),
            np.ones((3, 1), np.float32),
            Scratch(),
            priors_GI=priors_GI,
            groups_B=np.array([0, 1, 0]),
        )
    )

    assert found.T.tolist() == priors_GI[[0, 1, 0]].tolist()


def test_only_steps_within_reach_are_multiplied_the_first_ones_apart(monkeypatch):
    monkeypatch.setattr("model.products.ITEMS_OF_A_STEP", 10)
    item_vectors, vectors_BD = whole_numbers(1, 95, 3), whole_numbers(2, 4, 3)
    asked = [
        [0, 1, 1, 1, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 1, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 1, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    answers = iter(np.array(asked, dtype=np.bool_))

    parts = products(item_vectors, vectors_BD, Scratch(), within_reach=lambda: next(answers))

    for (first, part), (start, stop) in zip(parts, [(10, 30), (30, 40), (50, 80), (90, 95)], strict=True):
        assert first == start
        assert np.array_equal(part, item_vectors[start:stop] @ vectors_BD.T)
    assert next(answers, None) is None


@pytest.mark.parametrize("users", [1, 4, 256])
def test_parts_of_steps_are_no_larger_than_others(users):
    item_vectors, vectors_BD = whole_numbers(1, 300_000, 1), whole_numbers(2, users, 1)
    reach = np.ones(-(-300_000 // ITEMS_OF_A_STEP), dtype=np.bool_)

    found = products(item_vectors, vectors_BD, Scratch(), within_reach=lambda: reach)

    assert joined(found).shape == (300_000, users)


@pytest.mark.parametrize("items", [1, 9, 10, 11, 30])
def test_the_largest_prior_of_each_step(monkeypatch, items):
    monkeypatch.setattr("model.products.ITEMS_OF_A_STEP", 10)
    priors_GI = whole_numbers(items, 4, items)

    expected = [[row[start : start + 10].max() for start in range(0, items, 10)] for row in priors_GI]

    assert step_maxima(priors_GI).tolist() == expected


def test_the_memory_layout_of_the_users_does_not_matter():
    item_vectors, vectors_BD = whole_numbers(1, 30, 4), whole_numbers(2, 6, 4)

    assert np.array_equal(
        joined(products(item_vectors, np.asfortranarray(vectors_BD), Scratch())), item_vectors @ vectors_BD.T
    )


def test_a_product_that_nobody_looks_through_to_its_end_gives_its_memory_back():
    scratch = Scratch()
    item_vectors, vectors_BD = whole_numbers(1, SCORES_OF_A_PART, 1), whole_numbers(2, 2, 1)
    parts = products(item_vectors, vectors_BD, scratch)
    _, part = next(parts)

    parts.close()

    with scratch.rows(*part.shape) as again:
        assert np.shares_memory(part, again)


@pytest.mark.parametrize(
    ("users", "width"),
    [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16), (15, 16), (17, 20), (21, 24), (25, 32), (33, 33)],
)
def test_widths_are_those_that_kernels_take_at_once_and_never_narrower(users, width):
    assert padded_width(users) == width


def test_memory_in_use_is_nobody_elses():
    scratch = Scratch()

    with scratch.rows(2, 5) as first, scratch.rows(2, 5) as second:
        first[:], second[:] = 1, 2
        assert (first == 1).all()
        assert not np.shares_memory(first, second)


def test_memory_is_used_again_for_as_much_or_less():
    scratch = Scratch()
    with scratch.rows(3, 10) as before:
        pass

    with scratch.rows(5, 6) as again:
        assert np.shares_memory(before, again)
        assert (again.shape, again.dtype, again.flags.c_contiguous) == ((5, 6), np.float32, True)
    with scratch.rows(1, 31) as more:
        assert more.shape == (1, 31)


def test_memory_is_free_again_after_an_error():
    scratch = Scratch()
    with pytest.raises(KeyError), scratch.rows(3, 10) as before:
        raise KeyError

    with scratch.rows(3, 10) as again:
        assert np.shares_memory(before, again)


def test_no_more_memory_is_kept_than_is_in_use_at_a_time():
    scratch = Scratch()
    with ExitStack() as blocks:
        used = [blocks.enter_context(scratch.rows(1, 4)) for _ in range(MOST_FREE + 1)]

    with ExitStack() as blocks:
        again = [blocks.enter_context(scratch.rows(1, 4)) for _ in range(MOST_FREE + 1)]
        assert sum(any(np.shares_memory(one, other) for other in used) for one in again) == MOST_FREE
