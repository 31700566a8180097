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
    with ThreadPoolExecutor(run.threads) as pool:
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
        self._weights = np.ones(0, dtype=np.float32) if task.weights is None else task.weights / task.weights.mean()
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
        self._num_users, self._num_items = len(self._tables[0]), len(self._tables[1])
        # A part with hardly any item would hardly have a negative.
        self.threads = min(settings.threads, MOST_THREADS, max(1, self._num_items // (8 * ITEMS_TOGETHER)))

    def epoch(self, seed: int, pool: ThreadPoolExecutor, on_batch: Callable[[], None] | None) -> float:
        generator, parts, task = np.random.default_rng(seed), self.threads, self._task
        part_of_user = _dealt(self._num_users, parts, generator)
        groups = _dealt(-(-self._num_items // ITEMS_TOGETHER), parts, generator)
        part_of_item = np.repeat(groups, ITEMS_TOGETHER)[: self._num_items]
        items_of = [np.flatnonzero(part_of_item == part).astype(np.int32) for part in range(parts)]
        pairs, weights, starts = sgd_kernels.grouped(
            task.user_ids, task.item_ids, self._weights, part_of_user, part_of_item, parts
        )

        def learn(thread: int, turn: int, offset: int, seed: int) -> float:
            part = (thread + turn) % parts
            first, last = starts[thread * parts + part : thread * parts + part + 2]
            if not offset:
                sgd_kernels.shuffle(pairs[first:last], weights[first:last], np.uint64(seed))
            rows = slice(first + offset, min(first + offset + SLICE, last))
            return self._learn(pairs[rows], weights[rows], items_of[part], seed)

        total = 0.0
        # One thread needs no other: the caller's own.
        run = map if parts == 1 else pool.map
        for turn in range(parts):
            for offset in range(0, int(np.diff(starts).max(initial=0)), SLICE):
                seeds = generator.integers(1, 2**63, parts).tolist()
                total += sum(run(learn, range(parts), [turn] * parts, [offset] * parts, seeds))
                if on_batch is not None:
                    on_batch()
        return total / max(len(pairs), 1)

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


def _dealt(count: int, parts: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A part for each of so many, at random, the parts of about one size. In bytes: they are looked up a lot."""
    return generator.permutation((np.arange(count) % parts).astype(np.uint8))
