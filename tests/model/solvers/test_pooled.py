"""The pooled solver beside a plain reference: the same loss, pair by pair, differentiated by torch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.evaluation import ItemsByUser
from model.factorization.representations import SoftmaxNet
from model.sampling import UniformNegatives, sample_items
from model.solvers import pooled
from model.solvers.blocks import Blocks
from model.solvers.optimizers import RowAdam
from model.solvers.settings import PooledSoftmax
from model.solvers.task import FitTask

USERS, ITEMS, DIM = 5, 11, 4


def epoch_seed(random_state: int) -> int:
    """What the first epoch's own generators are seeded with."""
    return int(sample_items(pooled.SEEDS, 1, np.random.RandomState(random_state))[0])


class Recorder(RowAdam):
    """Adds up the gradients it is given and changes nothing."""

    def __init__(self, net: SoftmaxNet) -> None:
        super().__init__(net.parameters(), lr=1.0)
        self.gradients = {id(parameter): torch.zeros_like(parameter) for parameter in net.parameters()}

    def update_rows(self, parameter: Tensor, rows: Tensor, gradient: Tensor, *, step_size: float = 1.0) -> None:
        assert not gradient.requires_grad, "a graph would keep every batch of the epoch in memory"
        assert len(torch.unique(rows)) == len(rows), "a row must come once: later ones would overwrite it"
        self.gradients[id(parameter)][rows] += gradient


def pairs() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    drawn = np.random.RandomState(1)
    users, items = np.divmod(drawn.choice((USERS - 1) * ITEMS, 24, replace=False), ITEMS)
    # One user has nothing.
    return users.astype(np.int64), items.astype(np.int64)


def task(weights: np.ndarray[Any, Any] | None = None, *, n_iter: int = 1, batch_size: int = 100) -> FitTask:
    users, items = pairs()
    known = ItemsByUser.from_pairs(users, items, num_users=USERS)
    return FitTask(users, items, weights, UniformNegatives(ITEMS), "softmax", n_iter, batch_size, 1, known)


def net(settings: PooledSoftmax) -> SoftmaxNet:
    made = SoftmaxNet(
        USERS,
        ITEMS,
        DIM,
        similarity=settings.similarity,
        temperature=settings.temperature,
        item_bias=settings.item_bias,
        history=settings.history,
        generator=torch.Generator().manual_seed(4),
    )
    if made.item_biases is not None:
        torch.nn.init.normal_(made.item_biases.weight, generator=torch.Generator().manual_seed(5))
    return made


def reference_loss(
    net: SoftmaxNet, settings: PooledSoftmax, pool: list[int], weights: np.ndarray[Any, Any] | None
) -> Tensor:
    """Sum over the interactions of w * (t * log(I / K * sum of exp(s of the negatives)) - s of the item)."""
    users, items = pairs()
    scaled = np.ones(len(users)) if weights is None else weights / weights.mean()
    total = torch.zeros(())
    for user, item, scale in zip(users.tolist(), items.tolist(), scaled.tolist(), strict=True):
        weight = torch.tensor(scale)
        known = set(items[users == user].tolist())
        negatives = [other for other in pool if other not in known]
        if not negatives:
            continue
        of_user = torch.full((len(negatives),), user)
        against = net(of_user, torch.tensor(negatives))
        own = net(torch.tensor([user]), torch.tensor([item]))[0]
        if settings.top_k is not None:
            place = max(1, round(settings.top_k * len(pool) / ITEMS))
            weight = weight * torch.sigmoid(own - against.sort(descending=True).values[place - 1]).detach()
        total = total + weight * (settings.negative_weight * (math.log(ITEMS / len(pool)) + against.logsumexp(0)) - own)
    return total


VARIANTS = [
    {"similarity": similarity, "item_bias": item_bias, "negative_weight": negative_weight, "top_k": top_k}
    for similarity, item_bias, negative_weight, top_k in itertools.product(
        ("cosine", "dot"), (False, True), (1.0, 1.3), (None, 2)
    )
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pool_size", [ITEMS, 5, 1])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_loss_and_gradients_are_those_of_the_plain_reference(
    variant: dict[str, Any], pool_size: int, weighted: bool
) -> None:
    settings = PooledSoftmax(**variant, temperature=0.4, pool_size=pool_size, dropout=0.0, block=3)
    weights = np.linspace(0.2, 1.0, 24).astype(np.float32) if weighted else None
    ours, recorded = net(settings), None
    recorded = Recorder(ours)
    (loss,) = pooled.epochs(task(weights), ours, recorded, settings, random_source=np.random.RandomState(7))

    theirs = net(settings)
    seed = epoch_seed(7)
    drawn = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(seed))[:pool_size].tolist()
    expected = reference_loss(theirs, settings, drawn if pool_size < ITEMS else list(range(ITEMS)), weights)
    expected.backward()
    assert loss == pytest.approx(expected.item() / 24, rel=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert other.grad is not None
        # A step divides by the batch size.
        torch.testing.assert_close(recorded.gradients[id(mine)] * 100, other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_user_s_mean_is_over_the_items_that_the_batch_is_not_to_find(similarity: Any) -> None:
    settings = PooledSoftmax(similarity=similarity, temperature=0.4, dropout=0.0, block=3, history=1.5)
    batch_size = 7
    ours = net(settings)
    recorded = Recorder(ours)
    source = np.random.RandomState(7)
    (loss,) = pooled.epochs(task(batch_size=batch_size), ours, recorded, settings, random_source=source)

    theirs = net(settings)
    users, items = pairs()
    blocks = Blocks(users, items, num_users=USERS, block=3, halves=True)
    generator = np.random.default_rng(epoch_seed(7))
    q = theirs.compared(theirs.item_embeddings.weight)
    expected = torch.zeros(())
    for batch_users, places in blocks.shuffled(generator, batch_size):
        observed = set(zip(batch_users.tolist(), blocks.items[places].tolist(), strict=True))
        for user, item in observed:
            known = items[users == user].tolist()
            others = [other for other in known if (user, other) not in observed]
            mean = q[others].mean(0) if others else torch.zeros(DIM)
            own = theirs.compared((theirs.user_embeddings.weight[user] + 1.5 * mean)[None])[0]
            logits = q @ own / 0.4
            negatives = [other for other in range(ITEMS) if other not in known]
            expected = expected + logits[negatives].logsumexp(0) - logits[item]
    expected.backward()
    assert loss == pytest.approx(expected.item() / 24, rel=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert other.grad is not None
        torch.testing.assert_close(recorded.gradients[id(mine)] * batch_size, other.grad, rtol=1e-4, atol=1e-5)


def test_after_an_epoch_the_means_are_over_all_items_of_a_user() -> None:
    settings = PooledSoftmax(history=2.0, dropout=0.0)
    made = net(settings)
    list(pooled.epochs(task(), made, RowAdam(made.parameters()), settings, random_source=np.random.RandomState(0)))
    users, items = pairs()
    q = made.compared(made.item_embeddings.weight.detach())
    assert made.user_means is not None
    for user in range(USERS):
        mine = items[users == user]
        expected = q[mine].mean(0) if len(mine) else torch.zeros(DIM)
        torch.testing.assert_close(made.user_means[user], expected)


def test_batches_together_have_the_gradient_of_the_whole() -> None:
    settings = PooledSoftmax(dropout=0.0, block=2)
    whole, parts = net(settings), net(settings)
    in_one, in_many = Recorder(whole), Recorder(parts)
    source = np.random.RandomState
    list(pooled.epochs(task(batch_size=24), whole, in_one, settings, random_source=source(0)))
    list(pooled.epochs(task(batch_size=5), parts, in_many, settings, random_source=source(0)))
    for one, many in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(in_many.gradients[id(many)] * 5, in_one.gradients[id(one)] * 24)


def test_dropout_leaves_the_gradient_right_on_average() -> None:
    settings, plain = PooledSoftmax(dropout=0.3, temperature=5.0), PooledSoftmax(dropout=0.0, temperature=5.0)
    dropped, kept = net(settings), net(plain)
    with_dropout, without = Recorder(dropped), Recorder(kept)
    rounds = 400
    list(pooled.epochs(task(n_iter=rounds), dropped, with_dropout, settings, random_source=np.random.RandomState(0)))
    list(pooled.epochs(task(), kept, without, plain, random_source=np.random.RandomState(0)))
    mean = with_dropout.gradients[id(dropped.item_embeddings.weight)] / rounds
    expected = without.gradients[id(kept.item_embeddings.weight)]
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.15 * float(expected.abs().max()))
    assert not torch.equal(mean, expected)


def test_the_step_size_falls_along_half_a_cosine() -> None:
    settings = PooledSoftmax(dropout=0.0)
    sizes: list[float] = []

    class Sizes(Recorder):
        def update_rows(self, parameter: Tensor, rows: Tensor, gradient: Tensor, *, step_size: float = 1.0) -> None:
            if parameter is self.param_groups[0]["params"][0]:
                sizes.append(step_size)

    made = net(settings)
    list(
        pooled.epochs(task(n_iter=3, batch_size=8), made, Sizes(made), settings, random_source=np.random.RandomState(0))
    )
    assert sizes == pytest.approx([(1 + math.cos(math.pi * step / 10)) / 2 for step in range(1, 10)])


def test_an_epoch_of_no_interactions_changes_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    known = ItemsByUser.from_pairs(nothing, nothing, num_users=USERS)
    empty = FitTask(nothing, nothing, None, UniformNegatives(ITEMS), "softmax", 2, 8, 1, known)
    settings = PooledSoftmax()
    made = net(settings)
    before = [parameter.detach().clone() for parameter in made.parameters()]
    optimizer = RowAdam(made.parameters())
    assert list(pooled.epochs(empty, made, optimizer, settings, random_source=np.random.RandomState(0))) == [0.0, 0.0]
    assert all(torch.equal(old, new) for old, new in zip(before, made.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("similarity", "euclid"),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("negative_weight", -1.0),
        ("history", -0.5),
        ("dropout", 1.0),
        ("pool_size", 0),
        ("block", 0),
        ("top_k", 0),
    ],
)
def test_a_setting_outside_its_limits_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name}.*{value}"):
        PooledSoftmax(**{name: value})
