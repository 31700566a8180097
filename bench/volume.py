"""A large team's first day on one machine: import, train, serve, with the time and the memory of each.

    python -m bench.volume [--rows 20000000] [--users 1000000] [--items 500000] [--fit-seconds S] [--folder DIR]

The log is drawn: users differ in how much they do, each has two tastes of many, items follow a power law within a taste
and in all. `--fit-seconds` is what all fits of the training may take, if not what a training gives them by default.
`--folder` keeps the log, the store and the model there, and goes on with a store that is there already.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.ingest import Place, by_command, service
from bench.largest_memory import watched
from bench.load import Target
from bench.server_processes import memory_of
from bench.wrk import closed_loop

_ROWS_AT_ONCE = 200_000
_TASTES = 400
_LAST_SECOND = 1_764_000_000
_DAYS = 90
_SECONDS = 15
_TYPES = np.array(["view", "view", "view", "click", "click", "purchase"])


@dataclass(frozen=True)
class Size:
    """How much there is."""

    rows: int
    users: int
    items: int


def write_log(path: Path, size: Size) -> None:
    """The log as CSV, in the order of its times."""
    generator = np.random.default_rng(1)
    # The most active hundredth of the users does a tenth of everything.
    active = np.cumsum(generator.gamma(0.7, size=size.users))
    tastes = generator.integers(0, _TASTES, (size.users, 2))
    with path.open("w", encoding="ascii") as out:
        out.write("user_id,item_id,event_type,timestamp\n")
        for start in range(0, size.rows, _ROWS_AT_ONCE):
            some = min(_ROWS_AT_ONCE, size.rows - start)
            users = np.searchsorted(active, generator.uniform(0, active[-1], some))
            ranks = np.floor(size.items ** generator.uniform(0, 1, some)).astype(np.int64) - 1
            taste = tastes[users, generator.integers(0, 2, some)]
            of_taste = ranks // _TASTES * _TASTES + taste
            items = np.where(generator.uniform(0, 1, some) < 0.7, of_taste, ranks) % size.items
            first, last = (_LAST_SECOND - _DAYS * 86_400 * (1 - part / size.rows) for part in (start, start + some))
            times = np.sort(generator.integers(int(first), int(last) + 1, some))
            kinds = _TYPES[generator.integers(0, len(_TYPES), some)]
            columns = (users.tolist(), items.tolist(), kinds.tolist(), times.tolist())
            out.writelines(f"u{user},i{item},{kind},{at}\n" for user, item, kind, at in zip(*columns, strict=True))


def train(place: Place) -> tuple[float, float, dict[str, Any]]:
    """`likewise train`: seconds, largest RSS in MiB, and what it tells."""
    ended = watched([sys.executable, "-m", "app.cli", "train", "--json"], place.environ)
    if ended.code:
        raise RuntimeError(ended.errors.decode()[-2000:])
    return ended.seconds, ended.most, json.loads(ended.output)


def run(place: Place, size: Size) -> Iterator[str]:
    """A line of the table for each step."""
    yield "| step | time | largest memory | |"
    yield "|---|---|---|---|"
    store = place.folder / "likewise.db"
    if not store.exists():
        source = place.folder / "log.csv"
        write_log(source, size)
        place.empty()
        seconds, most = by_command(place, source)
        source.unlink()
        yield f"| import | {seconds:,.0f} s | {most:,.0f} MiB | {size.rows / seconds:,.0f} rows/s |"
    yield f"| the store on the disk | | | {store.stat().st_size / 2**30:.2f} GiB |"
    if not any(file.is_file() for file in (place.folder / "models").rglob("*")):
        seconds, most, told = train(place)
        metrics = told["metrics"]
        yield f"| train | {seconds:,.0f} s | {most:,.0f} MiB | {metrics['pairs']:,} pairs, {metrics['epochs']} epochs |"
        yield f"| its steps | {json.dumps(metrics['seconds'])} | | NDCG@20 {json.dumps(metrics['ndcg@20'])} |"
    held = sum(file.stat().st_size for file in (place.folder / "models").rglob("*") if file.is_file())
    yield f"| model and history on the disk | | | {held / 2**30:.2f} GiB |"
    started = time.perf_counter()
    with service(place) as (port, process):
        seconds = time.perf_counter() - started
        yield f"| serve: from the start to the first answer | {seconds:,.1f} s | {_memory(process)} | |"
        target = Target(port, "/users/u", "/recommendations?limit=10", size.users - 1)
        for turn in ("first lists", "then"):
            found = closed_loop(target, connections=64, seconds=_SECONDS, seed=1, core=1, folder=place.folder)
            yield (
                f"| serve: {turn}, 64 connections | p50 {found.p50 * 1000:.1f}, p99 {found.p99 * 1000:.1f} ms |"
                f" {_memory(process)} | {found.rate:,.0f} lists/s, {found.errors} errors |"
            )


def _memory(process: int) -> str:
    resident, own = memory_of(process)
    return f"{resident:,.0f} MiB (PSS {own:,.0f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.volume")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--fit-seconds", type=int)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="likewise-bench-") as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(folder, None)
        if chosen.fit_seconds is not None:
            place.environ["LIKEWISE_TRAINING_TIME_BUDGET_SECONDS"] = str(chosen.fit_seconds)
        for line in run(place, Size(chosen.rows, chosen.users, chosen.items)):
            print(line, flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
