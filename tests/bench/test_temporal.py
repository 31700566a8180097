"""The tables of the comparison."""

from __future__ import annotations

import numpy as np
import pytest

from bench.methods import Method
from bench.temporal import Sheet, mean
from model import Interactions
from model.evaluation import TemporalSplit


@pytest.fixture
def sheet():
    # User 0 has one row before the cut, user 1 has four, user 2 is a stranger; everybody then takes item 3 or 4.
    earlier = Interactions([0, 1, 1, 1, 1], [0, 0, 1, 2, 3], num_items=4)
    split = TemporalSplit(earlier, np.array([0, 1, 2]), np.array([3, 4, 3]))
    judged = Sheet(split, repeats=False)
    judged.judge(Method("right", lambda users: np.tile([0.0, 0, 0, 1], (len(users), 1)), "none"))
    judged.judge(Method("wrong", lambda users: np.zeros((len(users), 4))))
    return judged


def test_a_line_tells_warm_users_from_all_traffic_and_by_history(sheet):
    lines = list(sheet.lines())

    assert "2 warm users, 1 strangers" in lines[0]
    assert "N@20, history 1 (1) | N@20, history 2 (0) | N@20, history 3-4 (1)" in lines[1]
    cells = ["right", "0.5000", "0.5000", "0.6667", "0.6667", "1.0000", "–", "0.0000", "–", "–", "none"]
    assert lines[3] == "| " + " | ".join(cells) + " |"


def test_a_policy_is_compared_with_the_best_rival(sheet):
    sheet.judge(Method("policy", lambda users: np.tile([0.0, 0, 0, 1], (len(users), 1))))

    lines = list(sheet.gains(["policy"], ["wrong", "right"], seed=1))

    assert lines[0] == "- warm: policy - right: +0.0000 (+0.0000 to +0.0000)"
    assert lines[1].startswith("- all: policy - right")


def test_without_users_who_have_a_history_only_all_traffic_is_compared():
    everyone_new = TemporalSplit(Interactions([0], [0], num_items=2), np.array([1]), np.array([1]))
    judged = Sheet(everyone_new, repeats=False)
    judged.judge(Method("rival", lambda users: np.zeros((len(users), 2))))

    assert [line[:6] for line in judged.gains(["rival"], ["rival"], seed=1)] == ["- all:"]


def test_the_mean_of_nobody_is_a_dash():
    assert mean(np.array([])) == "–"
    assert mean(np.array([0.25, 0.5])) == "0.3750"
