"""What holds for every loss of both models: the escape hatches, all forms of asking, and that something is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from model import BilinearNet, ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions
from model.evaluation import mrr_score
from model.factorization.base import FactorizationModel
from model.losses import LOSSES, RATING_LOSSES

EVERY_LOSS = [*LOSSES, *(f"explicit {loss}" for loss in RATING_LOSSES)]
USERS, ITEMS = 9, 13


def some_interactions(count: int = 70) -> Interactions:
    drawn = np.random.RandomState(0)
    return Interactions(
        drawn.randint(0, USERS, count),
        drawn.randint(0, ITEMS, count),
        ratings=drawn.randint(0, 2, count),
        num_users=USERS,
        num_items=ITEMS,
    )


def made(loss: str, **settings: Any) -> FactorizationModel[Any]:
    arguments: dict[str, Any] = {"n_iter": 2, "batch_size": 16, "embedding_dim": 4, "random_state": 3} | settings
    if loss.startswith("explicit "):
        return ExplicitFactorizationModel(loss=loss.removeprefix("explicit "), **arguments)
    return ImplicitFactorizationModel(loss=loss, **arguments)


def fitted(loss: str, **settings: Any) -> FactorizationModel[Any]:
    model = made(loss, **settings)
    model.fit(some_interactions())
    return model


def assert_same_bits(left: FactorizationModel[Any], right: FactorizationModel[Any]) -> None:
    for ours, theirs in zip(left._fitted().parameters(), right._fitted().parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert left.loss_history == right.loss_history


def default_net(seed: int, embedding_dim: int = 4, *, sparse: bool = False) -> BilinearNet:
    """The net a model with this seed starts from."""
    drawn = int(np.random.RandomState(seed).randint(-(10**8), 10**8))
    generator = torch.Generator().manual_seed(drawn)
    return BilinearNet(USERS, ITEMS, embedding_dim, sparse=sparse, generator=generator)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_the_default_net_given_as_a_representation_trains_the_same_bits(loss: str, sparse: bool) -> None:
    net = default_net(3, sparse=sparse)
    model = fitted(loss, representation=net)
    assert model._fitted() is net
    assert_same_bits(model, fitted(loss, sparse=sparse))


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_the_default_optimizer_given_as_a_function_trains_the_same_bits(loss: str) -> None:
    def adam(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=0.02, weight_decay=1e-3, fused=True)

    model = fitted(loss, optimizer_func=adam, learning_rate=7.0, l2=7.0)
    assert_same_bits(model, fitted(loss, learning_rate=0.02, l2=1e-3))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_with_a_representation_and_an_optimizer_of_ones_own_two_fits_equal_one_of_both(loss: str, sparse: bool) -> None:
    def own(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SparseAdam(parameters) if sparse else torch.optim.Adagrad(parameters, lr=0.1)

    whole, halves = (
        made(loss, n_iter=n_iter, representation=default_net(1, sparse=sparse), optimizer_func=own) for n_iter in (4, 2)
    )
    whole.fit(some_interactions())
    halves.fit(some_interactions())
    halves.predict(0)
    halves.fit(some_interactions())
    assert_same_bits(halves, whole)


# 33 is one more than what the vector units of any processor take at once.
@pytest.mark.parametrize("embedding_dim", [1, 4, 33])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_every_form_of_asking_gives_a_pair_the_same_bits(loss: str, sparse: bool, embedding_dim: int) -> None:
    model = fitted(loss, sparse=sparse, embedding_dim=embedding_dim, n_iter=1)
    scores = np.stack([model.predict(user) for user in range(USERS)])
    users, items = (grid.ravel() for grid in np.mgrid[:USERS, :ITEMS])
    assert np.array_equal(model.predict(users, items), scores.ravel())
    assert np.array_equal(model.predict(users[::-1].tolist(), items[::-1].tolist()), scores.ravel()[::-1])
    assert np.array_equal(model.predict(np.array([2]), [5, 5, 0]), scores[2, [5, 5, 0]])
    for user, item in ((0, 0), (USERS - 1, ITEMS - 1), (4, 7)):
        assert model.predict(user, item)[0] == model.predict([user], [item])[0] == scores[user, item]


def circles() -> tuple[Interactions, Interactions]:
    """Five circles of eight users, who choose among their circle's ten items; three choices of each are held back."""
    drawn = np.random.RandomState(0)
    rows = [(user, user // 8 * 10 + item) for user in range(40) for item in drawn.permutation(10)]
    users, items = np.array(rows).reshape(40, 10, 2).transpose(2, 0, 1)
    train, test = (
        Interactions(users[:, part].ravel(), items[:, part].ravel(), num_users=40, num_items=50)
        for part in (slice(0, 7), slice(7, 10))
    )
    return train, test


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_held_back_items_are_ranked_far_above_where_an_untrained_model_has_them(loss: str, sparse: bool) -> None:
    train, test = circles()
    settings: dict[str, Any] = {
        "embedding_dim": 8, "batch_size": 32, "learning_rate": 0.03, "sparse": sparse, "random_state": 1,
    }  # fmt: skip
    untrained, trained = (ImplicitFactorizationModel(loss=loss, n_iter=n_iter, **settings) for n_iter in (0, 20))
    for model in (untrained, trained):
        model.fit(train)
    # The best there is: ranks 1, 2 and 3, a mean of 0.61. Chance is about 0.09.
    assert mrr_score(untrained, test, train).mean() < 0.15
    assert mrr_score(trained, test, train).mean() > 0.45
