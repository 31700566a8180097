"""Stochastic gradient descent, one interaction at a time, compiled: BPR and its relatives on the bilinear net.

An epoch goes through all interactions in a new random order, contrasts each with one item drawn uniformly (``warp``
with as many as it takes), and updates the rows of the user and of both items at once. The L2 penalty is of the rows
touched.

Several threads never touch the same row: each epoch deals users and items out into as many parts as there are threads,
and in each of as many rounds a thread has a part of the users and a part of the items for itself, negatives included.
So a seed gives the same bits with any fixed number of threads, and no cache line travels between cores. (Threads that
share all rows without locks, as in Hogwild, were no faster: docs/decisions/0008.)

Letters used for shapes: N interactions, U users, I items, D dimensions, T threads.

Sources: Rendle et al. 2009 (BPR); Gemulla et al. 2011 (DSGD) for the rounds; Duchi et al. 2011 (Adagrad); Weston et al.
2011 (WARP).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from model.evaluation.items_by_user import ItemsByUser
from model.factorization.representations import BilinearNet
from model.sampling import RandomSource, sample_items
from model.solvers import kernels, sgd_kernels
from model.solvers.settings import CompiledSGD
from model.solvers.sgd_kernels import Known, Table
from model.solvers.task import FitTask

KINDS = {
    "pointwise": kernels.POINTWISE,
    "bpr": kernels.BPR,
    "hinge": kernels.HINGE,
    "log_bpr": kernels.LOG_BPR,
    "logistic": kernels.LOGISTIC,
    "warp": sgd_kernels.WARP,
}
"""The losses this solver knows."""

# Interactions of a thread between two looks at ``on_batch``: some tens of milliseconds.
SLICE = 262_144
# Items whose biases lie in one line of the cache go into one part.
ITEMS_TOGETHER = 16
# Bits of the filter for each known pair.
BITS_PER_PAIR = 16
# An epoch draws from generators of its own, seeded by one of so many numbers.
SEEDS = 2**31
# So many ways to deal items out to threads are looked at.
DEALS = 4
# Parts are numbered by bytes.
MOST_THREADS = 255
NOTHING = np.zeros((1, 1), dtype=np.float32)


def epochs(
    task: FitTask,
    net: BilinearNet,
    optimizer: torch.optim.Optimizer,
    settings: CompiledSGD,
    *,
    random_source: RandomSource,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[float]:
    """Train for up to ``task.n_iter`` epochs and yield the mean loss of the interactions of each, as they were met.

    Args:
        net: on the CPU, with its own tables.
        optimizer: of the net's parameters, with one group: ``torch.optim.Adagrad`` for ``adagrad``, whose sums are used
            and changed in place, else any; it gives step size and penalty, and takes no step itself.
    """
    run = _Run(task, net, optimizer, settings)
    # The caller's own thread is one of them.
    with ThreadPoolExecutor(max(1, run.threads - 1)) as pool:
        for _ in range(task.n_iter):
            seed = int(sample_items(SEEDS, 1, random_source)[0])
            yield run.epoch(seed, pool, on_batch)


def _known(found: ItemsByUser) -> Known:
    width = max(6, math.ceil(math.log2(max(len(found.items), 1) * BITS_PER_PAIR)))
    known = Known(
        found.indptr,
        found.items.astype(np.int32),
        np.zeros(2 ** (width - 6), dtype=np.uint64),
        np.uint64(64 - width),
    )
    sgd_kernels.set_bits(found.users(), found.items, known.bits, known.shift)
    return known


class _Run:
    """The state of one fit."""

    def __init__(
        self, task: FitTask, net: BilinearNet, optimizer: torch.optim.Optimizer, settings: CompiledSGD
    ) -> None:
        if task.known is None:
            raise ValueError("the compiled solver needs a task with the known items of each user")
        self._task, self._adagrad = task, settings.optimizer == "adagrad"
        self._known = _known(task.known)
        weights = np.ones(0, dtype=np.float32)
        if task.weights is not None and len(task.weights):
            weights = task.weights / task.weights.mean()
        tables: dict[str, torch.nn.Parameter] = dict(net.named_parameters())
        users, items, biases = (
            tables[f"{name}.weight"] for name in ("user_embeddings", "item_embeddings", "item_biases")
        )

        def squares(parameter: torch.nn.Parameter) -> Table:
            found: Table = optimizer.state[parameter]["sum"].numpy() if self._adagrad else NOTHING
            return found

        self._tables = (users.detach().numpy(), items.detach().numpy(), biases.detach().numpy())
        self._squares = (squares(users), squares(items), squares(biases))
        group = optimizer.param_groups[0]
        self._rate, self._l2 = np.float32(group["lr"]), np.float32(group["weight_decay"])
        num_users, self._num_items = len(self._tables[0]), len(self._tables[1])
        # A part with hardly any item would hardly have a negative.
        self.threads = min(settings.threads, MOST_THREADS, max(1, self._num_items // (8 * ITEMS_TOGETHER)))
        # The interactions user by user, and, in memory of their own, in the order of an epoch.
        order = np.argsort(task.user_ids, kind="stable")
        self._counts_of_users = np.bincount(task.user_ids, minlength=num_users)
        self._counts_of_groups = np.bincount(
            task.item_ids // ITEMS_TOGETHER, minlength=-(-self._num_items // ITEMS_TOGETHER)
        )
        self._starts = np.concatenate([[0], np.cumsum(self._counts_of_users)])
        self._items = task.item_ids[order].astype(np.int32)
        self._weights = weights[order] if len(weights) else weights
        self._pairs, self._sorted_weights = np.empty(len(order), dtype=np.int64), np.empty_like(self._weights)

    def epoch(self, seed: int, pool: ThreadPoolExecutor, on_batch: Callable[[], None] | None) -> float:
        generator, parts = np.random.default_rng(seed), self.threads
        part_of_user = _shared_out(self._counts_of_users, parts, generator)
        groups = _dealt(self._counts_of_groups, parts, generator)
        part_of_item = np.repeat(groups, ITEMS_TOGETHER)[: self._num_items]
        items_of = [np.flatnonzero(part_of_item == part).astype(np.int32) for part in range(parts)]
        rows_of = np.bincount(part_of_user, weights=self._counts_of_users, minlength=parts).astype(np.int64)
        lasts = np.cumsum(rows_of)
        firsts = np.empty((parts, parts + 1), dtype=np.int64)

        def learn(thread: int, turn: int, offset: int, seed: int) -> float:
            part, own = (thread + turn) % parts, slice(lasts[thread] - rows_of[thread], lasts[thread])
            pairs, weights = self._pairs[own], self._sorted_weights[own]
            if not turn and not offset:
                users = np.flatnonzero(part_of_user == thread)
                firsts[thread] = sgd_kernels.grouped(
                    users, self._starts, self._items, self._weights, part_of_item, parts, pairs, weights
                )
            first, last = firsts[thread, part : part + 2]
            if not offset:
                sgd_kernels.shuffle(pairs[first:last], weights[first:last], np.uint64(seed))
            rows = slice(first + offset, min(first + offset + SLICE, last))
            return self._learn(pairs[rows], weights[rows], items_of[part], seed)

        total = 0.0
        for turn in range(parts):
            offset, most = 0, 1
            while offset < most:
                seeds = generator.integers(1, 2**63, parts).tolist()
                others = [pool.submit(learn, thread, turn, offset, seeds[thread]) for thread in range(1, parts)]
                total += learn(0, turn, offset, seeds[0])
                total += sum(each.result() for each in others)
                most = max(np.diff(firsts[thread])[(thread + turn) % parts] for thread in range(parts))
                offset += SLICE
                if on_batch is not None:
                    on_batch()
        return total / max(len(self._pairs), 1)

    def _learn(self, pairs: NDArray[np.int64], weights: Table, drawn_from: NDArray[np.int32], seed: int) -> float:
        task = self._task
        return sgd_kernels.learn(
            pairs,
            weights,
            drawn_from,
            self._known,
            self._tables,
            self._squares,
            KINDS[task.loss],
            self._adagrad,
            self._rate,
            self._l2,
            task.num_negative_samples,
            np.uint64(seed),
        )


def _dealt(counts: NDArray[np.int64], parts: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A part for each group of items, at random, as many groups in each part: it is all that a positive is contrasted
    with. Of some such deals the one with the most even numbers of interactions.
    """
    deals = [generator.permutation((np.arange(len(counts)) % parts).astype(np.uint8)) for _ in range(DEALS)]
    return min(deals, key=lambda deal: float(np.bincount(deal, weights=counts, minlength=parts).max()))


def _shared_out(counts: NDArray[np.int64], parts: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A part for each user: they are put into random order, and cut where the interactions are shared out.

    Even parts, since the last one to end is waited for. In bytes: they are looked up a lot.
    """
    order = generator.permutation(len(counts))
    ends = np.cumsum(counts[order])
    dealt = np.empty(len(counts), dtype=np.uint8)
    dealt[order] = np.minimum((ends - counts[order] // 2) * parts // max(1, ends[-1]), parts - 1)
    return dealt
