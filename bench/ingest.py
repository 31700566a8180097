"""How fast a history comes in, and how fast a training reads it: rows a second, memory, bytes on the disk.

    python -m bench.ingest [--rows 1000000] [--repeats 5] [--database-url postgresql://...] [--part PART ...]

Without a URL into embedded stores of its own; with one into that PostgreSQL database, whose tables it empties each
time. Parts: `files` (the command line, each format, beside the plainest way), `bulk` (POST /interactions/bulk),
`arrays` (1,000 rows a request), `single` (one row a request, 64 connections, with wrk, beside a bare FastAPI endpoint),
`load` (what a training reads). Ours and the rival take turns; medians, and the ratio of the two.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from app.db.engine import open_store
from app.db.migrate import upgrade
from bench import ingest_data as data
from bench.largest_memory import LargestMemory, watched
from bench.load import Target
from bench.server_processes import server
from bench.wrk import posted_loop

PARTS = ("files", "bulk", "arrays", "single", "load")
SINGLE_SECONDS = 6
SERVER_CORE, CLIENT_CORE = 0, 1


class Place:
    """A store that is emptied before each measurement.

    Args:
        url: of a PostgreSQL database; None for embedded stores.
    """

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.postgres = url
        self.url = url or f"sqlite:///{folder}/likewise.db"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")}
        self.environ: dict[str, str] = kept | {
            "LIKEWISE_DATABASE_URL": self.url,
            "LIKEWISE_MODEL_DIR": str(folder / "models"),
            "LIKEWISE_SPOOL_DIR": str(folder / "spool"),
            "LIKEWISE_TRAINER": "external",
            "LIKEWISE_LOG_LEVEL": "warning",
        }

    def empty(self) -> None:
        """A migrated store without rows."""
        for name in ("likewise.db", "likewise.db-wal", "likewise.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        store = open_store(self.url)
        upgrade(store)
        store.dispose()
        if self.postgres is not None:
            with psycopg.connect(self.postgres, autocommit=True) as connection:
                connection.execute("TRUNCATE interactions, users, items, changes RESTART IDENTITY CASCADE")

    def bytes_a_row(self, rows: int) -> float:
        """What the log takes, indexes included."""
        if self.postgres is None:
            return (self.folder / "likewise.db").stat().st_size / rows
        with psycopg.connect(self.postgres) as connection:
            found = connection.execute("SELECT pg_total_relation_size('interactions')").fetchone()
        return float(found[0] if found else 0) / rows


def by_command(place: Place, source: Path) -> tuple[float, float]:
    """`likewise import`: seconds from its start to its end, and its largest RSS in MiB."""
    ended = watched([sys.executable, "-m", "app.cli", "import", "--json", str(source)], place.environ)
    if ended.code:
        raise RuntimeError(ended.errors.decode()[-2000:])
    return ended.seconds, ended.most


def _rival(place: Place, source: Path) -> Callable[[], float]:
    if place.postgres is None:
        return lambda: data.raw_sqlite(source, place.folder)
    lots, url = data.copy_lots(source), place.postgres
    return lambda: data.raw_postgres(url, lots)


def files(place: Place, rows: int, repeats: int) -> Iterator[str]:
    """The command line beside the plainest way."""
    ndjson, with_ids = place.folder / "log.ndjson", place.folder / "ids.ndjson"
    data.write_ndjson(ndjson, rows)
    data.write_ndjson(with_ids, rows, event_ids=True)
    data.write_csv(place.folder / "log.csv", rows)
    data.write_parquet(place.folder / "log.parquet", rows)
    yield "| likewise import | rows/s | beside the plainest way | largest RSS | bytes a row |"
    yield "|---|---|---|---|---|"
    for label, source, rival in (
        ("NDJSON", ndjson, ndjson),
        ("NDJSON, uuid event ids", with_ids, with_ids),
        ("CSV", place.folder / "log.csv", ndjson),
        ("Parquet", place.folder / "log.parquet", ndjson),
    ):
        plain, ours, memory = _rival(place, rival), [], []
        theirs = []
        for _ in range(repeats):
            place.empty()
            theirs.append(plain())
            place.empty()
            seconds, most = by_command(place, source)
            ours.append(seconds)
            memory.append(most)
        size = place.bytes_a_row(rows)
        ratio = median(theirs) / median(ours)
        yield f"| {label} | {rows / median(ours):,.0f} | {ratio:.2f} | {max(memory):.0f} MiB | {size:.0f} |"


@contextmanager
def service(place: Place, *, core: int | None = None) -> Iterator[tuple[int, int]]:
    """`likewise serve`: its port and its process."""
    target = Target(0, "/popular?limit=", "", 1)
    with server(
        ["app.cli", "serve", "--port", "0"],
        target,
        core=core,
        log=place.folder / "serve.log",
        environ=place.environ,
        anything=True,
    ) as running:
        yield running.target.port, running.process.pid


def bulk(place: Place, rows: int, repeats: int) -> Iterator[str]:
    """POST /interactions/bulk beside the plainest way."""
    source = place.folder / "log.ndjson"
    data.write_ndjson(source, rows)
    plain, theirs, ours, own, child = _rival(place, source), [], [], 0.0, 0.0
    for _ in range(repeats):
        place.empty()
        theirs.append(plain())
        place.empty()
        with service(place) as (port, process), LargestMemory(process) as memory:
            started = time.perf_counter()
            answer = _send(port, source)
            ours.append(time.perf_counter() - started)
            time.sleep(2 + rows / 400_000)  # the service takes up what was stored
        if answer != {"accepted": rows, "duplicates": 0, "rejected": 0, "errors": []}:
            raise RuntimeError(f"not all was stored: {answer}")
        own, child = max(own, memory.own), max(child, memory.child)
    yield "| bulk upload | rows/s | beside the plainest way | largest RSS of the service | of the process that stores |"
    yield "|---|---|---|---|---|"
    yield (
        f"| NDJSON | {rows / median(ours):,.0f} | {median(theirs) / median(ours):.2f} | {own:.0f} MiB |"
        f" {child:.0f} MiB |"
    )


def _send(port: int, source: Path) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    with source.open("rb") as body:
        connection.request("POST", "/interactions/bulk", body, {"Content-Type": "application/x-ndjson"})
        answered: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answered


def arrays(place: Place, rows: int, repeats: int) -> Iterator[str]:
    """POST /interactions with 1,000 rows each, four connections."""
    log = list(data.rows(min(rows, 200_000)))
    bodies = [json.dumps(log[start : start + 1_000]) for start in range(0, len(log), 1_000)]
    found = []
    for _ in range(repeats):
        place.empty()
        with service(place) as (port, _):
            started = time.perf_counter()
            threads = [threading.Thread(target=_post_all, args=(port, bodies[part::4])) for part in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found.append(len(log) / (time.perf_counter() - started))
    yield f"arrays of 1,000, four connections: {median(found):,.0f} rows/s"


def _post_all(port: int, bodies: Sequence[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/interactions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"{answer.status}")
    connection.close()


def single(place: Place, rows: int, repeats: int) -> Iterator[str]:  # noqa: ARG001 - the parts' signature
    """POST /interactions with one row each, beside an endpoint that only validates."""
    core = SERVER_CORE if place.postgres is None else None
    rates: Mapping[str, list[float]] = {"ours": [], "bare": []}
    slowest = 0.0
    for turn in range(repeats):
        place.empty()
        with service(place, core=core) as (port, _):
            figures = posted_loop(port, seconds=SINGLE_SECONDS, seed=turn, core=CLIENT_CORE, folder=place.folder)
        rates["ours"].append(figures.rate)
        slowest = max(slowest, figures.p99)
        command = ["bench.serving_rivals", "bare-post"]
        target = Target(0, "/", "", 1)
        log = place.folder / "bare.log"
        with server(command, target, core=core, log=log, anything=True) as bare:
            figures = posted_loop(
                bare.target.port, seconds=SINGLE_SECONDS, seed=turn, core=CLIENT_CORE, folder=place.folder
            )
        rates["bare"].append(figures.rate)
    own, other = median(rates["ours"]), median(rates["bare"])
    yield f"single rows, 64 connections: {own:,.0f} requests/s, all durable, p99 {slowest * 1000:.0f} ms at worst"
    yield f"a bare endpoint: {other:,.0f} requests/s; ratio {own / other:.2f}"


def load(place: Place, rows: int, repeats: int) -> Iterator[str]:
    """What a training reads, in a process of its own."""
    source = place.folder / "log.ndjson"
    data.write_ndjson(source, rows)
    place.empty()
    by_command(place, source)
    found, most = [], 0.0
    for _ in range(repeats):
        ended = watched([sys.executable, "-m", "bench.ingest", "--load-once", place.url], place.environ)
        if ended.code:
            raise RuntimeError(ended.errors.decode()[-2000:])
        found.append([*map(float, ended.output.split())])
        most = max(most, ended.most)
    read, all_ = (median(times) for times in zip(*found, strict=True))
    yield f"a training reads {rows:,} rows in {read:.1f} s and has them as pairs after {all_:.1f} s, {most:,.0f} MiB"


def load_once(url: str) -> None:
    """Read everything and weigh it, as a training does before its first fit; print the seconds of both."""
    from app.training.dataset import pairs, positives, read_events
    from app.training.order_of_ids import ordered

    store = open_store(url)
    started = time.perf_counter()
    events = [read_events(store)]
    read = time.perf_counter() - started
    pairs(positives(ordered(store, events.pop()).events, {}))
    print(read, time.perf_counter() - started)  # noqa: T201 - the output


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of the parts."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--database-url", help="a PostgreSQL database that may be emptied; by default embedded stores")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--load-once", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.load_once:
        load_once(chosen.load_once)
        return
    measure = {"files": files, "bulk": bulk, "arrays": arrays, "single": single, "load": load}
    with tempfile.TemporaryDirectory(prefix="likewise-bench-") as folder:
        place = Place(Path(folder), chosen.database_url)
        for part in chosen.part or PARTS:
            for line in measure[part](place, chosen.rows, chosen.repeats):
                print(line, flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
