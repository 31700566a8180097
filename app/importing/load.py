"""A file or an upload into the store: all of it checked into a spool first, then stored, with the progress told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from app.clock import Clock
from app.db.engine import Store
from app.importing.records import BadLine, CellReader, Many, Record
from app.importing.spool import Spool

BATCH_ROWS = 10_000
LISTED_ERRORS = 100

OnError = Literal["abort", "skip"]
Phase = Literal["checking", "storing"]
OnProgress = Callable[[Phase, int, int, int], None]
"""Called with the phase, how much is done and of how much (bytes read while checking, rows while storing), and the rows
so far."""

RowT = TypeVar("RowT")
BatchT = TypeVar("BatchT", bound=Sized)
Part = Record | BadLine


class Source(Protocol):
    """Where records come from: `app.importing.files.RecordFile`, or a Parquet file."""

    size: int

    @property
    def position(self) -> int:
        """How much of `size` is read."""

    def parts(self, many: Callable[[Many], BatchT | None]) -> Iterator[BatchT | Record | BadLine]:
        """Records, or lots of them at once."""


@dataclass(frozen=True)
class RowKind(Generic[RowT, BatchT]):
    """How one kind of rows is read and stored.

    Attributes:
        columns, required: the columns that CSV may have, and those that it must.
        read: a record as a row, or what is wrong with it; given the time received in microseconds.
        many: lines as a batch at once, or None where any may be wrong; given that time too.
        batch: a batch of rows. batch_type: what it is.
        store: what is in a spool into the store.
    """

    columns: Mapping[str, CellReader]
    required: tuple[str, ...]
    read: Callable[[Record | BadLine, int], RowT | BadLine]
    many: Callable[[Many, int], BatchT | None]
    batch: Callable[[list[RowT]], BatchT]
    batch_type: type[BatchT]
    store: Callable[[Storing[BatchT]], None]


@dataclass
class ImportReport:
    """What became of a file's rows so far; `errors` are the first 100 of the rejected ones."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    errors: list[BadLine] = field(default_factory=list)

    def refuse(self, line: BadLine) -> None:
        """Count a line that is not stored."""
        self.rejected += 1
        if len(self.errors) < LISTED_ERRORS:
            self.errors.append(line)

    def count(self, *, rows: int, accepted: int) -> None:
        """Count rows that were stored, so many of them new."""
        self.accepted += accepted
        self.duplicates += rows - accepted


class Count(Protocol):
    """Takes what became of rows."""

    def __call__(self, *, rows: int, accepted: int) -> None: ...


@dataclass(frozen=True)
class Storing(Generic[BatchT]):
    """What there is to store, and how.

    Attributes:
        whole: in one transaction, so that all is there or nothing; otherwise in several, each durable when it is done.
        count: told of rows that are stored for good: how many, and how many of them were new.
        done: told how many rows are stored or about to be.
        check: called before each batch; may raise to give up.
    """

    store: Store
    spool: Spool[BatchT]
    received_us: int
    whole: bool
    count: Count
    done: Callable[[int], None]
    check: Callable[[], None]


def load(
    source: Source,
    store: Store,
    kind: RowKind[RowT, BatchT],
    *,
    on_error: OnError,
    spool_folder: Path,
    clock: Clock,
    on_progress: OnProgress = lambda *_: None,
    whole: bool = False,
    check: Callable[[], None] = lambda: None,
    report: ImportReport | None = None,
) -> ImportReport:
    """Check all rows, then store them.

    With `abort`, if a row is bad, the report lists it and nothing is stored; with `skip` the good rows are. If the
    source cannot be read to its end nothing is. If the store fails in between, what was committed before stays; rows
    with `event_id`s can be sent again without harm.

    Args:
        spool_folder: where the checked rows wait.
        whole: store all rows in one transaction.
        check: called often; may raise to give up.
        report: what is counted into, for a caller who needs the counts also where this raises.
    Raises: BadFile; StoreUnavailable; OSError where the spool cannot be written; what `check` raises.
    """
    report = ImportReport() if report is None else report
    received_us = clock()
    with Spool(spool_folder, kind.batch_type) as spool:
        for batch in _checked(source, kind, report, received_us):
            check()
            spool.add(batch)
            on_progress("checking", source.position, source.size, spool.rows)
        on_progress("checking", source.size, source.size, spool.rows)
        if report.rejected and on_error == "abort":
            return report

        def done(rows: int) -> None:
            on_progress("storing", rows, spool.rows, rows)

        kind.store(Storing(store, spool, received_us, whole, report.count, done, check))
        done(spool.rows)
    return report


def _checked(source: Source, kind: RowKind[RowT, BatchT], report: ImportReport, received_us: int) -> Iterator[BatchT]:
    """The good rows, in their order."""
    rows: list[RowT] = []
    for part in source.parts(lambda lines: kind.many(lines, received_us)):
        if isinstance(part, Record | BadLine):
            row = kind.read(part, received_us)
            if isinstance(row, BadLine):
                report.refuse(row)
            else:
                rows.append(row)
            if len(rows) < BATCH_ROWS:
                continue
        if rows:
            yield kind.batch(rows)
            rows = []
        if not isinstance(part, Record | BadLine):
            yield part
    if rows:
        yield kind.batch(rows)
