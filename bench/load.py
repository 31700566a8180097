"""An open loop on an HTTP server: requests at a rate of their own, however slow the answers are.

A closed loop asks again when an answer has come, so a slow server is asked less. Here a request's time counts from when
it was to be sent: what waits behind a slow one is slow too.

    python -m bench.load < PLAN

runs in a process of its own, which may thus have a core to itself; PLAN is an `OpenPlan` as JSON, and so is the
`OpenReport` that it prints. It looks for answers all the time, since a sleep is only good to a millisecond.

Letters used for shapes: N requests.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.connections import Answer, Connections

# How long after the last request was due answers are waited for.
PATIENCE_SECONDS = 10.0
# Later than this is not by the schedule.
LATE_SECONDS = 0.001
# Where more requests were late than this, their 99th percentile is the generator's, too.
MOST_LATE = 0.01
UNREADABLE = "unreadable"


class Figures(NamedTuple):
    """What a load saw: answers a second, times in seconds, and how many requests got no answer that is 2xx."""

    rate: float
    p50: float
    p90: float
    p99: float
    worst: float
    errors: int


class Target(NamedTuple):
    """GET requests that differ in a number from 1 to `numbers`, which stands between two parts of the path."""

    port: int
    before: str
    after: str
    numbers: int
    key: str | None = None

    def around(self) -> tuple[str, str]:
        """A whole request, before and after its number."""
        key = "" if self.key is None else f"Authorization: Bearer {self.key}\r\n"
        return f"GET {self.before}", f"{self.after} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{key}\r\n"


@dataclass(frozen=True)
class OpenPlan:
    """What an open loop does.

    Attributes:
        poisson: whether requests come at random, `rate` a second on average; else evenly.
        versions: whether each answer is read for the `model_version` it names.
    """

    target: Target
    rate: float
    seconds: float
    connections: int
    seed: int
    poisson: bool = False
    versions: bool = False

    @classmethod
    def from_json(cls, text: str) -> OpenPlan:
        """Read what `json.dumps(asdict(plan))` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"target": Target(*fields["target"])})

    def due(self) -> NDArray[np.float64]:
        """When each request is to be sent, seconds from the start, ascending, shape (N,)."""
        count = max(1, round(self.rate * self.seconds))
        if self.poisson:
            return np.cumsum(np.random.default_rng(self.seed).exponential(1 / self.rate, count))
        return np.arange(count) / self.rate


@dataclass(frozen=True)
class OpenReport:
    """What an open loop saw.

    Attributes:
        figures: times from when a request was due.
        late: the share of requests that the generator itself turned to too late.
        held_back: the share of those that waited for a connection, since all had a request open.
        versions: how many answers named each `model_version`, and how many none.
    """

    figures: Figures
    late: float
    held_back: float
    versions: dict[str, int]

    @classmethod
    def from_json(cls, text: str) -> OpenReport:
        """Read what `json.dumps(asdict(report))` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"figures": Figures(*fields["figures"])})

    @property
    def kept_up(self) -> bool:
        """Whether the generator was fast enough for its own schedule."""
        return self.late <= MOST_LATE


class Channel(Protocol):
    """Where an open loop sends to."""

    def has_room(self) -> bool:
        """Whether a request can be sent now."""

    def send(self, number: int) -> None:
        """Send a request."""

    def wait(self, seconds: float) -> Sequence[Answer]:
        """The answers that have come, maybe none; waits for one, and no longer than that."""


def drive(
    due_N: NDArray[np.float64], channel: Channel, clock: Callable[[], float], *, versions: bool = False
) -> OpenReport:
    """Send every request when it is due, or as soon after that as there is room, and see when it is answered."""
    due, count = due_N.tolist(), len(due_N)
    noticed, sent, finished = ([0.0] * count for _ in range(3))
    statuses, bodies = [0] * count, [b""] * count
    waiting: deque[int] = deque()
    upcoming = answered = 0
    started = clock()
    while answered < count:
        now = clock() - started
        while upcoming < count and due[upcoming] <= now:
            noticed[upcoming] = now
            waiting.append(upcoming)
            upcoming += 1
        while waiting and channel.has_room():
            sent[waiting[0]] = now
            channel.send(waiting.popleft())
        if now > due[-1] + PATIENCE_SECONDS:
            break
        for number, status, body in channel.wait(due[upcoming] - now if upcoming < count else PATIENCE_SECONDS):
            finished[number], statuses[number] = clock() - started, status
            if versions:
                bodies[number] = body
            answered += 1
    finished_N = np.array(finished)
    finished_N[finished_N == 0] = clock() - started  # never answered
    return OpenReport(
        figures(finished_N - due_N, statuses, seconds=float(finished_N.max())),
        late=_share_late(due_N, noticed),
        held_back=_share_late(np.array(noticed), sent),
        versions=dict(Counter(version_of(body) for body in bodies)) if versions else {},
    )


def figures(times_N: NDArray[np.float64], statuses: Sequence[int], *, seconds: float) -> Figures:
    """What requests that took so long within some seconds amount to."""
    p50, p90, p99, worst = np.percentile(times_N, [50, 90, 99, 100]).tolist()
    fine = sum(200 <= status < 300 for status in statuses)
    return Figures(fine / seconds, p50, p90, p99, worst, len(statuses) - fine)


def version_of(body: bytes) -> str:
    """The one `model_version` that an answer names, as a text."""
    try:
        named = json.loads(body)["model_version"]
    except (ValueError, KeyError, TypeError):
        return UNREADABLE
    return str(named) if isinstance(named, int) else UNREADABLE


def _share_late(wanted_N: NDArray[np.float64], happened: list[float]) -> float:
    return float(np.mean(np.array(happened) - wanted_N > LATE_SECONDS))


def open_loop(plan: OpenPlan, *, core: int) -> OpenReport:
    """Carry out the plan in a process of its own on a core. Raises: RuntimeError where that fails."""
    with loading(plan, core=core) as process:
        return report_of(process)


@contextmanager
def loading(plan: OpenPlan, *, core: int) -> Iterator[subprocess.Popen[str]]:
    """Begin the plan, and do something else meanwhile; `report_of` waits for its end, and leaving breaks it off."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.load"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - made above
    with process:
        try:
            if process.stdin is not None:
                process.stdin.write(json.dumps(asdict(plan)))
                process.stdin.close()
            yield process
        finally:
            process.kill()  # no harm to one that has ended


def report_of(process: subprocess.Popen[str]) -> OpenReport:
    """Wait for the end of an open loop. Raises: RuntimeError where it failed."""
    output = "" if process.stdout is None else process.stdout.read()
    if process.wait():
        raise RuntimeError(f"the load ended with exit code {process.returncode}")
    return OpenReport.from_json(output)


def main() -> None:
    """Carry out the plan that stands on standard input."""
    plan = OpenPlan.from_json(sys.stdin.read())
    due_N = plan.due()
    before, after = (part.encode("ascii") for part in plan.target.around())
    drawn = np.random.default_rng(plan.seed).integers(1, plan.target.numbers, len(due_N), endpoint=True)
    connections = Connections(
        plan.target.port, [b"%b%d%b" % (before, n, after) for n in drawn.tolist()], plan.connections
    )
    gc.disable()
    report = drive(due_N, connections, time.perf_counter, versions=plan.versions)
    connections.close()
    print(json.dumps(asdict(report)))  # noqa: T201 - the output


if __name__ == "__main__":
    main()
