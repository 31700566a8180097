"""What a change of the model version costs: an open loop while versions are published, and one while none is.

The versions are written before, as a trainer does it before it publishes; what happens under load is the publication in
the store, and all that the service does about it: reading and checking the snapshots, and answering from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from app.threads import give_way
from bench.load import UNREADABLE, OpenPlan, OpenReport, loading, open_loop, report_of
from bench.serving_store import Prepared, publish, save_version

# Seconds of load before the first publication and after the last.
LEAD_SECONDS = 1.0


@dataclass(frozen=True)
class SwapReport:
    """Two open loops of one plan.

    Attributes:
        first: the version that answered before the first of the others.
        published: the versions that were published meanwhile, in their order.
    """

    steady: OpenReport
    swapping: OpenReport
    first: int
    published: tuple[int, ...]

    @property
    def one_version_each(self) -> bool:
        """Whether every answer named one version, one of those that were published, and each of them came to answer."""
        known = {str(version) for version in (self.first, *self.published)}
        return set(self.swapping.versions) == known

    def lines(self) -> Iterator[str]:
        """A table, and what the answers named."""
        yield "| open loop | answers/s | p50 ms | p99 ms | longest ms | errors | sent late |"
        yield "|---|---|---|---|---|---|---|"
        for label, report in (("no swap", self.steady), (f"{len(self.published)} swaps", self.swapping)):
            seen = report.figures
            times = " | ".join(f"{1000 * seconds:.2f}" for seconds in (seen.p50, seen.p99, seen.worst))
            yield f"| {label} | {seen.rate:,.0f} | {times} | {seen.errors} | {report.late:.1%} |"
        before, meanwhile = self.steady.figures, self.swapping.figures
        yield ""
        yield f"p50 x {meanwhile.p50 / before.p50:.2f}, p99 x {meanwhile.p99 / before.p99:.2f}"
        named = ", ".join(f"{version}: {count:,}" for version, count in sorted(self.swapping.versions.items()))
        unreadable = self.swapping.versions.get(UNREADABLE, 0)
        yield (
            f"answers by model_version: {named}; none or not readable: {unreadable}; "
            f"each names one of the {1 + len(self.published)} versions, and all of these answered: "
            f"{'yes' if self.one_version_each else 'NO'}"
        )


def swap(prepared: Prepared, plan: OpenPlan, *, current: int, swaps: int, interval: float, core: int) -> SwapReport:
    """Run the plan without and with publications, one each interval; its seconds are made to last for them.

    Args:
        current: the number of the version that answers now.
        interval: seconds from one publication to the next.
    """
    numbers = range(current + 1, current + 1 + swaps)
    saved = [save_version(prepared, number) for number in numbers]
    plan = replace(plan, seconds=2 * LEAD_SECONDS + swaps * interval, versions=True)
    steady = open_loop(plan, core=core)
    # A thread that gives way to the load, with which it shares a core: late answers must not be the bench's own.
    with ThreadPoolExecutor(1, initializer=give_way) as publisher, loading(plan, core=core) as process:
        time.sleep(LEAD_SECONDS)
        published = []
        for name, manifest_sha256 in saved:
            published.append(publisher.submit(publish, prepared, name, manifest_sha256).result())
            time.sleep(interval)
        swapping = report_of(process)
    return SwapReport(steady, swapping, current, tuple(published))
