from __future__ import annotations

import numpy as np
import pytest

from model import Interactions
from model.evaluation.temporal import TemporalSplit
from model.fold_in import FoldInSettings
from model.policy import FittedPolicy, Learnt, OwnItems, Policy, Repeats, group_of, popularity
from model.policy_choice import (
    BETAS,
    UNCHOSEN,
    USUAL_BETAS,
    USUAL_SHRINKAGE,
    Windows,
    choose_policy,
    half_lives,
    smoothed,
)

DAY = 1_000
USERS, ITEMS = 240, 60


def learnt(user_vectors, item_vectors):
    items = np.asarray(item_vectors, dtype=np.float32)
    return Learnt(np.asarray(user_vectors, dtype=np.float32), items, np.zeros(len(items), dtype=np.float32))


def test_users_are_grouped_by_the_size_of_their_history():
    assert group_of(np.array([0, 1, 2, 4, 5, 19, 20, 900])).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.fixture
def interactions():
    return Interactions([0, 0, 0, 1], [0, 0, 1, 2], timestamps=[0, 100, 100, 100], num_users=2, num_items=4)


def test_the_score_is_the_sum_of_its_parts(interactions):
    vectors = np.eye(4, dtype=np.float32)
    policy = Policy((1.0, 2.0, 4.0, 8.0), half_life=100.0, repeats=Repeats(3.0, None))

    fitted = FittedPolicy(policy, learnt(np.ones((2, 4)) / 2, vectors), interactions)
    scores = fitted.scores(np.array([1, 0]), repeats=True)

    # Popularity: item 0 is there now and one half-life ago. User 0 has two items, so a beta of 2; user 1 has one.
    np.testing.assert_allclose(fitted.popularity, [1.5, 1, 1, 0])
    means = np.array([[np.log2(3), 1, 0, 0]]) / (np.log2(3) + 1)
    personal = means[0] / np.linalg.norm(means)
    own = 3 * np.log1p([2, 1, 0, 0])
    np.testing.assert_allclose(scores[1], personal + 2 * np.log1p([1.5, 1, 1, 0]) + own, rtol=1e-5)
    np.testing.assert_allclose(
        scores[0], [0, 0, 1, 0] + np.log1p([1.5, 1, 1, 0]) + 3 * np.log1p([0, 0, 1, 0]), rtol=1e-5
    )


def test_without_repeats_own_items_stand_behind_all_others_or_are_left_to_whoever_makes_the_list(interactions):
    fitted = FittedPolicy(Policy((1.0,) * 4), learnt(np.ones((2, 4)), np.eye(4)), interactions)

    behind = fitted.scores(np.array([0]), repeats=True)[0]
    plain = fitted.scores(np.array([0]))[0]

    assert behind[:2].max() < behind[2:].min()
    assert np.isfinite(behind).all()
    np.testing.assert_array_equal(behind[2:], plain[2:])


def test_own_items_count_back_from_about_the_newest_interaction(interactions):
    scores = np.zeros((2, 4), dtype=np.float32)

    OwnItems(interactions, 100.0).add_to(scores, np.array([0, 1]), 2.0)

    np.testing.assert_allclose(scores, 2 * np.log1p([[1.5, 1, 0, 0], [0, 0, 1, 0]]), rtol=1e-6)


def test_without_timestamps_everything_counts_in_full():
    plain = Interactions([0, 1], [1, 1], num_items=3)

    assert popularity(plain, 5.0).tolist() == [0, 2, 0]
    assert half_lives(plain) == [None]


def test_half_lives_follow_the_span_of_the_data():
    spread = Interactions([0, 1], [0, 1], timestamps=[0, 1024])

    assert half_lives(spread)[:3] == [None, 512.0, 256.0]
    assert half_lives(Interactions([0, 1], [0, 1], timestamps=[7, 7])) == [None]


def test_smoothing_keeps_a_plateau_above_a_lone_peak():
    assert int(np.argmax(smoothed([0, 5, 0, 4, 4, 4]))) == 4


class World:
    """Two groups of items, and users of one group each; items 0-29 were popular long ago, items 30-59 are now."""

    def __init__(self, *, wanted, seed=0, repeats=False):
        generator = np.random.default_rng(seed)
        taste = np.arange(USERS) % 2
        items = np.concatenate([generator.choice(np.arange(ITEMS // 2), 4, replace=False) * 2 + one for one in taste])
        users = np.repeat(np.arange(USERS), 4)
        times = np.where(items < 30, generator.integers(0, DAY, len(items)), 100 * DAY)
        self.interactions = Interactions(users, items, timestamps=times, num_users=USERS, num_items=ITEMS)
        later_users, later_items = wanted(generator, taste, items.reshape(USERS, 4))
        self.split = TemporalSplit(self.interactions, later_users, later_items)
        self.windows = Windows.of(self.split)
        self.taste = taste

    def chosen(self, item_vectors, **named):
        trained = learnt(np.ones((USERS, item_vectors.shape[1])), item_vectors)
        return choose_policy(trained, self.interactions, self.windows, **named)


def of_their_taste(generator, taste, _):
    """Everybody goes on with a random item of the own group."""
    return np.arange(USERS), generator.integers(0, ITEMS // 2, USERS) * 2 + taste


def lately(generator, _taste, __):
    """Everybody takes one of three items, whoever they are."""
    return np.arange(USERS), 31 + generator.integers(0, 3, USERS)


def the_same_again(_generator, _taste, items):
    return np.arange(USERS), items[:, 0]


TRUE_VECTORS = np.stack([np.arange(ITEMS) % 2, 1 - np.arange(ITEMS) % 2], axis=1).astype(np.float32) * 5
NOISE = np.random.default_rng(5).normal(size=(ITEMS, 2)).astype(np.float32) * 5


def test_a_personal_part_that_knows_everything_is_not_drowned():
    policy = World(wanted=of_their_taste).chosen(TRUE_VECTORS)

    assert all(beta <= usual for beta, usual in zip(policy.betas, USUAL_BETAS, strict=True))
    assert policy.repeats is None


def test_a_personal_part_that_knows_nothing_is_drowned():
    policy = World(wanted=lately).chosen(NOISE)

    assert all(beta > usual for beta, usual in zip(policy.betas[2:], USUAL_BETAS[2:], strict=True))
    assert policy.half_life is not None


def test_without_evidence_everything_stays_as_usual():
    # Vectors without a direction: all fold-ins and betas give the same lists.
    policy = World(wanted=lately).chosen(np.zeros((ITEMS, 2), dtype=np.float32))

    assert policy.fold_in == FoldInSettings("whitened", USUAL_SHRINKAGE, policy.fold_in.half_life)
    assert policy.fold_in.half_life == pytest.approx(25 * DAY, rel=0.1)
    # Without popularity there is nothing at all: any beta but 0 is as good as the other.
    assert policy.betas == USUAL_BETAS


def test_items_that_come_back_are_brought_back():
    policy = World(wanted=the_same_again).chosen(TRUE_VECTORS)

    assert policy.repeats is not None
    assert policy.repeats.weight > 0


def test_windows_without_anybody_leave_everything_as_usual():
    world = World(wanted=lately)
    nobody = np.empty(0, dtype=np.int64)
    world.windows = Windows(*(each.take(nobody) for each in world.windows))

    policy = world.chosen(NOISE)

    assert policy.repeats is None
    assert policy.fold_in.kind == "whitened"
    assert policy.betas == USUAL_BETAS


def test_a_half_life_that_is_given_is_kept():
    assert World(wanted=lately).chosen(NOISE, candidates=[123.0]).half_life == 123.0


def test_giving_up_is_possible_between_batches():
    def give_up():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        World(wanted=lately).chosen(NOISE, check=give_up)


@pytest.mark.slow
def test_a_group_of_its_own_mind_gets_a_beta_of_its_own():
    # Users with one item, though they chose it 25 times, follow popularity, which is not of their taste; users with
    # four follow their own.
    generator = np.random.default_rng(3)
    count = 20 * USERS
    sizes = np.where(np.arange(count) < USERS, 1, 4)
    taste = np.where(sizes == 1, 0, np.arange(count) % 2)
    users = np.repeat(np.arange(count), sizes)
    items = generator.integers(0, ITEMS // 2, len(users)) * 2 + taste[users]
    repeated = np.repeat(np.arange(len(users)), np.where(users < USERS, 25, 1))
    crowd = np.arange(300) + count
    earlier = Interactions(
        np.concatenate([users[repeated], crowd]),
        np.concatenate([items[repeated], np.repeat([1, 3, 5], 100)]),
        timestamps=np.concatenate([repeated, np.full(300, len(users))]),
        num_users=count + 300,
        num_items=ITEMS,
    )
    own_taste = generator.integers(6, 30, count) * 2 + taste
    split = TemporalSplit(
        earlier, np.arange(count), np.where(sizes == 1, generator.choice([1, 3, 5], count), own_taste)
    )
    windows = Windows.of(split)

    trained = np.eye(2)[1 - np.concatenate([taste, np.ones(300, dtype=np.int64)])]
    policy = choose_policy(learnt(trained, 10 * TRUE_VECTORS), earlier, windows)

    assert policy.betas[0] > policy.betas[1]
    assert policy.betas[0] > policy.betas[3]


def test_unchosen_is_a_policy_with_a_beta_for_each_group():
    assert len(UNCHOSEN.betas) == 4
    assert set(UNCHOSEN.betas) <= set(BETAS)


def test_somebody_without_a_history_gets_what_is_popular(interactions):
    for policy in (Policy((1.0,) * 4), Policy((1.0,) * 4, repeats=Repeats(2.0, None))):
        fitted = FittedPolicy(policy, learnt(np.ones((2, 4)), np.eye(4)), interactions)
        for repeats in (False, True):
            scores = fitted.scores(np.array([-1, 1]), repeats=repeats)
            np.testing.assert_array_equal(scores[0], fitted.priors[0])
            np.testing.assert_array_equal(scores[1], fitted.scores(np.array([1]), repeats=repeats)[0])


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([-2], r"user number -2 is outside -1\.\.1"),
        ([2], r"user number 2 is outside"),
        ([0.0], "they must be integers"),
    ],
)
def test_users_who_are_not_there_have_no_scores(interactions, users, problem):
    fitted = FittedPolicy(Policy((1.0,) * 4), learnt(np.ones((2, 4)), np.eye(4)), interactions)

    with pytest.raises(ValueError, match=problem):
        fitted.scores(np.array(users))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"betas": (1.0,)}, "there must be 4 finite ones"),
        ({"betas": (float("nan"),) * 4}, "there must be 4 finite ones"),
        ({"half_life": -1.0}, "half_life is -1.0"),
        ({"fold_in": FoldInSettings("other")}, "kind 'other'"),
        ({"repeats": Repeats(1.0, 0.0)}, "half_life is 0.0"),
        ({"repeats": Repeats(float("inf"), None)}, "the weight of repeats is inf"),
    ],
)
def test_a_policy_that_gives_no_scores_is_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        Policy(**({"betas": (1.0,) * 4} | arguments))


def test_a_choice_does_not_depend_on_the_order_of_the_users():
    world = World(wanted=of_their_taste)
    ordered = world.chosen(TRUE_VECTORS)
    mixed = np.random.default_rng(0).permutation(len(world.windows.new_items))
    world.windows = Windows(*(each.take(mixed) for each in world.windows))

    assert world.chosen(TRUE_VECTORS).betas == ordered.betas


@pytest.mark.parametrize(
    ("sizes", "problem"), [((1, 4), "have 1 users, what was learnt has 2: give num_users"), ((2, 5), "have 5 items")]
)
def test_other_sizes_than_were_learnt_are_refused(sizes, problem):
    users, items = sizes
    other = Interactions([0], [0], num_users=users, num_items=items)
    known, nobody = learnt(np.ones((2, 4)), np.eye(4)), TemporalSplit(other, np.array([], int), np.array([], int))

    with pytest.raises(ValueError, match=problem):
        FittedPolicy(Policy((1.0,) * 4), known, other)
    with pytest.raises(ValueError, match=problem):
        choose_policy(known, other, Windows.of(nobody))


def test_ids_may_be_whole_floats_and_timestamps_must_be_numbers():
    known = learnt(np.ones((2, 4)), np.eye(4))
    floats = Interactions([0.0, 1.0], [0.0, 3.0])

    assert FittedPolicy(Policy((1.0,) * 4), known, floats).popularity.tolist() == [1, 0, 0, 1]
    for times in ([1.0, np.inf], np.array([1, 2], dtype="datetime64[s]")):
        timed = Interactions([0, 1], [0, 3], timestamps=times)
        with pytest.raises(ValueError, match="timestamp"):
            FittedPolicy(Policy((1.0,) * 4), known, timed)
