from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sampling import (
    PopularNegatives,
    RandomSource,
    UniformNegatives,
    UnseenNegatives,
    as_random_source,
    plain_random_state,
    popularity_weights,
    restored_random_state,
    sample_items,
)

SOURCES: list[Callable[[int], RandomSource]] = [np.random.RandomState, np.random.default_rng]


def test_a_random_state_gives_the_draw_of_numpy() -> None:
    expected = np.random.RandomState(3).randint(0, 50, (4, 2), dtype=np.int64)
    drawn = sample_items(50, (4, 2), np.random.RandomState(3))
    assert drawn.dtype == np.int64
    assert np.array_equal(drawn, expected)
    assert np.array_equal(sample_items(50, (4, 2), 3), expected)


@pytest.mark.parametrize("make", SOURCES)
def test_samples_cover_all_items_and_nothing_else(make: Callable[[int], RandomSource]) -> None:
    drawn = sample_items(5, 1000, make(0))
    assert set(drawn.tolist()) == set(range(5))


def test_no_items_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="num_items is 0"):
        sample_items(0, 3)


def test_none_is_unpredictable_and_zero_is_a_seed() -> None:
    assert as_random_source(None).bytes(16) != as_random_source(None).bytes(16)
    assert as_random_source(0).bytes(16) == as_random_source(np.int64(0)).bytes(16)


def test_a_source_is_used_itself_not_copied() -> None:
    for make in SOURCES:
        source = make(1)
        assert as_random_source(source) is source


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_outside_its_range_is_a_value_error(seed: int) -> None:
    with pytest.raises(ValueError, match=f"random_state {seed} is outside"):
        as_random_source(seed)


@pytest.mark.parametrize("wrong", ["7", 1.5, True])
def test_another_type_of_random_state_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
        as_random_source(wrong)  # type: ignore[arg-type]  # the point of the test


def test_uniform_negatives_are_one_plain_draw() -> None:
    drawn = UniformNegatives(9).draw(np.array([0, 1, 2]), 4, np.random.RandomState(5))
    assert np.array_equal(drawn, np.random.RandomState(5).randint(0, 9, 12, dtype=np.int64))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
    legacy=st.booleans(),
    alpha=st.sampled_from([None, 0.0, 0.75, 3.0]),
)
def test_unseen_negatives_never_are_positives_of_their_user(
    pairs: list[tuple[int, int]], seed: int, legacy: bool, alpha: float | None
) -> None:
    users, items = np.array(pairs).T
    counts = np.bincount(items, minlength=8)
    weights = None if alpha is None else popularity_weights(counts, alpha, num_users=6)
    sampler = UnseenNegatives(users, items, num_users=6, num_items=8, weights_I=weights)
    everyone = np.arange(6)
    drawable = set(range(8)) if not alpha else set(items.tolist())
    free = [drawable - {item for user, item in pairs if user == number} for number in everyone]
    assert sampler.has_any(everyone).tolist() == [bool(items) for items in free]
    asked = everyone[sampler.has_any(everyone)]
    source: RandomSource = np.random.RandomState(seed) if legacy else np.random.default_rng(seed)
    drawn = sampler.draw(asked, 20, source).reshape(len(asked), 20)
    assert ((drawn >= 0) & (drawn < 8)).all()
    for user, negatives in zip(asked, drawn, strict=True):
        assert set(negatives.tolist()) <= free[user]


def test_unseen_negatives_are_uniform_over_the_free_items() -> None:
    sampler = UnseenNegatives(np.array([1, 1, 1, 0]), np.array([0, 3, 4, 2]), num_users=2, num_items=6)
    drawn = sampler.draw(np.array([1]), 9000, np.random.RandomState(0))
    counts = np.bincount(drawn, minlength=6)
    assert counts[[0, 3, 4]].tolist() == [0, 0, 0]
    # 3000 expected of each, standard deviation 45
    assert (np.abs(counts[[1, 2, 5]] - 3000) < 200).all()


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_popular_negatives_are_drawn_in_proportion_to_the_power_of_their_counts(
    alpha: float, make: Callable[[int], RandomSource]
) -> None:
    counts = np.array([16, 1, 0, 9, 4])
    expected = np.array([1.0] * 5) if alpha == 0 else counts**alpha
    sampler = PopularNegatives(popularity_weights(counts, alpha, num_users=3))
    drawn = np.bincount(sampler.draw(np.array([0, 1]), 15_000, make(0)), minlength=5)
    # Standard deviations are below 90.
    np.testing.assert_allclose(drawn, 30_000 * expected / expected.sum(), atol=360)
    assert (drawn[expected == 0] == 0).all()


def test_popular_negatives_keep_their_proportions_among_the_free_items() -> None:
    weights = popularity_weights(np.array([5, 1, 7, 3, 2]), 1.0, num_users=2)
    users, items = np.array([0, 1, 1]), np.array([1, 0, 2])
    sampler = UnseenNegatives(users, items, num_users=2, num_items=5, weights_I=weights)
    drawn = np.bincount(sampler.draw(np.array([1]), 12_000, np.random.RandomState(0)), minlength=5)
    np.testing.assert_allclose(drawn, [0, 2000, 0, 6000, 4000], atol=220)


def test_weights_of_a_large_catalogue_with_many_users_stay_within_int64() -> None:
    counts = np.arange(1_000_000)
    weights = popularity_weights(counts, 0.75, num_users=10_000_000)
    assert 0 < int(weights.sum()) * 10_000_000 < 2**63
    assert weights[0] == 0
    assert (weights[1:] > 0).all()


class Dice(np.random.RandomState):
    """A random state of one's own kind: its numbers are those of the state it was made from."""


@pytest.mark.parametrize(
    "source",
    [np.random.RandomState(1), Dice(2), np.random.RandomState(np.random.PCG64(3)), np.random.default_rng(4)],
    ids=lambda source: type(source).__name__,
)
def test_a_source_restored_from_plain_values_goes_on_where_it_was(source: RandomSource) -> None:
    source.normal()  # leaves half of a pair behind
    plain = plain_random_state(source)
    again = restored_random_state(ast.literal_eval(repr(plain)))  # literals: nothing but plain values
    assert isinstance(again, np.random.RandomState) == isinstance(source, np.random.RandomState)
    assert again.normal(size=3).tolist() == source.normal(size=3).tolist()
    assert again.permutation(9).tolist() == source.permutation(9).tolist()
