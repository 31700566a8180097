"""Types of events: their numbers, and what the rule and a version's weights say of each."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.seen import EventTypes, SeenRule
from tests.app.published import served_policy


def test_without_types_and_days_a_rule_sees_everything() -> None:
    assert SeenRule().sees_everything
    assert SeenRule(hidden_types=frozenset({"dislike"})).sees_everything
    assert not SeenRule(days=7).sees_everything
    assert not SeenRule(event_types=frozenset({"view"})).sees_everything


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        (SeenRule(), {"view", "buy", "dislike"}),
        (SeenRule(event_types=frozenset({"buy"})), {"buy"}),
        (SeenRule(event_types=frozenset({"buy"}), hidden_types=frozenset({"dislike"})), {"buy", "dislike"}),
        (SeenRule(event_types=frozenset()), set()),
    ],
)
def test_a_rule_sees_its_types_and_those_that_hide(rule: SeenRule, seen: set[str]) -> None:
    names = ("view", "buy", "dislike")
    assert {name for name in names if rule.sees(name)} == seen
    types = EventTypes(rule)
    numbers = types.numbers(names)
    assert {name for name, number in zip(names, numbers, strict=True) if types.sees[number]} == seen


def test_a_number_that_is_out_never_changes() -> None:
    types = EventTypes(SeenRule(hidden_types=frozenset({"dislike"})))
    assert types.numbers(["view", "buy", "view"]) == [0, 1, 0]
    assert (types.number("dislike"), types.number("view"), types.number("buy")) == (2, 0, 1)
    assert types.names == ["view", "buy", "dislike"]
    assert types.hides.tolist() == [False, False, True]


def test_whoever_has_a_number_finds_its_flags_also_in_what_was_taken_before() -> None:
    types = EventTypes(SeenRule())
    types.number("view")
    before = (types.sees, types.hides)
    types.number("buy")
    assert [len(flags) for flags in before] == [1, 1]
    assert (len(types.sees), len(types.hides)) == (2, 2)


def test_weights_are_those_of_the_version_and_of_every_type_so_far() -> None:
    types = EventTypes(SeenRule())
    types.numbers(["view", "buy"])
    weights = served_policy(event_weights={"buy": 3.0, "dislike": "hide"}, value_caps={"buy": 9.0})
    first = types.weights(weights)
    assert (first.factors.tolist(), first.hides.tolist()) == ([1.0, 3.0], [False, False])
    assert types.weights(weights) is first
    types.number("dislike")
    assert types.weights(weights).hides.tolist() == [False, False, True]
    assert first.caps.tolist() == [np.inf, 9.0]
    assert types.weights(served_policy(event_weights={"view": 2.0})).factors.tolist() == [2.0, 1.0, 1.0]
    assert types.weights(weights).factors.tolist() == [1.0, 3.0, 0.0]
