from __future__ import annotations

import numpy as np
import pytest
import torch

from model.solvers.user_means import ItemsOfUsers, Means, means_of_all

# Users 0 to 3; user 1 has nothing.
INDPTR = torch.tensor([0, 3, 3, 4, 9])
ITEMS = torch.tensor([5, 0, 2, 2, 1, 5, 3, 0, 6])
VECTORS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


def test_the_items_of_users_stand_one_after_another() -> None:
    found = ItemsOfUsers.of(torch.tensor([3, 1, 0]), INDPTR)
    assert found.places.tolist() == [4, 5, 6, 7, 8, 0, 1, 2]
    assert found.users.tolist() == [0, 0, 0, 0, 0, 2, 2, 2]


def test_marked_places_are_left_out() -> None:
    marked = torch.zeros(9, dtype=torch.bool)
    marked[[0, 1, 2, 6]] = True
    found = ItemsOfUsers.of(torch.tensor([3, 1, 0]), INDPTR).without(marked)
    assert found.places.tolist() == [4, 5, 7, 8]
    assert found.users.tolist() == [0, 0, 0, 0]


def test_a_mean_and_its_gradient_are_those_of_a_plain_loop() -> None:
    some = ItemsOfUsers.of(torch.tensor([3, 1, 0, 2]), INDPTR)
    means = Means.over(ITEMS[some.places], some.users, count=some.count)
    picked = VECTORS[means.items].requires_grad_()
    place = {item: place for place, item in enumerate(means.items.tolist())}
    expected = torch.stack(
        [
            picked[[place[item] for item in ITEMS[INDPTR[user] : INDPTR[user + 1]].tolist()]].mean(0)
            if INDPTR[user] < INDPTR[user + 1]
            else torch.zeros(3)
            for user in (3, 1, 0, 2)
        ]
    )
    torch.testing.assert_close(means.forward(picked.detach()), expected)
    gradient = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    (expected * gradient).sum().backward()
    torch.testing.assert_close(means.backward(gradient), picked.grad)


def test_users_without_items_have_a_mean_of_zero() -> None:
    some = ItemsOfUsers.of(torch.tensor([1, 1]), INDPTR)
    means = Means.over(ITEMS[some.places], some.users, count=some.count)
    assert torch.equal(means.forward(VECTORS[means.items]), torch.zeros(2, 3))
    assert means.backward(torch.ones(2, 3)).shape == (0, 3)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_the_means_of_all_do_not_depend_on_how_many_are_computed_at_once(at_once: int) -> None:
    found = means_of_all(VECTORS, ITEMS, INDPTR, at_once=at_once)
    for user in range(4):
        mine = ITEMS[INDPTR[user] : INDPTR[user + 1]]
        expected = VECTORS[mine].mean(0) if len(mine) else torch.zeros(3)
        np.testing.assert_allclose(found[user], expected, rtol=1e-6)
