"""Which users a comparison of folding in leaves out, and what it asks for."""

from __future__ import annotations

import numpy as np
import pytest

from app.training.config import TrainingConfig
from bench.fold_in import compared, fitted, task
from model import Interactions


@pytest.fixture
def interactions():
    # Two groups of users who share no item.
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(80), 10)
    return Interactions(users, generator.integers(0, 20, len(users)) * 2 + users % 2, num_users=80, num_items=40)


def test_the_two_groups_of_a_draw_are_apart_and_have_both_a_history_and_something_to_find(interactions):
    found = task(interactions, draws=3, most_users=5)

    assert len(found.groups) == 3
    for chosen_by, judged in found.groups:
        assert len(chosen_by) == len(judged) == 5
        assert not set(chosen_by.tolist()) & set(judged.tolist())
        assert np.isin(np.concatenate([chosen_by, judged]), found.window.users).all()
    history = set(zip(found.history.user_ids.tolist(), found.history.item_ids.tolist(), strict=True))
    for user, relevant in zip(found.window.users.tolist(), found.window.relevant, strict=True):
        assert not {(user, item) for item in relevant.tolist()} & history


@pytest.mark.slow
def test_users_of_a_clear_taste_are_folded_in_as_well_as_they_are_trained(interactions):
    found, config = task(interactions, draws=1, most_users=8), TrainingConfig(embedding_dim=4, n_iter=60)

    alone, popular, _ = compared(found, fitted(found.history, config), 0, config)

    assert 0.8 < alone < 1.6
    assert 0.8 < popular < 1.6


def test_too_few_users_to_leave_a_tenth_out_are_refused():
    users = np.repeat(np.arange(9), 40)
    few = Interactions(users, np.tile(np.arange(40), 9))

    with pytest.raises(ValueError, match="9 users have items"):
        task(few, draws=1, most_users=5)
