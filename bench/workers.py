"""What several workers of one service hold together: the arrays of model and history are in memory once.

    python -m bench.workers [--workers 1 4] [--items 100000] [--users 20000] [--dim 64] [--history 20]

Starts `likewise serve --workers N` on a store of random numbers, asks for lists of many users until each worker has
answered, and reads what each process holds: RSS counts shared pages in each, PSS in parts. Linux.
"""

from __future__ import annotations

import argparse
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.load import Target
from bench.server_processes import Running, memory_of, server
from bench.serving_store import USER_PREFIX, Prepared, Sizes, array_bytes, prepare, publish, save_version

MIB = 1024**2
LISTS, CLIENTS = 4_000, 32


def ask(running: Running, prepared: Prepared) -> None:
    """Lists of users all over, on connections of their own, so that every worker gets some."""

    def one(number: int) -> None:
        user = number * 7_919 % prepared.sizes.users + 1
        url = f"http://127.0.0.1:{running.target.port}/users/{USER_PREFIX}{user}/recommendations"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {prepared.key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http on this machine
            answer.read()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(LISTS)))


def lines(prepared: Prepared, folder: Path, *, workers: int) -> Iterator[str]:
    """What the processes hold."""
    environ = {
        "LIKEWISE_TRAINER": "external",
        "LIKEWISE_DATABASE_URL": prepared.database_url,
        "LIKEWISE_MODEL_DIR": str(prepared.model_dir),
        "LIKEWISE_LOG_FORMAT": "json",
    }
    lists = Target(0, f"/users/{USER_PREFIX}", "/recommendations", prepared.sizes.users, prepared.key)
    command = ["app.cli", "serve", "--port", "0", "--workers", str(workers)]
    with server(command, lists, core=None, log=folder / f"{workers}.log", environ=environ) as running:
        ask(running, prepared)
        parent = running.process.pid
        # Each is the child of the thread that started it.
        tasks = Path(f"/proc/{parent}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text(encoding="ascii").split()]
        held = [memory_of(process) for process in (parent, *map(int, children))]
    resident = ", ".join(f"{rss:.0f}" for rss, _ in held)
    parts = ", ".join(f"{pss:.0f}" for _, pss in held)
    yield f"| {workers} | {resident} | {parts} | {sum(pss for _, pss in held):.0f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--history", type=int, default=20, help="items of each user")
    chosen = parser.parse_args(arguments)
    sizes = Sizes(items=chosen.items, users=chosen.users, dimensions=chosen.dim, history=chosen.history)
    with tempfile.TemporaryDirectory(prefix="likewise-bench-") as name:
        prepared = prepare(Path(name), sizes, seed=1)
        version, manifest_sha256 = save_version(prepared, 1)
        publish(prepared, version, manifest_sha256)
        arrays = array_bytes(prepared.model_dir, version) / MIB
        print(f"arrays of the model and the history: {arrays:.0f} MiB\n")  # noqa: T201 - the output
        print("| workers | RSS of each process, MiB | PSS of each | PSS together |\n|---|---|---|---|")  # noqa: T201
        for workers in chosen.workers:
            for line in lines(prepared, Path(name), workers=workers):
                print(line, flush=True)  # noqa: T201
        prepared.close()


if __name__ == "__main__":
    main()
