"""What the service counts of itself, in the form that Prometheus reads.

No label holds what a caller sent: declared paths, known methods, statuses and a few fixed words, so that their number
is bounded whatever comes in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
UNKNOWN_PATH = "unknown"
"""The operation of requests whose path nobody declared."""
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which workers count together; the library reads it by itself."""

# Of gauges, where workers share them; `live`: of those that run.
_Mode = Literal["livemin", "livemax", "livesum", "livemostrecent"]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "other"
_SOURCES = ("model", "fold_in", "popular")
# Most lists take under half a millisecond; the last ones are for slow clients and the store's deadlines.
_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0)

# In memory, whatever the environment says; `shared_metrics` alone shares.
values.ValueClass = values.MutexValue
# They would be a second series for each counter, of no use to Prometheus.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a process is at one moment; 0 where there is no model, infinite before the feed was read once."""

    model_version: float
    model_age_seconds: float
    model_users: float
    model_items: float
    new_items: float
    interactions_since_base: float
    feed_age_seconds: float


# Which one counts where workers differ: the one that is furthest behind.
_CONDITIONS: dict[str, tuple[str, _Mode]] = {
    "model_version": ("The model version in use, 0 for none.", "livemin"),
    "model_age_seconds": ("How long ago the model in use was made, 0 for none.", "livemax"),
    "model_users": ("Users that the model in use knows.", "livemin"),
    "model_items": ("Items that the model in use knows.", "livemin"),
    "new_items": ("Items that came after the training of the model in use.", "livemax"),
    "interactions_since_base": ("Interactions in memory that came after the newest training's history.", "livemax"),
    "feed_age_seconds": ("How long ago the store's feed was last read.", "livemax"),
}


class Metrics:
    """Counts and states of a process, or of the workers that share a folder.

    Each has a registry of its own, so that a process can hold several applications.

    Args:
        folder: where workers count together (`shared_metrics`); None counts in memory.
    """

    def __init__(self, *, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = registry = CollectorRegistry()
        by_operation = ("operation", "method")
        self._requests = Counter(
            "likewise_requests_total", "Requests answered.", (*by_operation, "status"), registry=registry
        )
        self._seconds = Histogram(
            "likewise_request_duration_seconds",
            "From a request's head to the end of its answer.",
            by_operation,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._counts: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        lists = Counter("likewise_lists_total", "Lists made, by where they come from.", ("source",), registry=registry)
        self._lists = {source: lists.labels(source).inc for source in _SOURCES}
        interactions = Counter(
            "likewise_interactions_total", "Interactions that came in over HTTP.", ("outcome",), registry=registry
        )
        self._accepted, self._duplicates, self._rejected = map(
            interactions.labels, ("accepted", "duplicate", "rejected")
        )
        self._refused = Counter(
            "likewise_snapshots_refused_total", "Tries to take up a snapshot that failed.", registry=registry
        )
        self._conditions = {
            field.name: _gauge(f"likewise_{field.name}", *_CONDITIONS[field.name], registry=registry)
            for field in fields(Condition)
        }
        # All workers have the same store: what the last look at it found.
        self._store_up = _gauge("likewise_store_up", "Whether the store answers.", "livemostrecent", registry=registry)
        self._processes = None if folder is None else _Processes(registry)
        if folder is None:
            ProcessCollector(registry=registry)

    @property
    def shared(self) -> bool:
        """Whether other workers show what this process has noted."""
        return self._folder is not None

    # -- what happens -------------------------------------------------------------------------------------------------

    def request(self, operation: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. On the path of every request: what is known takes one lookup."""
        counts = self._counts.get((operation, method, status)) or self._counts_of(operation, method, status)
        counts[0]()
        counts[1](seconds)

    def list_made(self, source: str) -> None:
        """A list was made, from `source`."""
        self._lists[source]()

    def stored(self, *, accepted: int, duplicates: int) -> None:
        """An upload was committed."""
        self._accepted.inc(accepted)
        self._duplicates.inc(duplicates)

    def rejected(self, rows: int) -> None:
        """So many rows of an upload break the rules."""
        self._rejected.inc(rows)

    def snapshot_refused(self) -> None:
        """A snapshot could not be used."""
        self._refused.inc()

    # -- how things are -----------------------------------------------------------------------------------------------

    def note(self, condition: Condition) -> None:
        """This is how the process is now."""
        for name, gauge in self._conditions.items():
            gauge.set(getattr(condition, name))
        if self._processes is not None:
            self._processes.note()

    def note_store(self, *, up: bool) -> None:
        """Whether the store answers now."""
        self._store_up.set(up)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format (CONTENT_TYPE). Takes some milliseconds."""
        if self._folder is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counts_of(
        self, operation: str, method: str, status: int
    ) -> tuple[Callable[[], None], Callable[[float], None]]:
        if method not in _METHODS:
            method = _OTHER_METHOD
        key = operation, method, status
        if key not in self._counts:
            self._counts[key] = (
                self._requests.labels(operation, method, str(status)).inc,
                self._seconds.labels(operation, method).observe,
            )
        return self._counts[key]


class _Processes:
    """Memory and time of all workers together, under the names that one process has them by.

    The library's own collector knows only the process that is asked.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._own = ProcessCollector(registry=None)
        about_memory = "Resident memory size in bytes."
        self._memory = _gauge("process_resident_memory_bytes", about_memory, "livesum", registry=registry)
        about_cpu = "Total user and system CPU time spent in seconds."
        self._cpu = Counter("process_cpu_seconds_total", about_cpu, registry=registry)
        self._cpu_noted = 0.0

    def note(self) -> None:
        for family in self._own.collect():
            if family.name == "process_resident_memory_bytes":
                self._memory.set(family.samples[0].value)
        spent = time.process_time()
        self._cpu.inc(spent - self._cpu_noted)
        self._cpu_noted = spent


def shared_metrics(worker: int) -> Metrics:
    """The metrics of one of the workers that count together in the folder that SHARED_FOLDER names; once a process.

    A file belongs to a worker's number and not to its process id: one that is started again goes on counting where the
    last one ended, and the folder does not grow.
    """
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    return Metrics(folder=Path(os.environ[SHARED_FOLDER]))


def forget_states(folder: Path, worker: int) -> None:
    """A worker has ended: its counts stay, and what was true of it does not."""
    mark_process_dead(worker, path=str(folder))  # type: ignore[no-untyped-call]


def _gauge(name: str, about: str, mode: _Mode, *, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, about, registry=registry, multiprocess_mode=mode)
