from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from model.factorization.representations import BilinearNet
from model.solvers.optimizers import ROWS_AT_ONCE, RowAdam, default_optimizer


def batches(count: int, rows: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, rows, (7,), generator=generator) for _ in range(count)]


def train(table: nn.Embedding, optimizer: torch.optim.Optimizer, ids_of_steps: list[torch.Tensor]) -> None:
    for ids in ids_of_steps:
        optimizer.zero_grad()
        table(ids).sin().sum().backward()
        optimizer.step()


def test_dense_nets_get_torchs_adam_with_l2_as_weight_decay() -> None:
    optimizer = default_optimizer(BilinearNet(3, 4), learning_rate=0.3, l2=0.2)
    assert type(optimizer) is torch.optim.Adam
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"], group["eps"]) == (0.3, 0.2, (0.9, 0.999), 1e-8)
    assert len(group["params"]) == 4


def test_one_sparse_layer_is_enough_for_row_adam() -> None:
    net = BilinearNet(3, 4, 2, user_embedding_layer=nn.Embedding(3, 2, sparse=True))
    optimizer = default_optimizer(net, learning_rate=0.3, l2=0.2)
    assert isinstance(optimizer, RowAdam)
    before = copy.deepcopy(net.state_dict())
    net(torch.tensor([1, 1]), torch.tensor([0, 2])).sum().backward()
    optimizer.step()
    assert all(not torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_row_adam_agrees_with_torchs_sparse_adam() -> None:
    ours = nn.Embedding(5, 3, sparse=True)
    theirs = copy.deepcopy(ours)
    steps = batches(20, 5, seed=1)
    train(ours, RowAdam(ours.parameters(), lr=0.05), steps)
    train(theirs, torch.optim.SparseAdam(theirs.parameters(), lr=0.05), steps)
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_row_adam_takes_many_rows_in_parts() -> None:
    rows = 2 * ROWS_AT_ONCE + 3
    ours = nn.Embedding(rows, 2, sparse=True)
    theirs = nn.Embedding(rows, 2, _weight=ours.weight.detach().clone())
    steps = [torch.randperm(rows, generator=torch.Generator().manual_seed(step)) for step in range(3)]
    train(ours, RowAdam(ours.parameters(), lr=0.05), steps)
    train(theirs, torch.optim.Adam(theirs.parameters(), lr=0.05), steps)
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("sparse", [False, True])
def test_row_adam_is_adam_with_weight_decay_where_every_row_is_touched(sparse: bool) -> None:
    ours = nn.Embedding(5, 3, sparse=sparse)
    theirs = nn.Embedding(5, 3, _weight=ours.weight.detach().clone())
    steps = [torch.tensor([4, 3, 2, 1, 0, 0, 2])] * 20
    train(ours, RowAdam(ours.parameters(), lr=0.05, weight_decay=0.1), steps)
    train(theirs, torch.optim.Adam(theirs.parameters(), lr=0.05, weight_decay=0.1), steps)
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_row_adam_leaves_rows_outside_the_batch_alone() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    before = table.weight.detach().clone()
    train(table, RowAdam(table.parameters(), lr=0.05, weight_decay=0.1), [torch.tensor([1, 3, 3])] * 3)
    changed = (table.weight != before).any(dim=1)
    assert changed.tolist() == [False, True, False, True, False]


def test_row_adam_state_can_be_saved_and_loaded() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    optimizer = RowAdam(table.parameters(), lr=0.05)
    train(table, optimizer, batches(5, 5, seed=2))
    twin = copy.deepcopy(table)
    restored = RowAdam(twin.parameters(), lr=0.9)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(table, optimizer, batches(5, 5, seed=3))
    train(twin, restored, batches(5, 5, seed=3))
    assert torch.equal(table.weight, twin.weight)


def test_row_adam_returns_what_its_closure_returns() -> None:
    table = nn.Embedding(2, 2)
    optimizer = RowAdam(table.parameters(), lr=0.05)

    def closure() -> float:
        loss = table.weight.sum()
        torch.autograd.backward(loss)
        return loss.item()

    before = table.weight.detach().clone()
    assert optimizer.step(closure) == pytest.approx(before.sum().item())
    assert not torch.equal(table.weight, before)
