"""How soon an API process is ready, and how much memory it holds then.

    python -m bench.startup [--data FOLDER] [--runs N]

Starts `likewise serve` with LIKEWISE_TRAINER=external, on an empty store of its own or on the store and models that
`make demo` left in FOLDER, waits for `/readyz`, asks for a list, and reads the process's resident memory (Linux).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

DEADLINE_SECONDS = 30.0


def run(folder: Path) -> tuple[float, float]:
    """One start: seconds until `/readyz` answers 200, and resident MiB after a first list."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIKEWISE_")} | {
        "LIKEWISE_TRAINER": "external",
        "LIKEWISE_DATABASE_URL": f"sqlite:///{folder.absolute()}/likewise.db",
        "LIKEWISE_MODEL_DIR": str(folder.absolute() / "models"),
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0"], env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        address = _address(process)
        _get(f"{address}/readyz", until=started + DEADLINE_SECONDS)
        seconds = time.perf_counter() - started
        _get(f"{address}/users/1/recommendations", until=started + DEADLINE_SECONDS)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        if resident is None:
            raise RuntimeError("the system does not say how much memory the process holds")
        return seconds, int(resident[1]) / 1024
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise RuntimeError("the service did not say where it listens")


def _get(url: str, *, until: float) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - http on this machine
        except urllib.error.URLError:
            if time.perf_counter() > until:
                raise
            time.sleep(0.005)
        else:
            return


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup")
    parser.add_argument("--data", type=Path, help="folder with likewise.db and models/; default: an empty store")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as empty:
        folder = chosen.data or Path(empty)
        run(folder)  # creates the store where there is none, and warms the file cache
        measured = [run(folder) for _ in range(chosen.runs)]
    seconds, resident = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"{folder if chosen.data else 'empty store'}: ready after {seconds:.2f} s, {resident:.0f} MiB resident")  # noqa: T201 - the output


if __name__ == "__main__":
    main()
