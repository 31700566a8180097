"""How a rival's settings are chosen, and what strangers are given."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bench.methods import for_everyone
from bench.rivals import Family, in_words, left_out, smoothed, spans, tuned, tuned_rivals
from model import Interactions
from model.evaluation import temporal_split


class Favourite:
    """Gives everybody the same item first."""

    def __init__(self, interactions, *, item):
        self.scores_of_items = np.zeros(interactions.num_items, dtype=np.float32)
        self.scores_of_items[item] = 1

    def scores(self, user_numbers):
        return np.tile(self.scores_of_items, (len(user_numbers), 1))


def log():
    """Everybody starts with an item of their own and ends with item 0 and then item 1, again and again."""
    rows = [(user, 2 + user, 0) for user in range(30)]
    rows += [(user, 0, 100 + user) for user in range(29)]
    rows += [(user, 1, 200 + user) for user in range(29)]
    rows += [(user, 1, 300 + user) for user in range(29)]
    rows += [(29, 0, 400), (29, 1, 401)]
    users, items, times = zip(*rows, strict=True)
    return Interactions(users, items, timestamps=times)


def test_settings_are_chosen_on_the_window_before_for_each_protocol_apart():
    earlier = log()
    before = temporal_split(earlier, fractions=[0.26])
    family = Family("favourite", Favourite, [{"item": 0}, {"item": 1}])

    found = tuned(family, before, earlier)

    # After the inner cut one user takes items 0 and 1 for the first time; all others take item 1 once more.
    assert found[False].settings == "item=0"
    assert found[True].settings == "item=1"
    assert found[True].scores(np.array([7])).argmax() == 1


def test_among_ordered_settings_a_lone_peak_is_not_chosen():
    assert smoothed([0.1, 0.1, 0.5, 0.1, 0.4, 0.41, 0.4]).argmax() == 5
    assert smoothed([3.0]).tolist() == [3]


def test_strangers_get_what_is_popular_and_nobody_else_does():
    scores = for_everyone(lambda users: np.eye(3)[users], np.array([5.0, 6.0, 7.0]))

    assert scores(np.array([2, -1, 0])).tolist() == [[0, 0, 1], [5, 6, 7], [1, 0, 0]]
    assert scores(np.array([-1])).tolist() == [[5, 6, 7]]


def test_half_lives_are_shares_of_the_time_the_rows_span():
    assert spans(Interactions([0, 0], [0, 1], timestamps=[0, 64]), (0.5, 0.25)) == [
        {"half_life": None},
        {"half_life": 32.0},
        {"half_life": 16.0},
    ]
    assert spans(Interactions([0], [0], timestamps=[5]), (0.5,)) == [{"half_life": None}]


def test_settings_read_as_words():
    assert in_words({"half_life": 86_400.0, "alpha": 10.0}) == "half_life=1.0 d, alpha=10"
    assert in_words({"half_life": None}) == "half_life=none"


def test_a_rival_that_cannot_be_fitted_is_left_out_with_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit", None)

    reasons = left_out(Interactions([0], [0], num_items=10**6))
    judged = [found[False].label for found in tuned_rivals(log())]

    assert reasons["EASE"] == "1,000,000 items are more than its limit of 20,000"
    assert "implicit is not installed" in reasons["iALS"]
    assert judged == ["popular lately", "popular ever", "own repeats", "item-kNN", "EASE"]
    with pytest.raises(SystemExit, match="iALS: the package implicit is not installed"):
        list(tuned_rivals(log(), wanted=["iALS"]))


def test_popularity_is_always_judged():
    assert [found[True].label for found in tuned_rivals(log(), wanted=["own repeats"])] == [
        "popular lately",
        "own repeats",
    ]
