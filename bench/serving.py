"""Lists a second over HTTP and how long they take, beside FastAPI alone and beside the endpoint one would write first.

    python -m bench.serving [--items 2000 100000] [--users 20000] [--dim 64] [--history 20] [--limit 10]
                            [--beta BETA] [--rounds 5] [--seconds 4] [--connections 16] [--rate RATE] [--folded-in]
                            [--swaps N] [--keep]

Starts `likewise serve` (with a key, and with its log in a file) and the two apps of `bench.serving_rivals`, all on one
core and with one thread of BLAS, and asks them in turns from another: `wrk` for the most they can answer (a closed
loop), and an open loop at half of what the service could in the same round. The store is one of random numbers in a
temporary folder. `--folded-in`: then also with users who did something after the training; with many more users than
requests nearly each is asked for the first time. `--swaps N`: then also while N versions are published. Linux, with
`wrk` and `taskset`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import fastapi
import numpy as np
import uvicorn

from bench.load import Figures, OpenPlan, OpenReport, Target, open_loop
from bench.server_processes import OtherWork, Running, memory, processor_seconds, server, wait_for_source
from bench.serving_store import USER_PREFIX, Prepared, Sizes, add_later, array_bytes, prepare, publish, save_version
from bench.swaps import swap
from bench.wrk import closed_loop, found_wrk

WARM_UP_SECONDS = 1
OURS, NAIVE, BARE = "likewise", "naive numpy endpoint", "bare FastAPI"
MIB = 1024**2
# What a process may hold beside its arrays, and how many times these.
MOST_BESIDE_MIB, MOST_TIMES_ARRAYS = 120, 1.2


@dataclass(frozen=True)
class Cores:
    """Where the servers run, and where the load comes from."""

    server: int
    load: int


@contextmanager
def servers(prepared: Prepared, cores: Cores, folder: Path, *, limit: int) -> Iterator[dict[str, Running]]:
    """The service and its rivals, by label."""
    sizes = prepared.sizes
    lists = Target(0, f"/users/{USER_PREFIX}", f"/recommendations?limit={limit}", sizes.users)
    environ = {
        "LIKEWISE_TRAINER": "external",
        "LIKEWISE_DATABASE_URL": prepared.database_url,
        "LIKEWISE_MODEL_DIR": str(prepared.model_dir),
        "LIKEWISE_LOG_FORMAT": "json",
        "LIKEWISE_LOG_LEVEL": "info",
    }
    size = ["--items", str(sizes.items), "--users", str(sizes.users), "--dim", str(sizes.dimensions)]
    rival = "bench.serving_rivals"
    with ExitStack() as stack:
        yield {
            OURS: stack.enter_context(
                server(
                    ["app.cli", "serve", "--port", "0"],
                    lists._replace(key=prepared.key),
                    core=cores.server,
                    log=folder / "likewise.log",
                    environ=environ,
                )
            ),
            NAIVE: stack.enter_context(
                server([rival, "naive", *size], lists, core=cores.server, log=folder / "naive.log")
            ),
            BARE: stack.enter_context(
                server([rival, "bare"], Target(0, "/?n=", "", sizes.users), core=cores.server, log=folder / "bare.log")
            ),
        }


def memory_line(process: subprocess.Popen[bytes], arrays: int) -> str:
    """What a process holds beside what its arrays weigh."""
    resident, proportional = memory(process)
    most = MOST_BESIDE_MIB + MOST_TIMES_ARRAYS * arrays / MIB
    return (
        f"memory: RSS {resident:.0f} MiB, PSS {proportional:.0f} MiB; arrays of the model and the history "
        f"{arrays / MIB:.1f} MiB; RSS <= {MOST_BESIDE_MIB} MiB + {MOST_TIMES_ARRAYS} x arrays = {most:.0f} MiB: "
        f"{'yes' if resident <= most else 'NO'}"
    )


def closed_table(seen: Mapping[str, Sequence[Figures]]) -> Iterator[str]:
    """A table of medians."""
    yield "| closed loop | requests/s | p50 ms | p90 ms | p99 ms | longest ms | errors |"
    yield "|---|---|---|---|---|---|---|"
    for label, rounds in seen.items():
        yield f"| {label} | {_row(rounds)} |"
    yield ""


def closed_lines(seen: Mapping[str, Sequence[Figures]]) -> Iterator[str]:
    """A table of medians, and the ratios of the rates."""
    yield from closed_table(seen)
    ours = [figures.rate for figures in seen[OURS]]
    for label in (NAIVE, BARE):
        theirs = [figures.rate for figures in seen[label]]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        yield f"{OURS} over {label}: {median(ours) / median(theirs):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def open_lines(reports: Sequence[OpenReport]) -> Iterator[str]:
    """A table of medians, and whether the generator was fast enough."""
    yield "| open loop | answers/s | p50 ms | p90 ms | p99 ms | longest ms | errors | sent late | no connection free |"
    yield "|---|---|---|---|---|---|---|---|---|"
    late, held_back = median(one.late for one in reports), median(one.held_back for one in reports)
    yield f"| {OURS} | {_row([one.figures for one in reports])} | {late:.1%} | {held_back:.1%} |"
    yield ""
    slow = sum(not one.kept_up for one in reports)
    yield "the generator kept up with its schedule" if not slow else f"the generator was too slow in {slow} rounds"


def _row(rounds: Sequence[Figures]) -> str:
    rate, *times = (median(column) for column in zip(*(figures[:5] for figures in rounds), strict=True))
    cells = " | ".join(f"{1000 * seconds:.2f}" for seconds in times)
    return f"{rate:,.0f} | {cells} | {sum(figures.errors for figures in rounds)}"


def run(chosen: argparse.Namespace, items: int, folder: Path) -> Iterator[str]:
    """Everything about one number of items, line by line."""
    cores = Cores(chosen.server_core, chosen.load_core)
    sizes = Sizes(items, users=chosen.users, dimensions=chosen.dim, history=chosen.history, beta=chosen.beta)
    prepared = prepare(folder, sizes, seed=chosen.seed)
    name, manifest_sha256 = save_version(prepared, 1)
    version = publish(prepared, name, manifest_sha256)
    yield (
        f"\n## {items:,} items x {chosen.dim}, {chosen.users:,} users with {chosen.history} items each, lists of "
        f"{chosen.limit}; medians of {chosen.rounds} rounds of {chosen.seconds} s, {chosen.connections} connections\n"
    )
    closed: dict[str, list[Figures]] = {label: [] for label in (OURS, NAIVE, BARE)}
    opened: list[OpenReport] = []
    with servers(prepared, cores, folder, limit=chosen.limit) as running:

        def most(label: str, seconds: int, seed: int) -> Figures:
            return closed_loop(
                running[label].target,
                connections=chosen.connections,
                seconds=seconds,
                seed=seed,
                core=cores.load,
                folder=folder,
            )

        def plan(most_of_all: float, seed: int) -> OpenPlan:
            rate, connections = chosen.rate or most_of_all / 2, chosen.open_connections
            return OpenPlan(running[OURS].target, rate, chosen.seconds, connections, seed, poisson=chosen.poisson)

        for label in closed:
            most(label, WARM_UP_SECONDS, 0)
        others = _other_work(running, cores)
        for number in range(1, chosen.rounds + 1):
            for label, rounds in closed.items():
                rounds.append(most(label, chosen.seconds, number))
            opened.append(open_loop(plan(closed[OURS][-1].rate, number), core=cores.load))
        yield from closed_lines(closed)
        yield ""
        yield from open_lines(opened)
        yield _other_work_line(others)
        arrays = array_bytes(prepared.model_dir, name)
        yield memory_line(running[OURS].process, arrays)
        if chosen.folded_in:
            add_later(prepared)
            wait_for_source(running[OURS].target, "fold_in")
            folded = [most(OURS, chosen.seconds, number) for number in range(1, chosen.rounds + 1)]
            known = closed[OURS]
            yield ""
            yield from closed_table({f"{OURS}, users known": known, f"{OURS}, users folded in": folded})
            ratio = median(figures.rate for figures in known) / median(figures.rate for figures in folded)
            yield f"a folded-in user costs {ratio:.2f} of a known one"
            yield memory_line(running[OURS].process, arrays)
        if chosen.swaps:
            yield ""
            others = _other_work(running, cores)
            planned = plan(median(figures.rate for figures in closed[OURS]), 0)
            yield from swap(
                prepared, planned, current=version, swaps=chosen.swaps, interval=chosen.swap_seconds, core=cores.load
            ).lines()
            yield _other_work_line(others)
            yield memory_line(running[OURS].process, arrays)
    prepared.close()


def _other_work(running: Mapping[str, Running], cores: Cores) -> tuple[OtherWork, OtherWork]:
    return (
        OtherWork(cores.server, lambda: sum(processor_seconds(one.process) for one in running.values())),
        OtherWork(cores.load, lambda: sum(os.times()[:4])),
    )


def _other_work_line(others: tuple[OtherWork, OtherWork]) -> str:
    servers_core, load_core = (f"{work.share():.1%}" for work in others)
    return f"other work took {servers_core} of the servers' core and {load_core} of the load's"


def versions(cores: Cores) -> str:
    """What the figures depend on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return (
        f"Python {sys.version.split()[0]}, numpy {np.__version__} ({blas['name']} {blas['version']}, one thread), "
        f"fastapi {fastapi.__version__}, uvicorn {uvicorn.__version__}; {os.cpu_count()} cores: servers on "
        f"{cores.server}, load on {cores.load}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving")
    parser.add_argument("--items", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--history", type=int, default=20, help="items of each user")
    parser.add_argument("--beta", type=float, help="weight of popularity in all scores; default: as trainings begin")
    parser.add_argument("--limit", type=int, default=10, help="items of a list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--rate", type=float, help="of the open loop, a second; default: half of the closed loop's")
    parser.add_argument("--open-connections", type=int, default=64, help="of the open loop")
    parser.add_argument("--poisson", action="store_true", help="the open loop asks at random times, not evenly")
    parser.add_argument("--folded-in", action="store_true", help="also when each user did something since the training")
    parser.add_argument("--swaps", type=int, default=0, metavar="N", help="model versions to publish under load")
    parser.add_argument("--swap-seconds", type=float, default=2.0, help="from one of them to the next")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the stores and logs, and say where")
    chosen = parser.parse_args(arguments)
    found_wrk()
    if shutil.which("taskset") is None:
        raise SystemExit("taskset is not installed: apt-get install util-linux (Debian, Ubuntu)")
    cores = Cores(chosen.server_core, chosen.load_core)
    # Also what is done here must not take time from the servers.
    os.sched_setaffinity(0, {cores.load})
    print(versions(cores))  # noqa: T201 - the output
    for items in chosen.items:
        folder = Path(tempfile.mkdtemp(prefix="likewise-bench-"))
        try:
            for line in run(chosen, items, folder):
                print(line, flush=True)  # noqa: T201 - the output
        finally:
            if chosen.keep:
                print(f"kept: {folder}")  # noqa: T201 - the output
            else:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
