"""How fast the solvers train, each beside what it is to be compared with, in turns in one run.

    python -m bench.training --data DIR [--name NAME ...] [--threads 2] [--part sgd ...] [--runs 5]

DIR holds NAME/NAME.npz with arrays user and item (rows of a published test are left out). Parts:

- ``sgd``: ``CompiledSGD`` and BPR of the package `implicit`, dim 64, the same step size, penalty and epochs;
- ``quality``: the NDCG@20 of both, each with the step size and penalty of the same grid that are best on a tenth of the
  rows;
- ``batches``: ``solver="compiled"`` and autograd with Spotlight's defaults, and how far their losses are apart;
- ``pooled``: scored pairs a second of the softmax, and a step on 1,000,000 items over one on 10,000;
- ``large``: peak memory of a process that trains 1,000,000 users x 1,000,000 items x 64.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bench.data import DataParser, load_train, some_rows
from bench.largest_memory import largest_rss
from bench.published import scored_pairs
from bench.rivals import NO_IMPLICIT
from model.evaluation import ItemsByUser, evaluate
from model.factorization.implicit import ImplicitFactorizationModel
from model.interactions import Interactions
from model.solvers.settings import CompiledSGD, PooledSoftmax

PARTS = ("sgd", "quality", "batches", "pooled", "large")
MOST_JUDGED = 3_000
DIMENSIONS, EPOCHS = 64, 30
RATES, PENALTIES = (0.02, 0.05, 0.1, 0.2), (0.0005, 0.002, 0.01, 0.03)


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ours(train: Interactions, *, threads: int, rate: float, penalty: float) -> ImplicitFactorizationModel:
    """BPR by single interactions."""
    model = ImplicitFactorizationModel(
        "log_bpr",
        embedding_dim=DIMENSIONS,
        n_iter=EPOCHS,
        learning_rate=rate,
        l2=penalty,
        random_state=1,
        solver=CompiledSGD(threads=threads),
    )
    model.fit(train)
    return model


def theirs(train: Interactions, *, threads: int, rate: float, penalty: float) -> Any:  # noqa: ANN401 - it has no types
    """The same of `implicit`: one of its columns is the item's bias."""
    try:
        from implicit.cpu.bpr import BayesianPersonalizedRanking
    except ImportError:
        raise SystemExit(NO_IMPLICIT) from None

    matrix = train.tocsr().astype(np.float32)
    matrix.data[:] = 1
    model = BayesianPersonalizedRanking(
        factors=DIMENSIONS - 1,
        learning_rate=rate,
        regularization=penalty,
        iterations=EPOCHS,
        num_threads=threads,
        verify_negative_samples=True,
        random_state=1,
    )
    model.fit(matrix, show_progress=False)
    return model


def ndcg(model: Any, train: Interactions, test: Interactions) -> float:  # noqa: ANN401 - either of the two
    """NDCG@20 over all items the user had not, of at most so many users, evenly spread."""
    seen, wanted = (
        ItemsByUser.from_pairs(part.user_ids, part.item_ids, num_users=train.num_users) for part in (train, test)
    )
    if isinstance(model, ImplicitFactorizationModel):
        users, items, biases = model.user_vectors, model.item_vectors, model.item_biases
    else:
        users, items, biases = model.user_factors, model.item_factors, np.zeros(train.num_items, dtype=np.float32)
    judged = np.flatnonzero(np.diff(wanted.indptr))
    judged = judged[:: max(1, len(judged) // MOST_JUDGED)]
    scores = evaluate(lambda batch: users[batch] @ items.T + biases, wanted, seen=seen, users=judged)
    return float(scores.ndcg.mean())


def sgd(name: str, train: Interactions, *, threads: int, runs: int) -> Iterator[str]:
    """Samples a second."""
    times: list[tuple[float, float]] = []
    for run in range(runs + 1):
        pair = (
            seconds(lambda: ours(train, threads=threads, rate=0.05, penalty=0.01)),
            seconds(lambda: theirs(train, threads=threads, rate=0.05, penalty=0.01)),
        )
        if run:  # the first one compiles
            times.append(pair)
    spent = np.array(times)
    fast = EPOCHS * len(train) / np.median(spent, axis=0) / 1e6
    yield (
        f"{name}, {threads} threads: {fast[0]:.2f} M samples/s, implicit {fast[1]:.2f}, "
        f"median ratio {np.median(spent[:, 1] / spent[:, 0]):.2f}"
    )


def quality(name: str, train: Interactions, *, threads: int) -> Iterator[str]:
    """What the samples are worth: N@20 with the best settings of the grid."""
    part = np.random.default_rng(0).random(len(train))
    learnt, chosen_by = some_rows(train, part < 0.8), some_rows(train, (part >= 0.8) & (part < 0.9))
    judged, known = some_rows(train, part >= 0.9), some_rows(train, part < 0.9)
    for label, made in (("CompiledSGD", ours), ("implicit", theirs)):
        grid = [{"rate": rate, "penalty": penalty} for rate in RATES for penalty in PENALTIES]
        found = [ndcg(made(learnt, threads=threads, **each), learnt, chosen_by) for each in grid]
        best = grid[int(np.argmax(found))]
        value = ndcg(made(known, threads=threads, **best), known, judged)
        yield f"{name}, {label}: N@20 {value:.4f} with step size {best['rate']:g}, penalty {best['penalty']:g}"


def batches(name: str, train: Interactions, *, runs: int) -> Iterator[str]:
    """Spotlight's defaults, compiled and by autograd."""
    ratios, apart = [], 0.0
    for run in range(runs + 1):
        compiled, general = (
            ImplicitFactorizationModel(random_state=run, solver=each) for each in ("compiled", "autograd")
        )
        spent = [seconds(lambda model=model: model.fit(train)) for model in (compiled, general)]  # type: ignore[misc]
        apart = max(apart, float(np.abs(np.subtract(compiled.loss_history, general.loss_history)).max()))
        if run:
            ratios.append(spent[1] / spent[0])
    yield f"{name}, defaults: compiled {np.median(ratios):.1f} times as fast, losses at most {apart:.1e} apart"


def pooled_seconds(
    train: Interactions, batch_size: int, solver: PooledSoftmax, *, device: str | None
) -> tuple[float, float]:
    """Three epochs of the softmax: a whole fit, and of it what comes after the first epoch."""
    ends: list[float] = []
    model = ImplicitFactorizationModel(
        "softmax",
        DIMENSIONS,
        n_iter=3,
        batch_size=batch_size,
        learning_rate=0.03,
        random_state=1,
        device=device,
        solver=solver,
    )
    spent = seconds(lambda: model.fit(train, on_epoch=lambda *_: ends.append(time.perf_counter())))
    return spent, ends[2] - ends[0]


def pooled(name: str, train: Interactions, *, runs: int, device: str | None) -> Iterator[str]:
    """Scored pairs a second, in blocks of two sizes and with a history; on a GPU in larger batches and pools too."""
    history: dict[str, Any] = {"dropout": 0.0, "block": 8, "history": 8.0, "item_bias": True}
    kinds = {
        "blocks of 16": (4_096, PooledSoftmax(dropout=0.0, block=16)),
        "blocks of 8": (4_096, PooledSoftmax(dropout=0.0, block=8)),
        "blocks of 8, history, item bias": (4_096, PooledSoftmax(**history)),
    }
    if device is not None and device != "cpu":
        kinds["the same, batches of 16,384, a pool as large"] = (16_384, PooledSoftmax(**history, pool_size=16_384))
        everything = PooledSoftmax(**history, pool_size=train.num_items)
        kinds["the same, batches of 65,536, all items"] = (65_536, everything)
    spent: dict[str, list[tuple[float, float]]] = {label: [] for label in kinds}
    for run in range(runs + 1):
        for label, (batch_size, solver) in kinds.items():
            took = pooled_seconds(train, batch_size, solver, device=device)
            if run:  # the first one imports
                spent[label].append(took)
    for label, (_, solver) in kinds.items():
        whole, later = np.median(spent[label], axis=0)
        rates = [scored_pairs(train, {"n_iter": 3}, solver) / each / 1e6 for each in (whole, later * 3 / 2)]
        yield f"{name}, softmax, {label}: {rates[0]:.0f} M scored pairs/s, {rates[1]:.0f} M without set-up"


def step_seconds(num_items: int, *, users: int = 10_000, batches: int = 30) -> float:
    """The median of a batch of the pooled softmax, 4,096 interactions."""
    generator = np.random.default_rng(0)
    count = 4_096 * batches
    some = Interactions(
        generator.integers(0, users, count),
        generator.integers(0, num_items, count),
        num_users=users,
        num_items=num_items,
    )
    moments: list[float] = []
    model = ImplicitFactorizationModel(
        "softmax", DIMENSIONS, n_iter=1, batch_size=4_096, learning_rate=0.03, random_state=1, solver="pooled"
    )
    model.fit(some, on_batch=lambda: moments.append(time.perf_counter()))
    return float(np.median(np.diff(moments)))


def large() -> str:
    """Two epochs on tables of a million rows each."""
    generator, count = np.random.default_rng(0), 2_000_000
    users, items = (generator.integers(0, 10**6, count) for _ in range(2))
    some = Interactions(users, items, num_users=10**6, num_items=10**6)
    model = ImplicitFactorizationModel(
        "softmax", DIMENSIONS, n_iter=2, batch_size=16_384, learning_rate=0.03, random_state=1, solver="pooled"
    )
    spent = seconds(lambda: model.fit(some))
    peak = largest_rss() / 1024
    return f"1 M x 1 M x {DIMENSIONS}, {count:,} interactions: {peak:.2f} GiB at most, {spent / 2:.0f} s an epoch"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print lines as soon as they are known."""
    parser = DataParser("bench.training")
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated; default: all but large")
    parser.add_argument("--threads", type=int, default=2, help="of CompiledSGD and implicit")
    parser.add_argument("--runs", type=int, default=5, help="how often each is timed, in turns")
    parser.add_argument("--device", help="where the softmax trains: cpu (the default), cuda or cuda:N")
    chosen = parser.parse_args(arguments)
    parts = chosen.part or PARTS[:-1]
    lines: list[Iterator[str]] = []
    for name in parser.names(chosen.data, chosen.name):
        train = load_train(chosen.data, name)
        if "sgd" in parts:
            lines.append(sgd(name, train, threads=chosen.threads, runs=chosen.runs))
        if "quality" in parts:
            lines.append(quality(name, train, threads=chosen.threads))
        if "batches" in parts:
            lines.append(batches(name, train, runs=chosen.runs))
        if "pooled" in parts:
            lines.append(pooled(name, train, runs=chosen.runs, device=chosen.device))
    for each in lines:
        for line in each:
            print(line, flush=True)  # noqa: T201 - the output
    if "pooled" in parts:
        ratios = [step_seconds(1_000_000) / step_seconds(10_000) for _ in range(chosen.runs)]
        print(f"a step on 1,000,000 items over one on 10,000: {np.median(ratios):.2f}", flush=True)  # noqa: T201
    if "large" in parts:
        print(large(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
