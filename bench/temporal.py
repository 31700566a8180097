"""The served policy beside popularity on data with a clock: what the service's own trainings choose, judged as they do.

    python -m bench.temporal --data DIR [--name NAME ...] [--seed SEED ...] [--first 0.7]
                             [--set learning_rate=0.01 ...]

DIR holds NAME/NAME.npz with arrays user, item, timestamp (seconds) and perhaps value. The newest 10 % of the rows
(widened up to 30 % until 200 users with a history are in it) are judged; every choice is made on rows before them.
New items only, all items ranked, users with a history.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.clock import DAY_US, MICROSECONDS
from app.db.watermark import START
from app.training.config import TrainingConfig
from app.training.dataset import Events, Positives, positives
from app.training.progress import Progress
from app.training.trial import Trial, summary, try_policy

DEFAULT_DATA = Path("../shared/data")
NAMES = ("ml-100k", "movietweetings-100k", "online-retail")
HEADER = (
    "| data | seed | users | NDCG@20 policy | popular lately | popular ever | policy - popular lately (95 %) "
    "| beta | half-life, days | epochs | CPU seconds |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def load(path: Path) -> Positives:
    """The rows of one file as the service would train on them; a value of 0, which it would refuse, counts as 0.5."""
    with np.load(path) as data:
        order = np.argsort(data["timestamp"], kind="stable")
        columns: dict[str, Any] = {name: data[name][order] for name in ("user", "item", "timestamp")}
        values = data["value"][order] if "value" in data else np.ones(len(order))
    events = Events(
        user_keys=columns["user"].astype(np.int64),
        item_keys=columns["item"].astype(np.int64),
        event_codes=np.zeros(len(order), dtype=np.uint16),
        event_types=("interaction",),
        values=np.maximum(values, 0.5).astype(np.float32),
        times_us=columns["timestamp"].astype(np.int64) * MICROSECONDS,
        watermark=START,
    )
    return positives(events, {})


def line(name: str, trial: Trial, *, seed: int, seconds: float) -> str:
    """One row of the table."""
    if trial.verdict is None:
        return f"| {name} | {seed} | too few users |"
    found = summary(trial.verdict, seed=seed)
    ndcg, gain = found["ndcg@20"], found["gain_over"]["popular_recent"]
    beta, half_life_us = trial.prior
    cells = (
        name,
        seed,
        found["users"],
        *(f"{ndcg[each]:.4f}" for each in ("policy", "popular_recent", "popular_all_time")),
        f"{gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})",
        f"{beta:g}",
        "none" if half_life_us is None else f"{half_life_us / DAY_US:.1f}",
        trial.epochs,
        f"{seconds:.0f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m bench.temporal")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA if DEFAULT_DATA.is_dir() else None, help="folder")
    parser.add_argument("--name", action="append", help="data set, may be repeated; default: " + ", ".join(NAMES))
    parser.add_argument("--seed", action="append", type=int, help="may be repeated; default: 1 2 3")
    parser.add_argument("--first", type=float, default=1.0, help="use only this share of the rows, the oldest")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="another constant of the recipe"
    )
    chosen = parser.parse_args(arguments)
    if chosen.data is None:
        parser.error("--data DIR is needed: a folder with NAME/NAME.npz")
    changed = {name: json.loads(value) for name, value in (each.split("=", 1) for each in chosen.set)}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {changed or 'default recipe'}\n\n{HEADER}")  # noqa: T201 - the output
    for name in chosen.name or NAMES:
        rows = load(chosen.data / name / f"{name}.npz")
        rows = rows.take(np.arange(round(len(rows) * chosen.first)))
        for seed in chosen.seed or (1, 2, 3):
            config = TrainingConfig(**changed, seed=seed)
            started = time.process_time()
            trial = try_policy(rows, config, half_life_us=None, device="cpu", progress=Progress())
            print(line(name, trial, seed=seed, seconds=time.process_time() - started), flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
