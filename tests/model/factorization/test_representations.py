from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model import ImplicitFactorizationModel, Interactions
from model.factorization.representations import BilinearNet


class WithAxis(nn.Module):
    """An embedding of shape (B, 1, D), as layers for bags of ids return it."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table[ids.reshape(-1)].unsqueeze(1)


def random_net(embedding_dim: int = 4) -> BilinearNet:
    net = BilinearNet(6, 9, embedding_dim, generator=torch.Generator().manual_seed(0))
    nn.init.normal_(net.user_biases.weight)
    nn.init.normal_(net.item_biases.weight)
    return net


@pytest.mark.parametrize("embedding_dim", [1, 4])
@pytest.mark.parametrize("count", [1, 5])
def test_a_score_is_the_dot_product_plus_both_biases(embedding_dim: int, count: int) -> None:
    net = random_net(embedding_dim)
    P, Q, b, c = (parameter.detach().numpy().astype(np.float64) for parameter in net.parameters())
    users, items = np.arange(count) % 6, (np.arange(count) * 2) % 9
    expected = [
        sum(P[u, d] * Q[i, d] for d in range(embedding_dim)) + b[u, 0] + c[i, 0]
        for u, i in zip(users, items, strict=True)
    ]
    scores = net(torch.tensor(users), torch.tensor(items))
    assert scores.shape == (count,)
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_parameters_come_in_a_fixed_order_with_fixed_shapes() -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in BilinearNet(6, 9).named_parameters()}
    assert list(shapes.items()) == [
        ("user_embeddings.weight", (6, 32)),
        ("item_embeddings.weight", (9, 32)),
        ("user_biases.weight", (6, 1)),
        ("item_biases.weight", (9, 1)),
    ]
    assert all(parameter.dtype == torch.float32 for parameter in BilinearNet(6, 9).parameters())


def test_users_are_drawn_before_items_and_biases_are_zero() -> None:
    net = BilinearNet(6, 9, 4, generator=torch.Generator().manual_seed(8))
    P, Q, _, _ = net.parameters()
    generator = torch.Generator().manual_seed(8)
    assert torch.equal(P, torch.empty(6, 4).normal_(0, 0.25, generator=generator))
    assert torch.equal(Q, torch.empty(9, 4).normal_(0, 0.25, generator=generator))
    assert not net.user_biases.weight.any()
    assert not net.item_biases.weight.any()


def test_ids_may_be_a_column() -> None:
    net = random_net()
    users, items = torch.tensor([0, 5, 2]), torch.tensor([8, 1, 1])
    assert torch.equal(net(users[:, None], items[:, None]), net(users, items))


def test_a_given_layer_replaces_only_the_embedding() -> None:
    net = random_net()
    table = net.get_parameter("item_embeddings.weight")
    layer = WithAxis(table.detach().clone())
    other = BilinearNet(6, 9, 4, item_embedding_layer=layer)
    assert other.item_embeddings is layer
    other.load_state_dict(net.state_dict(), strict=False)
    users, items = torch.tensor([0, 5, 2]), torch.tensor([8, 1, 1])
    assert torch.equal(other(users, items), net(users, items))
    assert other.item_biases.weight.shape == (9, 1)


def test_a_layer_that_returns_several_vectors_for_an_id_is_refused() -> None:
    net = BilinearNet(6, 9, 4, user_embedding_layer=nn.Sequential(nn.Embedding(6, 8), nn.Unflatten(1, (2, 4))))
    with pytest.raises(ValueError, match=r"returned shape \(1, 2, 4\), it must be \(B, D\) or \(B, 1, D\)"):
        net(torch.tensor([0]), torch.tensor([0]))


@pytest.mark.parametrize(("users", "items", "problem"), [(5, 4, "5 users, the interactions have 6"), (6, 3, "3 items")])
def test_a_net_that_is_too_small_is_refused_before_anything_has_changed(users: int, items: int, problem: str) -> None:
    model = ImplicitFactorizationModel(representation=BilinearNet(users, items, 2), n_iter=1, random_state=1)
    with pytest.raises(ValueError, match=f"the representation has {problem}"):
        model.fit(Interactions([0, 5], [0, 3]))
    model.fit(Interactions([0, 4], [0, 2]))
    assert np.isfinite(model.predict(0)).all()


def test_a_table_that_is_called_as_what_other_nets_compute_is_no_method() -> None:
    class Own(BilinearNet):
        def __init__(self) -> None:
            super().__init__(2, 2, 3)
            self.user_vectors = self.user_embeddings

    model = ImplicitFactorizationModel(representation=Own(), n_iter=1, random_state=1)
    model.fit(Interactions([0, 1], [0, 1]))
    assert model.user_vectors.shape == (2, 3)


def test_sparse_reaches_all_four_tables() -> None:
    net = BilinearNet(6, 9, 4, sparse=True)
    net(torch.tensor([1]), torch.tensor([2])).sum().backward()
    assert [parameter.grad is not None and parameter.grad.is_sparse for parameter in net.parameters()] == [True] * 4
