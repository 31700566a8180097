"""One file into the store: checked as a whole or line by line, stored in batches, with its progress told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Generic, Literal, TypeVar

from sqlalchemy import Connection

from app.clock import Clock
from app.db.engine import Store
from app.importing.files import BadLine, CellReader, Record, RecordFile

BATCH_ROWS = 10_000
LISTED_ERRORS = 100

OnError = Literal["abort", "skip"]
Phase = Literal["checking", "storing"]
OnProgress = Callable[[Phase, int, int, int], None]
"""Called with the phase, the bytes read, the bytes of the file, and the rows so far."""

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class RowKind(Generic[RowT]):
    """How one kind of file is read and stored.

    Attributes:
        columns, required: the columns a CSV file may have, and those that it must.
        read: a record as a row, or what is wrong with it; given the time received in microseconds.
        store: rows into the store, in the caller's transaction; given that time too. Returns how many were new.
    """

    columns: Mapping[str, CellReader]
    required: tuple[str, ...]
    read: Callable[[Record | BadLine, int], RowT | BadLine]
    store: Callable[[Connection, list[RowT], int], int]


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


def load_file(
    path: Path,
    store: Store,
    kind: RowKind[RowT],
    *,
    on_error: OnError,
    clock: Clock,
    on_progress: OnProgress,
    report: ImportReport | None = None,
) -> ImportReport:
    """Store the rows of a file in batches of 10,000, each durable when it is done.

    With `abort` the whole file is read and checked first: if a row is bad, the report lists it and nothing is stored.
    With `skip` the good rows are stored. If the store fails in between, the batches before stay; rows with `event_id`s
    can be sent again without harm.

    Args:
        report: what is counted into, for a caller who needs the counts also where this raises.
    Raises: BadFile, also in the middle of a file that is damaged; StoreUnavailable.
    """
    report = ImportReport() if report is None else report
    if on_error == "abort":
        rows = 0
        for batch in _batches(path, kind, report, clock=clock, phase="checking", on_progress=on_progress):
            rows += len(batch)
        if report.rejected:
            return report
    for batch in _batches(path, kind, report, clock=clock, phase="storing", on_progress=on_progress):
        with store.write() as connection:
            accepted = kind.store(connection, batch, clock())
        report.accepted += accepted
        report.duplicates += len(batch) - accepted
    return report


def _batches(
    path: Path, kind: RowKind[RowT], report: ImportReport, *, clock: Clock, phase: Phase, on_progress: OnProgress
) -> Iterator[list[RowT]]:
    done = 0
    with RecordFile(path, columns=kind.columns, required=kind.required) as records:
        rows = _good_rows(records, kind, report, clock)
        while batch := list(islice(rows, BATCH_ROWS)):
            yield batch
            done += len(batch)
            on_progress(phase, records.position, records.size, done)
        on_progress(phase, records.size, records.size, done)


def _good_rows(records: RecordFile, kind: RowKind[RowT], report: ImportReport, clock: Clock) -> Iterator[RowT]:
    for record in records:
        row = kind.read(record, clock())
        if isinstance(row, BadLine):
            report.refuse(row)
        else:
            yield row
