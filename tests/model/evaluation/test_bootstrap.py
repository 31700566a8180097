from __future__ import annotations

import numpy as np
import pytest

from model.evaluation import bootstrap_interval


def test_the_interval_repeats_with_its_seed_and_equals_a_plain_loop():
    generator = np.random.default_rng(0)
    ours, theirs = generator.random(30), generator.random(30)

    interval = bootstrap_interval(ours, theirs, generator=np.random.default_rng(4), samples=200, level=0.9)

    draws = np.random.default_rng(4)
    means = [np.mean((ours - theirs)[draws.integers(30, size=30)]) for _ in range(200)]
    assert interval.mean == pytest.approx(np.mean(ours - theirs))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        ours, theirs = generator.normal(0.3, 1, 60), generator.normal(0.1, 1, 60)
        interval = bootstrap_interval(ours, theirs, generator=generator, samples=300, level=0.9)
        held += interval.low <= 0.2 <= interval.high

    # 90 % of 300 is 270, with a standard deviation of 5.2; the percentile interval runs a little narrow.
    assert 250 <= held <= 286


def test_users_are_paired():
    # Every user gains the same, so there is nothing to be unsure of although users differ widely.
    theirs = np.random.default_rng(0).random(50)

    interval = bootstrap_interval(theirs + 0.125, theirs, generator=np.random.default_rng(0))

    assert interval == pytest.approx((0.125, 0.125, 0.125))


@pytest.mark.parametrize(("ours", "theirs"), [(np.zeros(2), np.zeros(3)), (np.zeros(0), np.zeros(0))])
def test_metrics_that_cannot_be_compared_are_refused(ours, theirs):
    with pytest.raises(ValueError, match="cannot be compared"):
        bootstrap_interval(ours, theirs, generator=np.random.default_rng(0))


@pytest.mark.parametrize(("wrong", "problem"), [({"samples": 0}, "samples is 0"), ({"level": -1.0}, "level is -1.0")])
def test_an_interval_of_nothing_is_refused(wrong, problem):
    with pytest.raises(ValueError, match=problem):
        bootstrap_interval(np.ones(2), np.zeros(2), generator=np.random.default_rng(0), **wrong)
