"""The served policy, its parts and its rivals on data with a clock.

    python -m bench.temporal --data DIR [--name NAME ...] [--seed SEED ...] [--users N] [--first 0.7]
                             [--rival LABEL ...] [--without-policy] [--set learning_rate=0.01 ...]

DIR holds NAME/NAME.npz with arrays user, item, timestamp (seconds) and perhaps value. The newest 10 % of the rows
(widened up to 30 % until 200 users with a history are in it) are judged; every choice is made on rows before them, and
for rivals for each protocol apart. All items ranked; two protocols, new items only and repeats allowed; users with a
history (warm) and all traffic, where strangers get what is popular lately.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import DataParser, drawn_users, load, some_rows
from bench.methods import Method
from bench.policy import fitted
from bench.rivals import left_out, tuned_rivals
from model.evaluation import Report, TemporalSplit, Window, bootstrap_interval, temporal_split
from model.interactions import Interactions

HISTORIES = {"1": (1, 1), "2": (2, 2), "3-4": (3, 4), "5-19": (5, 19), "20+": (20, np.inf)}
PROTOCOLS = {False: "new items only", True: "repeats allowed"}


class Sheet:
    """One protocol of one data set: its users, and a line for each method that was judged."""

    def __init__(self, split: TemporalSplit, *, repeats: bool) -> None:
        self.window: Window = split.window(repeats=repeats, everyone=True)
        self.warm_B: NDArray[np.bool_] = self.window.history > 0
        self.repeats = repeats
        self.reports: dict[str, Report] = {}
        self._settings: dict[str, str] = {}

    def judge(self, method: Method) -> None:
        """Rank all items for everyone by a method."""
        self.reports[method.label] = self.window.evaluate(method.scores)
        self._settings[method.label] = method.settings

    def lines(self) -> Iterator[str]:
        """The table, rows in the order of judgement."""
        sizes = [str(int(rows_B.sum())) for rows_B in self.groups().values()]
        warm, strangers = int(self.warm_B.sum()), int((~self.warm_B).sum())
        yield f"\n**{PROTOCOLS[self.repeats]}**: {warm} warm users, {strangers} strangers\n"
        histories = [f"N@20, history {name} ({size})" for name, size in zip(HISTORIES, sizes, strict=True)]
        heads = ["scores", "N@20 warm", "R@20 warm", "N@20 all", "R@20 all", *histories, "chosen before the cut"]
        yield "| " + " | ".join(heads) + " |"
        yield "|" + "---|" * len(heads)
        for label, report in self.reports.items():
            means = [
                mean(report.ndcg[self.warm_B]),
                mean(report.recall[self.warm_B]),
                mean(report.ndcg),
                mean(report.recall),
                *(mean(report.ndcg[rows_B]) for rows_B in self.groups().values()),
            ]
            yield "| " + " | ".join([label, *means, self._settings[label]]) + " |"

    def groups(self) -> Mapping[str, NDArray[np.bool_]]:
        """Which users have a history of which size."""
        history_B = self.window.history
        return {name: (least <= history_B) & (history_B <= most) for name, (least, most) in HISTORIES.items()}

    def gains(self, policies: Sequence[str], rivals: Sequence[str], *, seed: int) -> Iterator[str]:
        """Each policy minus the rival that is best on these very users, the hardest one to beat."""
        for name, rows_B in (("warm", self.warm_B), ("all", np.ones_like(self.warm_B))):
            if not rows_B.any():
                continue
            best = max(rivals, key=lambda label: float(self.reports[label].ndcg[rows_B].mean()))
            for policy in policies:
                ours, theirs = (self.reports[label].ndcg[rows_B] for label in (policy, best))
                mean, low, high = bootstrap_interval(ours, theirs, generator=np.random.default_rng(seed))
                yield f"- {name}: {policy} - {best}: {mean:+.4f} ({low:+.4f} to {high:+.4f})"


def mean(values: NDArray[np.float64]) -> str:
    """Four decimals, or a dash for nobody."""
    return f"{values.mean():.4f}" if len(values) else "–"


def compare(
    interactions: Interactions, name: str, *, seeds: Sequence[int], rivals: Sequence[str], changed: Mapping[str, Any]
) -> Iterator[str]:
    """The tables of one data set; without seeds, of the rivals alone."""
    started, split = time.process_time(), temporal_split(interactions)
    counts = f"{len(np.unique(interactions.user_ids)):,} users x {len(np.unique(interactions.item_ids)):,} items"
    yield f"\n### {name}: {counts}, {len(interactions):,} rows"
    yield f"\nThe newest {split.fraction:.0%} are judged; {split.repeats_share:.1%} of them are repeats."
    if not rivals:
        yield from (f"\n{label} is left out: {reason}." for label, reason in left_out(split.earlier).items())
    sheets = [Sheet(split, repeats=repeats) for repeats in PROTOCOLS]
    rivals_judged: list[str] = []
    policies: list[str] = []
    for methods in tuned_rivals(split.earlier, wanted=rivals):
        rivals_judged.append(methods[False].label)
        for sheet in sheets:
            sheet.judge(methods[sheet.repeats])
    for seed in seeds:
        methods_of_policy = fitted(split.earlier, seed=seed, changed=changed)
        policies.append(methods_of_policy[0][False].label)
        rivals_judged.append(methods_of_policy[-1][False].label)
        for methods in methods_of_policy:
            for sheet in sheets:
                sheet.judge(methods[sheet.repeats])
    for sheet in sheets:
        yield from sheet.lines()
        if policies:
            yield "\nN@20, paired bootstrap over users (95 %):\n"
            yield from sheet.gains(policies, rivals_judged, seed=seeds[0])
    yield f"\n{time.process_time() - started:.0f} CPU seconds."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of each data set as soon as they are known."""
    parser = DataParser("bench.temporal", ("user", "item", "timestamp"))
    parser.add_argument("--seed", action="append", type=int, help="may be repeated; default: 1 2 3")
    parser.add_argument("--users", type=int, help="only so many users, drawn by each seed")
    parser.add_argument("--first", type=float, default=1.0, help="use only this share of the rows, the oldest")
    parser.add_argument("--rival", action="append", default=[], help="only this one and popularity, may be repeated")
    parser.add_argument("--without-policy", action="store_true", help="the rivals alone")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="another constant of the recipe"
    )
    chosen = parser.parse_args(arguments)
    changed = {name: json.loads(value) for name, value in (each.split("=", 1) for each in chosen.set)}
    seeds = chosen.seed or [1, 2, 3]
    for name in parser.names(chosen.data, chosen.name):
        rows = load(chosen.data, name)
        rows = some_rows(rows, np.arange(round(len(rows) * chosen.first)))
        # Rivals do not depend on the policy's seed: they are fitted once, unless each seed has users of its own.
        for group in [[seed] for seed in seeds] if chosen.users else [seeds]:
            sample = drawn_users(rows, chosen.users, seed=group[0]) if chosen.users else rows
            judged = [] if chosen.without_policy else group
            title = f"{name}, users drawn by seed {group[0]}" if chosen.users else name
            for line in compare(sample, title, seeds=judged, rivals=chosen.rival, changed=changed):
                print(line, flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
