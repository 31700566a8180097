"""The engine on a published split: Recall@20 and NDCG@20, all items ranked, training items removed.

    python -m bench.published --data DIR [--name gowalla] [--seed 1 ...] [--choose] [--tenth]
                              [--set temperature=0.1 ...] [--device cuda]

DIR holds NAME/NAME.npz with arrays user, item, split (2 is the test). A tenth of the training rows, drawn at random, is
held out for every choice (`--choose` tries the grid below and takes the best NDCG@20 there); then all of them are
fitted once, and the test is looked at once.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.data import DataParser, load_split, some_rows
from model.evaluation import ItemsByUser, evaluate
from model.factorization.implicit import ImplicitFactorizationModel
from model.interactions import Interactions
from model.solvers.settings import PooledSoftmax

HEAD = "| data | seed | R@20 | N@20 | seconds | M scored pairs/s | settings |\n|---|---|---|---|---|---|---|"
MODEL: dict[str, Any] = {"embedding_dim": 64, "n_iter": 32, "batch_size": 16_384, "learning_rate": 0.02, "l2": 1e-5}
SOLVER: dict[str, Any] = {
    "temperature": 0.09,
    "negative_weight": 1.2,
    "dropout": 0.0,
    "history": 8.0,
    "item_bias": True,
    "block": 4,
    "pool_size": 4_096,
}
GRID: dict[str, Sequence[float]] = {
    "temperature": (0.08, 0.09, 0.1, 0.125),
    "negative_weight": (1.0, 1.2, 1.4),
}
MOST_JUDGED = 10_000


def fitted(
    train: Interactions, model: dict[str, Any], solver: dict[str, Any], *, seed: int, device: str | None
) -> tuple[Any, float]:
    """A model, and the seconds it took."""
    made = ImplicitFactorizationModel(
        "softmax", **model, random_state=seed, device=device, solver=PooledSoftmax(**solver)
    )
    started = time.perf_counter()
    made.fit(train)
    return made, time.perf_counter() - started


def quality(
    made: ImplicitFactorizationModel, train: Interactions, test: Interactions, *, most_users: int | None
) -> dict[str, float]:
    """Means over the users with items in the test; over so many of them, evenly spread, if that is given."""
    users, items, biases = made.user_vectors, made.item_vectors, made.item_biases
    seen = ItemsByUser.from_pairs(train.user_ids, train.item_ids, num_users=train.num_users)
    wanted = ItemsByUser.from_pairs(test.user_ids, test.item_ids, num_users=train.num_users)
    judged = np.flatnonzero(np.diff(wanted.indptr))
    if most_users is not None:
        judged = judged[:: max(1, len(judged) // most_users)]
    return evaluate(lambda batch: users[batch] @ items.T + biases, wanted, seen=seen, users=judged).means()


def line(label: str, seed: int, found: dict[str, float], *, seconds: float, pairs: float, settings: object) -> str:
    """A row of the table."""
    speed = f"{pairs / seconds / 1e6:.0f}"
    cells = [label, str(seed), f"{found['recall@20']:.4f}", f"{found['ndcg@20']:.4f}", f"{seconds:.0f}", speed]
    return "| " + " | ".join([*cells, json.dumps(settings).replace('"', "")]) + " |"


def scored_pairs(train: Interactions, model: dict[str, Any], solver: PooledSoftmax) -> float:
    """About how many pairs a fit scores: the blocks of all users times the pool, in every epoch."""
    counts = np.bincount(train.user_ids, minlength=1)
    largest = np.clip((counts + 1) // 2 if solver.history else counts, 1, solver.block)
    blocks = float(np.ceil(counts / largest).sum())
    return blocks * min(solver.pool_size, train.num_items) * int(model["n_iter"])


@dataclass(frozen=True)
class Trial:
    """What is learnt from and what is judged; printed by name."""

    label: str
    learnt: Interactions
    judged: Interactions
    most_users: int | None
    device: str | None

    def ndcg(self, model: dict[str, Any], solver: dict[str, Any], *, seed: int) -> float:
        """Fit and judge, and print both."""
        made, seconds = fitted(self.learnt, model, solver, seed=seed, device=self.device)
        found = quality(made, self.learnt, self.judged, most_users=self.most_users)
        pairs = scored_pairs(self.learnt, model, PooledSoftmax(**solver))
        print(line(self.label, seed, found, seconds=seconds, pairs=pairs, settings=model | solver), flush=True)  # noqa: T201 - the output
        return found["ndcg@20"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row as soon as it is known."""
    parser = DataParser("bench.published", ("user", "item", "split"))
    parser.add_argument("--seed", action="append", type=int, help="may be repeated; default: 1")
    parser.add_argument("--choose", action="store_true", help="choose from the grid on a tenth of the training rows")
    parser.add_argument("--tenth", action="store_true", help="judge on that tenth and leave the test alone")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="another setting")
    parser.add_argument("--device", help="where to train: cpu (the default), cuda or cuda:N")
    chosen = parser.parse_args(arguments)
    changed = {name: json.loads(value) for name, value in (each.split("=", 1) for each in chosen.set)}
    model = MODEL | {name: value for name, value in changed.items() if name in MODEL}
    solver = SOLVER | {name: value for name, value in changed.items() if name not in MODEL}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n\n{HEAD}")  # noqa: T201 - the output
    for name in parser.names(chosen.data, chosen.name):
        train, test = load_split(chosen.data, name)
        drawn = np.random.default_rng(0).random(len(train)) < 0.1
        learnt, judged = some_rows(train, ~drawn), some_rows(train, drawn)
        tenth = Trial(f"{name}, a tenth of train", learnt, judged, MOST_JUDGED, chosen.device)
        best = solver
        if chosen.choose:
            grid = [solver | dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
            ndcgs = [tenth.ndcg(model, each, seed=0) for each in grid]
            best = grid[int(np.argmax(ndcgs))]
        trial = tenth if chosen.tenth else Trial(name, train, test, None, chosen.device)
        for seed in chosen.seed or (1,):
            trial.ndcg(model, best, seed=seed)


if __name__ == "__main__":
    main()
