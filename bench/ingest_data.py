"""Logs to bring in, and the plainest ways to do it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg

if TYPE_CHECKING:
    import pyarrow as pa

from app.db.sqlite import sqlite_module

BATCH_ROWS = 10_000
COPY_ROWS = 50_000
FIRST_SECOND = 1_700_000_000
_TYPES = ("click", "click", "click", "view", "purchase")


def rows(count: int, *, event_ids: bool = False, seed: int = 1) -> Iterator[dict[str, Any]]:
    """A log in the order of its times: users drawn alike, a tenth as many as rows; items by a power law."""
    generator = np.random.default_rng(seed)
    users, items = max(count // 10, 100), max(count // 200, 50)
    for start in range(0, count, BATCH_ROWS):
        some = min(BATCH_ROWS, count - start)
        columns = [
            generator.integers(0, users, some).tolist(),
            (generator.zipf(1.2, some) % items).tolist(),
            generator.integers(0, len(_TYPES), some).tolist(),
            np.sort(FIRST_SECOND + start + generator.integers(0, some, some)).tolist(),
            generator.integers(0, 2**62, (some, 2)).tolist(),
        ]
        for user, item, kind, at, (high, low) in zip(*columns, strict=True):
            row: dict[str, Any] = {
                "user_id": f"user-{user}",
                "item_id": f"item-{item}",
                "event_type": _TYPES[kind],
                "timestamp": at,
            }
            if event_ids:
                digits = f"{high:016x}{low:016x}"
                row["event_id"] = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
            yield row


def write_ndjson(path: Path, count: int, *, event_ids: bool = False) -> None:
    """One object a line."""
    with path.open("w", encoding="ascii") as out:
        out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows(count, event_ids=event_ids))


def write_csv(path: Path, count: int) -> None:
    """With a header."""
    with path.open("w", encoding="ascii") as out:
        out.write("user_id,item_id,event_type,timestamp\n")
        out.writelines(",".join(map(str, row.values())) + "\n" for row in rows(count))


def write_parquet(path: Path, count: int) -> None:
    """As pandas would write it, times in UTC."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    log = rows(count)
    with pq.ParquetWriter(path, _parquet_schema()) as out:
        while some := list(islice(log, 10 * BATCH_ROWS)):
            columns = {name: [row[name] for row in some] for name in ("user_id", "item_id", "event_type")}
            times = pa.array([row["timestamp"] * 10**6 for row in some], pa.timestamp("us", tz="UTC"))
            out.write_table(pa.table({**columns, "timestamp": times}, schema=_parquet_schema()))


def _parquet_schema() -> pa.Schema:
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("user_id", "item_id", "event_type")]
    return pa.schema([*texts, ("timestamp", pa.timestamp("us", tz="UTC"))])


def raw_sqlite(source: Path, folder: Path) -> float:
    """json.loads a line and executemany into one plain table, in durable transactions of 10,000 rows; seconds."""
    (folder / "raw.db").unlink(missing_ok=True)
    connection = sqlite_module().connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (user_id TEXT, item_id TEXT, event_type TEXT, timestamp INTEGER)")
    started = time.perf_counter()
    with source.open("rb") as lines:
        while batch := [
            (row["user_id"], row["item_id"], row["event_type"], row["timestamp"])
            for row in map(json.loads, islice(lines, BATCH_ROWS))
        ]:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", batch)
            connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def copy_lots(source: Path) -> list[bytes]:
    """The log as text for COPY, in lots of 50,000 rows, before the clock runs."""
    found = []
    with source.open("rb") as lines:
        while batch := list(map(json.loads, islice(lines, COPY_ROWS))):
            found.append(
                "".join(
                    f"{row['user_id']}\t{row['item_id']}\t{row['event_type']}\t1.0\t{row['timestamp'] * 10**6}\t1\t"
                    f"{row.get('event_id', chr(92) + 'N')}\n"
                    for row in batch
                ).encode()
            )
    return found


def raw_postgres(url: str, lots: list[bytes]) -> float:
    """COPY into a temporary table, then the same upsert into our tables, a transaction for each lot; seconds."""
    stage = 'CREATE TEMP TABLE stage (u text COLLATE "C", i text COLLATE "C", e text, v float8, o bigint, r bigint,'
    started = time.perf_counter()
    with psycopg.connect(url) as connection:
        connection.execute(f'{stage} d text COLLATE "C") ON COMMIT DELETE ROWS')
        for lot in lots:
            with connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN") as copy:
                copy.write(lot)
            connection.execute(
                "INSERT INTO users (user_id, created_us) SELECT DISTINCT u, 1 FROM stage"
                " ON CONFLICT (user_id) DO NOTHING"
            )
            connection.execute(
                "INSERT INTO items (item_id) SELECT DISTINCT i FROM stage ON CONFLICT (item_id) DO NOTHING"
            )
            connection.execute(
                "INSERT INTO interactions (user_key, item_key, event_type, value, occurred_us, received_us, event_id)"
                " SELECT user_key, item_key, e, v, o, r, d FROM stage JOIN users ON user_id = u JOIN items"
                " ON item_id = i ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING"
            )
            connection.commit()
    return time.perf_counter() - started
