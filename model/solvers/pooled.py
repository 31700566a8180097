"""The pooled solver: a softmax over many negatives that a whole batch shares, as matrix products.

For an observed pair (u, i), the pool K of a batch and the known positives N(u) of the user:

    loss(u, i) = -s(u, i) + t * log(sum over j in K without N(u) of exp(s(u, j)))

with s as in ``SoftmaxNet``, whose m_u is then without the items observed in the batch, and t the weight on the negative
side. The sum does not depend on i: all observed items of a user in a batch share one row of the matrix product. So
batches are made of *blocks*, up to ``block`` interactions of one user: as many scored pairs carry many more positives.

Gradients are written out, and only rows that a batch touches are updated (``RowAdam``): a step costs the batch and the
pool, never the catalogue.

Letters used for shapes: N interactions, B batch, R users in it, K pool, D dimension.

Sources: Wu et al. 2024 (Bilateral Softmax Loss) for t; Wu et al. 2022 (On the Effectiveness of Sampled Softmax Loss)
for cosine, temperature and many negatives; Yang et al. 2025 (SoftmaxLoss@K) for ``top_k``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.factorization.representations import SoftmaxNet
from model.sampling import RandomSource, sample_items
from model.solvers.blocks import Blocks
from model.solvers.optimizers import RowAdam
from model.solvers.settings import PooledSoftmax
from model.solvers.task import FitTask
from model.solvers.user_means import ItemsOfUsers, Means, means_of_all
from model.solvers.vectors import Vectors, summed_rows
from model.torch_utils import sent, threads_for

MASKED = -1e9
"""A logit whose exponential is zero, and which no sum turns into NaN as minus infinity would."""

# An epoch draws from generators of its own, seeded by one of so many numbers.
SEEDS = 2**31


def epochs(
    task: FitTask,
    net: SoftmaxNet,
    optimizer: RowAdam,
    settings: PooledSoftmax,
    *,
    random_source: RandomSource,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[float]:
    """Train for up to ``task.n_iter`` epochs and yield the mean loss of the interactions of each.

    The step size falls from the optimizer's to zero along half a cosine over these epochs. One integer is taken from
    the random source an epoch. On the CPU, one seed and one number of threads give the same bits.
    """
    run = _Run(task, net, optimizer, settings)
    for _ in range(task.n_iter):
        seed = int(sample_items(SEEDS, 1, random_source)[0])
        with torch.no_grad(), threads_for(run.elements):
            loss = run.epoch(seed, on_batch)
        yield loss


class _Batch(NamedTuple):
    """B interactions: their distinct users (R,) and all that these are known to have, and of each interaction (B,)
    which user it is of, its item, its weight, and the place of the pair among all that is known.
    """

    users: Tensor
    known: ItemsOfUsers
    user_of: Tensor
    items: Tensor
    weights: Tensor
    places: Tensor


class _Run:
    """The state of one fit."""

    def __init__(self, task: FitTask, net: SoftmaxNet, optimizer: RowAdam, settings: PooledSoftmax) -> None:
        self._net, self._optimizer, self._settings = net, optimizer, settings
        self._cosine = net.similarity == "cosine"
        self._n_iter, self._batch_size = task.n_iter, task.batch_size
        self._num_items = net.item_embeddings.num_embeddings
        self._device = net.item_embeddings.weight.device
        weights = np.ones(len(task.user_ids), dtype=np.float32) if task.weights is None else task.weights
        weights = weights / (weights.mean(dtype=np.float64) if len(weights) else 1.0)
        self._blocks = Blocks(
            task.user_ids,
            task.item_ids,
            num_users=net.user_embeddings.num_embeddings,
            block=settings.block,
            halves=settings.history > 0,
        )
        self._weights = torch.from_numpy(weights.astype(np.float32)[self._blocks.order]).to(self._device)
        self._items = torch.from_numpy(self._blocks.items).to(self._device)
        if task.known is None:
            raise ValueError("the pooled solver needs a task with the known items of each user")
        self._known = torch.from_numpy(task.known.items).to(self._device)
        self._known_starts = torch.from_numpy(task.known.indptr).to(self._device)
        self._known_counts = np.diff(task.known.indptr)
        known_of = np.searchsorted(
            _pair_numbers(task.known.users(), task.known.items, self._num_items),
            _pair_numbers(task.user_ids, task.item_ids, self._num_items)[self._blocks.order],
        )
        self._known_of = torch.from_numpy(known_of).to(self._device)
        self._observed = torch.zeros(len(task.known.items), dtype=torch.bool, device=self._device)
        self._pool_size = min(settings.pool_size, self._num_items)
        self._whole = self._pool_size == self._num_items
        self._place = torch.full((self._num_items,), -1, device=self._device)
        self._unused_items = torch.empty(0, dtype=torch.int64, device=self._device)
        self._logits = torch.empty(0, device=self._device)
        self._steps = self._n_iter * self._blocks.batches(self._batch_size)
        self._step = 0
        self.elements = self._pool_size * min(task.batch_size, len(task.user_ids) // max(1, settings.block))

    def epoch(self, seed: int, on_batch: Callable[[], None] | None) -> float:
        """One pass over all interactions; the mean loss of one of them."""
        self._generator = torch.Generator(device=self._device).manual_seed(seed)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        try:
            for users, places in self._blocks.shuffled(np.random.default_rng(seed), self._batch_size):
                total += self._train(self._batch(users, places))
                if on_batch is not None:
                    on_batch()
        finally:
            # Of an epoch that is cut short too: means belong to the tables.
            self._renew_means()
        return total.item() / max(len(self._items), 1)

    def _batch(self, users: NDArray[np.int64], places: NDArray[np.int64]) -> _Batch:
        """Interactions (B,) of these users at these places, where the net is."""
        distinct, user_of = np.unique(users, return_inverse=True)
        ids = sent(np.concatenate([distinct, user_of, places]), self._device)
        users_R, user_of_B, places_B = torch.split(ids, [len(distinct), len(users), len(users)])
        known = ItemsOfUsers.of(users_R, self._known_starts, total=int(self._known_counts[distinct].sum()))
        of_pairs = (column.index_select(0, places_B) for column in (self._items, self._weights, self._known_of))
        return _Batch(users_R, known, user_of_B, *of_pairs)

    def _renew_means(self) -> None:
        """Of the users in this fit; the others keep what they had."""
        if self._net.user_means is not None:
            vectors = self._net.compared(self._net.item_embeddings.weight)
            means = means_of_all(vectors, self._known, self._known_starts)
            there_U1 = self._known_starts.diff()[:, None] > 0
            self._net.user_means.copy_(torch.where(there_U1, means, self._net.user_means))

    def _train(self, batch: _Batch) -> Tensor:
        settings, net = self._settings, self._net
        self._step += 1
        scale = 1.0 / net.temperature
        pool_K = self._pool()
        items = net.item_embeddings.weight
        pool, chosen = self._vectors(items, pool_K), self._vectors(items, batch.items)
        own_RD = net.user_embeddings.weight.index_select(0, batch.users)
        means, averaged = self._means(batch)
        if means is not None and averaged is not None:
            own_RD = own_RD.add_(means.forward(averaged.rows), alpha=net.history)
        users = Vectors.of(own_RD, cosine=self._cosine)
        kept_RD = self._kept(users.rows)
        x_RD = users.rows if kept_RD is None else users.rows * kept_RD
        x_BD = x_RD.index_select(0, batch.user_of)
        positive_B = (x_BD * chosen.rows).sum(1) * scale
        logits_RK = self._products(x_RD, pool.rows).mul_(scale)
        if net.item_biases is not None:
            positive_B += net.item_biases.weight[batch.items, 0]
            logits_RK += net.item_biases.weight[pool_K, 0]
        self._mask(logits_RK, batch.known, pool_K)

        weights_B = batch.weights
        if settings.top_k is not None:
            weights_B = weights_B * self._chance_of_the_top(positive_B, logits_RK, batch.user_of, settings.top_k)
        largest_R1 = logits_RK.amax(1, keepdim=True)
        shares_RK = logits_RK.sub_(largest_R1).exp_()
        sums_R1 = shares_RK.sum(1, keepdim=True)
        # Were the pool the whole catalogue, the sum would be I / K times as large.
        log_sum_R = (sums_R1.log() + largest_R1)[:, 0] + math.log(self._num_items / len(pool_K))
        # Where the pool holds only what the user has, there is nothing to contrast with, and nothing is learnt.
        weights_B = weights_B * (largest_R1[:, 0] > MASKED / 2)[batch.user_of]
        loss = (weights_B * (settings.negative_weight * log_sum_R[batch.user_of] - positive_B)).sum()

        # Divided by the batch size and not by what is left in the last batch, so that all interactions weigh alike.
        pull_B = weights_B / self._batch_size
        push_R = torch.zeros_like(log_sum_R).index_add_(0, batch.user_of, pull_B).mul_(settings.negative_weight)
        shares_RK.mul_(push_R[:, None] / sums_R1)
        gradient_RD = torch.mm(shares_RK, pool.rows)
        gradient_RD.index_add_(0, batch.user_of, chosen.rows * pull_B[:, None], alpha=-1)
        if kept_RD is not None:
            gradient_RD *= kept_RD
        gradient_KD = torch.mm(shares_RK.T, x_RD).mul_(scale)
        gradient_BD = x_BD.mul_(pull_B[:, None] * -scale)
        gradient_RD = users.gradient(gradient_RD.mul_(scale))
        touched = [pool_K, batch.items]
        gradients = [pool.gradient(gradient_KD), chosen.gradient(gradient_BD)]
        if means is not None and averaged is not None:
            touched.append(means.items)
            gradients.append(averaged.gradient(means.backward(gradient_RD).mul_(net.history)))
        biases = [shares_RK.sum(0)[:, None], -pull_B[:, None]]
        self._update(batch.users, gradient_RD, touched, gradients, biases)
        return loss.double()

    def _products(self, x_RD: Tensor, pool_KD: Tensor) -> Tensor:
        """Their products, (R, K), in memory that all batches share: to get it from the system anew takes a tenth of a
        step.
        """
        size = len(x_RD) * len(pool_KD)
        if len(self._logits) < size:
            self._logits = torch.empty(size, device=self._device)
        return torch.mm(x_RD, pool_KD.T, out=self._logits[:size].view(len(x_RD), len(pool_KD)))

    def _update(
        self,
        users_R: Tensor,
        gradient_RD: Tensor,
        touched: list[Tensor],
        gradients: list[Tensor],
        biases: list[Tensor],
    ) -> None:
        """Take a step: for users, for the items touched, and for the biases of the first of these, pool and batch."""
        net, update = self._net, self._optimizer.update_rows
        step_size = 0.5 * (1.0 + math.cos(math.pi * self._step / (self._steps + 1)))
        rows, row_of = self._distinct(touched)
        update(net.user_embeddings.weight, users_R, gradient_RD, step_size=step_size)
        update(net.item_embeddings.weight, rows, summed_rows(row_of, gradients, rows=len(rows)), step_size=step_size)
        if net.item_biases is not None:
            row_of = row_of[: sum(map(len, biases))]
            update(net.item_biases.weight, rows, summed_rows(row_of, biases, rows=len(rows)), step_size=step_size)

    def _vectors(self, table: Tensor, rows: Tensor) -> Vectors:
        return Vectors.of(table.index_select(0, rows), cosine=self._cosine)

    def _means(self, batch: _Batch) -> tuple[Means, Vectors] | tuple[None, None]:
        """What the users' vectors take from their items, those observed in this batch left out."""
        if not self._settings.history:
            return None, None
        self._observed[batch.places] = True
        others = batch.known.without(self._observed)
        self._observed[batch.places] = False
        means = Means.over(self._known[others.places], others.users, count=others.count)
        return means, self._vectors(self._net.item_embeddings.weight, means.items)

    def _kept(self, x_RD: Tensor) -> Tensor | None:
        """What dropout leaves of each number: 0, or 1 / (1 - dropout)."""
        dropout = self._settings.dropout
        if not dropout:
            return None
        drawn = torch.rand(x_RD.shape, generator=self._generator, device=self._device)
        return (drawn >= dropout).to(x_RD.dtype).div_(1.0 - dropout)

    def _pool(self) -> Tensor:
        """Items in random order, each once before any comes again; all of them where the pool is that large."""
        if self._whole:
            if not len(self._unused_items):
                self._unused_items = torch.arange(self._num_items, device=self._device)
            return self._unused_items
        if len(self._unused_items) < self._pool_size:
            self._unused_items = torch.randperm(self._num_items, generator=self._generator, device=self._device)
        pool_K = self._unused_items[: self._pool_size]
        self._unused_items = self._unused_items[self._pool_size :]
        return pool_K

    def _mask(self, logits_RK: Tensor, known: ItemsOfUsers, pool_K: Tensor) -> None:
        """Sink what a user is known to have chosen: it is no negative."""
        self._place[pool_K] = torch.arange(len(pool_K), device=self._device)
        places = self._place[self._known[known.places]]
        there = (places >= 0).nonzero()[:, 0]
        logits_RK[known.users[there], places[there]] = MASKED
        self._place[pool_K] = -1

    def _chance_of_the_top(self, positive_B: Tensor, logits_RK: Tensor, user_of_B: Tensor, top_k: int) -> Tensor:
        """Weights for interactions whose item is near the user's k best: sigmoid(s - s of the k-th item).

        In a pool of a K/I share of the items, the k-th of all is about the (k K/I)-th.
        """
        place = min(max(1, round(top_k * logits_RK.shape[1] / self._num_items)), logits_RK.shape[1])
        threshold_R = logits_RK.topk(place, dim=1).values[:, -1]
        return torch.sigmoid(positive_B - threshold_R[user_of_B])

    def _distinct(self, items: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The distinct items among several arrays, and for each item of these its place among them."""
        if self._whole:
            return self._pool(), torch.cat(items)
        rows, row_of = torch.unique(torch.cat(items), return_inverse=True)
        return rows, row_of


def _pair_numbers(users: NDArray[np.int64], items: NDArray[np.int64], num_items: int) -> NDArray[np.int64]:
    return users * num_items + items
