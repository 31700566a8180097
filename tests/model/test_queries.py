from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.candidates import Candidates
from model.products import ITEMS_OF_A_STEP
from model.queries import Query, best, best_of_many, similar
from tests.model.small_models import NOTHING, bits, factors, full_sort, new_items, served_model, with_new


def numbers_of(values):
    return np.array(values, dtype=np.int64)


def check(candidates, query, found):
    """Against the exact scores of all items, sorted."""
    numbers, scores = found
    if query.user is None:
        expected = candidates.popular_scores
    else:
        expected = candidates.scores(query.user, np.arange(candidates.num_scored))
    among = None if query.among is None else query.among.tolist()
    left_out = {*query.excluded.tolist(), *query.withheld.tolist()}
    assert numbers.tolist() == full_sort(expected.tolist(), query.k, left_out, among)
    assert bits(scores) == bits(expected[numbers])
    assert (numbers.dtype, scores.dtype) == (np.int64, np.float32)


# Vectors out of very few values make many equal and nearly equal scores; the scales make rounding matter.
@settings(max_examples=300)
@given(
    data=st.data(),
    dimensions=st.sampled_from([1, 2, 7, 16]),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e12]),
    step=st.sampled_from([1, 2, 5, ITEMS_OF_A_STEP]),
)
def test_the_best_are_those_of_a_full_exact_sort_whatever_is_left_out(data, dimensions, scale, step):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("model.products.ITEMS_OF_A_STEP", step)
        any_query_is_as_a_full_sort(data.draw, dimensions, scale)


def any_query_is_as_a_full_sort(draw, dimensions, scale):
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items, placed, unplaced = draw(st.integers(1, 40)), draw(st.integers(0, 4)), draw(st.integers(0, 4))
    values = (np.array([0, 0.1, 0.1, -0.1, 1 / 3], dtype=np.float32) * np.float32(scale)).astype(np.float32)
    served = served_model(
        items=items,
        dimensions=dimensions,
        user_vectors=generator.choice(values, (4, dimensions)),
        item_vectors=generator.choice(values, (items, dimensions)),
        item_biases=generator.choice(values, items),
        popularity=generator.integers(0, 2, items) * draw(st.sampled_from([1.0, 1e4])),
        betas=np.full(4, draw(st.sampled_from([0.0, 0.3, 3.0, -1.0]))),
    )
    new = new_items(
        placed,
        unplaced,
        dimensions=dimensions,
        vectors=generator.choice(values, (2, dimensions)),
        biases=generator.choice(values, 2),
        popularity=generator.integers(0, 2, placed + unplaced).astype(np.float64),
    )
    candidates = with_new(served, new)
    some = st.lists(st.integers(0, len(candidates) - 1), max_size=45).map(numbers_of)
    shared = np.unique(draw(some))
    scored = st.integers(0, candidates.num_scored - 1)
    user = st.none() | st.builds(
        lambda number, own: factors(served, number, own),
        st.integers(0, 3),
        st.dictionaries(scored, st.sampled_from([0.0, -0.5, 0.1 * scale, 2.0]), max_size=4),
    )
    query = st.builds(
        Query,
        user,
        k=st.sampled_from([1, 3, 45]),
        excluded=some,
        among=st.none() | some.map(np.unique),
        withheld=st.sampled_from([shared, NOTHING]),
    )
    queries = draw(st.lists(query, min_size=1, max_size=6))

    for one, found in zip(queries, best(candidates, queries), strict=True):
        check(candidates, one, found)


@pytest.mark.parametrize("dimensions", [7, 64])
def test_an_answer_has_the_same_bits_in_whatever_company(dimensions):
    served = served_model(users=70, items=20_000, dimensions=dimensions)
    candidates = Candidates.as_trained(served)
    generator = np.random.default_rng(1)
    queries = [Query(factors(served, user), 10, generator.integers(0, 20_000, 30)) for user in range(70)]

    together = best(candidates, queries)

    for place in (0, 33, 69):
        check(candidates, queries[place], together[place])
        ((numbers, scores),) = best(candidates, [queries[place]])
        assert (numbers.tolist(), bits(scores)) == (together[place][0].tolist(), bits(together[place][1]))


def test_sums_that_differ_by_order_of_addition_are_ranked_by_the_exact_kernel():
    # All items are permutations of one vector, so the true scores are equal and every difference is rounding.
    generator = np.random.default_rng(3)
    row = generator.standard_normal(64).astype(np.float32)
    served = served_model(
        items=2000,
        dimensions=64,
        user_vectors=np.ones((4, 64), dtype=np.float32),
        item_vectors=np.stack([generator.permutation(row) for _ in range(2000)]),
        item_biases=np.zeros(2000, dtype=np.float32),
        betas=np.zeros(4),
    )
    candidates = Candidates.as_trained(served)
    exact = candidates.scores(factors(served, 0), np.arange(2000))
    assert len(set(exact.tolist())) > 1
    assert (served.item_vectors @ served.user_vectors[0] != exact).any()

    query = Query(factors(served, 0), 20, NOTHING)

    check(candidates, query, best(candidates, [query])[0])


def skewed(items, *, order=np.negative, **changed):
    """A version where popularity says more than any vector can, the most popular items first or in another order."""
    popularity = np.random.default_rng(7).lognormal(0.5, 1.2, items)
    return served_model(
        users=20,
        items=items,
        item_biases=np.zeros(items, dtype=np.float32),
        popularity=popularity[np.argsort(order(popularity))],
        betas=np.full(4, 30.0),
        **changed,
    )


@pytest.fixture
def multiplied(monkeypatch):
    """How many items each product of vectors, of 3 dimensions, was made of."""
    counts = []

    class Counting:
        def __getattr__(self, name):
            return getattr(np, name)

        @staticmethod
        def matmul(items, users, out):
            if items.shape[1] == 3:  # the others are priors
                counts.append(len(items))
            return np.matmul(items, users, out=out)

    monkeypatch.setattr("model.products.np", Counting())
    return counts


ANY_ORDER = np.random.default_rng(3).permutation


@pytest.mark.parametrize("order", [np.negative, np.positive, lambda popularity: ANY_ORDER(len(popularity))])
def test_lists_are_exact_in_whatever_order_the_items_are(order):
    candidates = Candidates.as_trained(skewed(20_000, order=order))
    generator = np.random.default_rng(2)
    every = generator.permutation(20_000)
    queries = [
        Query(
            factors(candidates.served, user, {int(every[user]): 300.0} if user % 3 == 0 else None), 10, every[:left_out]
        )
        for user, left_out in enumerate([0, 5, 100, 15_000, 19_995, 20_000])
    ]

    for query, found in zip(queries, best(candidates, queries), strict=True):
        check(candidates, query, found)


def test_items_that_are_out_of_reach_are_not_multiplied(multiplied):
    candidates = Candidates.as_trained(skewed(100_000))

    best(candidates, [Query(factors(candidates.served, user), 10, NOTHING) for user in range(20)])

    assert multiplied == [2 * ITEMS_OF_A_STEP]


def test_when_the_popular_ones_are_left_out_the_others_come_within_reach(multiplied):
    candidates = Candidates.as_trained(skewed(100_000))
    query = Query(factors(candidates.served, 0), 10, np.arange(50_000))

    check(candidates, query, best(candidates, [query])[0])

    assert 50_000 < sum(multiplied) < 90_000


def test_an_item_that_became_popular_since_the_training_is_within_reach(multiplied):
    served = skewed(100_000)
    popularity = served.popularity.copy()
    popularity[77_777] = 1e6
    candidates = Candidates(served, popularity, served.policy.popularity_now_us, new_items(0, 0))
    query = Query(factors(served, 0), 10, NOTHING)

    check(candidates, query, best(candidates, [query])[0])

    assert multiplied == [2 * ITEMS_OF_A_STEP, ITEMS_OF_A_STEP]


def test_equal_scores_are_ranked_by_item_number():
    flat = {"item_vectors": np.zeros((9, 3), dtype=np.float32), "item_biases": np.zeros(9, np.float32)}
    served = served_model(**flat, betas=np.zeros(4))

    ((numbers, scores),) = best(Candidates.as_trained(served), [Query(factors(served, 0), 4, numbers_of([2, 2]))])

    assert numbers.tolist() == [0, 1, 3, 4]
    assert scores.tolist() == [0, 0, 0, 0]


def test_popular_items_come_by_log_popularity_and_new_ones_among_them():
    served = served_model(items=3, popularity=np.array([3.0, 0.0, 8.0]))
    candidates = with_new(served, new_items(1, 1, popularity=np.array([100.0, 5.0])))

    ((numbers, scores),) = best(candidates, [Query(None, 4, numbers_of([2]))])

    assert numbers.tolist() == [3, 4, 0, 1]
    assert scores.tolist() == np.log1p([100.0, 5.0, 3.0, 0.0]).astype(np.float32).tolist()


def test_a_model_without_items_gives_nothing():
    served = served_model(items=0)

    found = best(Candidates.as_trained(served), [Query(factors(served, 0), 5, NOTHING), Query(None, 5, NOTHING)])

    assert [numbers.tolist() for numbers, _ in found] == [[], []]


@pytest.mark.parametrize("items", [30, 3_000])
def test_the_most_similar_items_have_the_largest_cosines(items):
    served = served_model(items=items, dimensions=5)
    candidates = with_new(served, new_items(3, 1, dimensions=5))
    everything = np.arange(candidates.num_scored)
    vectors = candidates.vectors(everything).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    for to in (0, items - 1, items, items + 2):
        numbers, scores = similar(candidates, to, Query(None, 8, numbers_of([to, 3]), withheld=numbers_of([4])))

        cosines = vectors @ vectors[to]
        assert set(numbers.tolist()) == set(full_sort(cosines.tolist(), 8, {to, 3, 4}))
        np.testing.assert_allclose(scores, cosines[numbers], atol=1e-6)
        assert (np.diff(scores) <= 0).all()


def test_similarity_does_not_depend_on_the_lengths_of_vectors():
    served = served_model(dimensions=5)
    longer = served_model(dimensions=5, item_vectors=served.item_vectors * np.float32(1024))

    found = [similar(Candidates.as_trained(one), 4, Query(None, 9, NOTHING)) for one in (served, longer)]

    assert found[0][0].tolist() == found[1][0].tolist()
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)


def test_an_item_without_a_direction_is_like_nothing():
    vectors = np.ones((9, 3), dtype=np.float32)
    vectors[2] = 0

    numbers, scores = similar(
        Candidates.as_trained(served_model(item_vectors=vectors)), 2, Query(None, 3, numbers_of([2]))
    )

    assert (numbers.tolist(), scores.tolist()) == ([0, 1, 3], [0, 0, 0])


@pytest.mark.parametrize("to", [-1, 11])
def test_similar_to_an_item_without_a_vector_is_refused(to):
    candidates = with_new(served_model(), new_items(2, 1))

    with pytest.raises(IndexError, match=rf"item number {to} is outside 0\.\.10"):
        similar(candidates, to, Query(None, 3, NOTHING))


def test_the_best_of_many_are_those_of_each():
    served = served_model(users=300, items=500, dimensions=8)
    candidates = with_new(served, new_items(3, 2, dimensions=8))
    generator = np.random.default_rng(5)
    excluded = [generator.integers(0, len(candidates), user % 7) for user in range(300)]
    withheld = numbers_of([3, 499, 501])
    pairs = (np.concatenate(excluded), np.repeat(np.arange(300), [len(each) for each in excluded]))

    found = best_of_many(candidates, served.user_vectors, served.user_groups, k=6, excluded=pairs, withheld=withheld)

    queries = [Query(factors(served, user), 6, excluded[user], withheld=withheld) for user in range(300)]
    for (numbers, scores), (own_numbers, own_scores) in zip(found, best(candidates, queries), strict=True):
        assert numbers.tolist() == own_numbers.tolist()
        assert bits(scores) == bits(own_scores)
