"""How fast `likewise export-recommendations` writes everybody's list.

    python -m bench.export [--items 10000] [--users 100000] [--history 10] [--dim 64] [--runs 5]

A store of random numbers in a temporary folder; each run is a whole process, and its start is in the time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.serving_store import Prepared, Sizes, prepare, publish, save_version


def run(prepared: Prepared, file: Path, *, limit: int) -> tuple[float, int]:
    """Seconds of one export, and how many lists it wrote."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")} | {
        "LIKEWISE_DATABASE_URL": prepared.database_url,
        "LIKEWISE_MODEL_DIR": str(prepared.model_dir),
    }
    command = [sys.executable, "-m", "app.cli", "export-recommendations", str(file), "--limit", str(limit), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)  # noqa: S603 - made above
    return time.perf_counter() - started, int(json.loads(done.stdout)["users"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(prog="python -m bench.export")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--history", type=int, default=10, help="items of each user")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--limit", type=int, default=10, help="items of a list")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args(arguments)
    sizes = Sizes(items=chosen.items, users=chosen.users, dimensions=chosen.dim, history=chosen.history)
    with tempfile.TemporaryDirectory(prefix="likewise-bench-") as name:
        folder = Path(name)
        prepared = prepare(folder, sizes, seed=1)
        publish(prepared, *save_version(prepared, 1))
        for suffix in (".ndjson", ".csv"):
            runs = [run(prepared, folder / f"lists{suffix}", limit=chosen.limit) for _ in range(chosen.runs)]
            rates = [users / seconds for seconds, users in runs]
            size = (folder / f"lists{suffix}").stat().st_size
            print(  # noqa: T201 - the output
                f"{suffix[1:]}: {runs[0][1]:,} lists of {chosen.limit} out of {chosen.items:,} items x {chosen.dim}, "
                f"{size / 2**20:.0f} MiB: {median(rates):,.0f} users/s ({min(rates):,.0f} to {max(rates):,.0f}), the "
                f"start of the process included; {len(rates)} runs",
                flush=True,
            )
        prepared.close()


if __name__ == "__main__":
    main()
