"""How soon an interaction changes its user's list: in the worker that took it, and in another replica.

    python -m bench.freshness --database-url postgresql://... [--trials 200] [--import-rows 3000000]

In an empty PostgreSQL database: imports some history, trains, and starts two replicas. Then, while `likewise import`
loads more rows, posts an interaction of a drawn user with the first item of that user's list to one replica and asks
both, again and again, until the item has left their lists. Times count from when the request was sent, and from when
the answer 201 was there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from bench.load import Target
from bench.server_processes import Running, server

USERS, ITEMS, ROWS = 2_000, 2_000, 40_000
PATIENCE_SECONDS = 30.0
AGAIN_SECONDS = 0.002


@dataclass
class Seen:
    """What trials saw, in seconds.

    Attributes:
        posted: from the request to its 201.
        own: lists of the worker that answered 201 which still held the item.
        since_sent, since_acknowledged: until the other replica's list did not hold it.
    """

    posted: list[float] = field(default_factory=list)
    own: int = 0
    since_sent: list[float] = field(default_factory=list)
    since_acknowledged: list[float] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """A table."""
        yield "| seconds | p50 | p90 | p99 | longest |"
        yield "|---|---|---|---|---|"
        for label, times in (
            ("POST to its 201", self.posted),
            ("POST to the other replica's changed list", self.since_sent),
            ("201 to the other replica's changed list", self.since_acknowledged),
        ):
            cells = " | ".join(f"{value:.3f}" for value in np.percentile(times, [50, 90, 99, 100]))
            yield f"| {label} | {cells} |"
        yield ""
        yield f"{len(self.posted)} trials; next lists of the same worker that still held the item: {self.own}"


def trial(one: httpx.Client, other: httpx.Client, user_id: str, seen: Seen) -> None:
    """Post to one, and wait for both."""
    path = f"/users/{user_id}/recommendations"
    item_id = other.get(path).raise_for_status().json()["items"][0]["item_id"]
    sent = time.perf_counter()
    one.post("/interactions", json={"user_id": user_id, "item_id": item_id}).raise_for_status()
    acknowledged = time.perf_counter()
    seen.posted.append(acknowledged - sent)
    seen.own += _holds(one, path, item_id)
    while _holds(other, path, item_id):
        if time.perf_counter() - acknowledged > PATIENCE_SECONDS:
            raise RuntimeError(f"the other replica did not follow within {PATIENCE_SECONDS:g} s")
        time.sleep(AGAIN_SECONDS)
    now = time.perf_counter()
    seen.since_sent.append(now - sent)
    seen.since_acknowledged.append(now - acknowledged)


def _holds(client: httpx.Client, path: str, item_id: str) -> bool:
    return item_id in {item["item_id"] for item in client.get(path).raise_for_status().json()["items"]}


def write_rows(file: Path, *, rows: int, prefix: str, seed: int) -> None:
    """Clicks of users that a prefix tells from others', some days old."""
    generator = np.random.default_rng(seed)
    users, items = generator.integers(0, USERS, rows), generator.zipf(1.3, rows) % ITEMS
    times = time.time() - np.sort(generator.uniform(0, 20 * 86_400, rows))[::-1] - 60
    with file.open("w", encoding="ascii") as out:
        for user, item, at in zip(users.tolist(), items.tolist(), times.tolist(), strict=True):
            row = {"user_id": f"{prefix}{user}", "item_id": f"item-{item}", "event_type": "click", "timestamp": at}
            out.write(json.dumps(row) + "\n")


def run(chosen: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The measurement, line by line."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")} | {
        "LIKEWISE_DATABASE_URL": chosen.database_url,
        "LIKEWISE_MODEL_DIR": str(folder / "models"),
        "LIKEWISE_TRAINER": "external",
        # Whether an item is still listed tells only where nobody's own items come back.
        "LIKEWISE_REPEATS": "exclude",
    }

    def likewise(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "app.cli", *arguments], env=environ, check=True, capture_output=True)  # noqa: S603

    history, more = folder / "history.ndjson", folder / "more.ndjson"
    write_rows(history, rows=ROWS, prefix="user-", seed=1)
    write_rows(more, rows=chosen.import_rows, prefix="imported-", seed=2)
    likewise("db", "upgrade")
    likewise("import", str(history))
    likewise("train")
    seen, draw = Seen(), random.Random(chosen.seed)  # noqa: S311 - which user does not matter
    with ExitStack() as stack:
        replicas: list[Running] = [
            stack.enter_context(
                server(
                    ["app.cli", "serve", "--port", "0"],
                    Target(0, "/users/user-", "/recommendations", USERS),
                    core=None,
                    log=folder / f"{name}.log",
                    environ=environ,
                )
            )
            for name in ("one", "other")
        ]
        clients = [
            stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{each.target.port}")) for each in replicas
        ]
        started = time.perf_counter()
        importing = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "app.cli", "import", "--on-error", "skip", str(more)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            beside = 0
            for number in range(chosen.trials):
                one, other = clients if number % 2 else clients[::-1]
                trial(one, other, f"user-{draw.randrange(USERS)}", seen)
                beside += importing.poll() is None
            seconds = time.perf_counter() - started
        finally:
            importing.terminate()
            importing.wait()
        rows = {each.get("/stats").json()["interactions"] for each in clients}
    yield from seen.lines()
    yield (
        f"{beside} of them while rows were imported: {(min(rows) - ROWS) / seconds:,.0f} rows/s beside "
        f"{len(seen.posted) / seconds:.1f} trials/s"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.freshness")
    parser.add_argument("--database-url", required=True, help="of an empty PostgreSQL database")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--import-rows", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="likewise-bench-") as folder:
        for line in run(chosen, Path(folder)):
            print(line, flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
