"""`likewise import FILE`: interactions, or items with --items, out of a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import CommandFailed
from app.cli.output import JsonOption, counted, one_line, print_json, say
from app.cli.stores import opened_store, read_settings

if TYPE_CHECKING:
    from app.importing.load import ImportReport, RowKind


class OnError(StrEnum):
    """What a bad row does."""

    ABORT = "abort"
    SKIP = "skip"


def import_file(
    file: Annotated[
        Path, typer.Argument(help="A .csv, .ndjson or .jsonl file, with or without .gz.", exists=True, dir_okay=False)
    ],
    items: Annotated[bool, typer.Option("--items", help="The file holds records of items, not interactions.")] = False,
    on_error: Annotated[
        OnError, typer.Option(help="abort: a bad row and nothing is stored; skip: the good rows are.")
    ] = OnError.ABORT,
    as_json: JsonOption = False,
) -> None:
    """Store the interactions (or items) of a file.

    The rules are those of POST /interactions. Rows that carry an event_id can be sent again: a known one changes
    nothing.
    """
    from app.cli.progress import loading_bars
    from app.clock import now_us
    from app.db.engine import StoreUnavailable
    from app.importing.files import BadFile
    from app.importing.kinds import INTERACTIONS, ITEMS
    from app.importing.load import ImportReport, load_file

    kind: RowKind[Any] = ITEMS if items else INTERACTIONS
    report = ImportReport()
    with opened_store(read_settings()) as store:
        try:
            with loading_bars() as bars:
                load_file(file, store, kind, on_error=on_error.value, clock=now_us, on_progress=bars, report=report)
        except (BadFile, StoreUnavailable) as error:
            if as_json or report != ImportReport():
                _tell(file, report, as_json=as_json)
            if isinstance(error, BadFile):
                raise CommandFailed(f"{error}; {_stored(report)}") from error
            raise
    _tell(file, report, as_json=as_json)
    if report.rejected and on_error is OnError.ABORT:
        bad = counted(report.rejected, "bad row")
        raise CommandFailed(f"{file.name}: {bad}, {_stored(report)}; --on-error skip stores the good ones")


def _stored(report: ImportReport) -> str:
    if not report.accepted:
        return "nothing was stored"
    return f"{counted(report.accepted, 'row')} {'was' if report.accepted == 1 else 'were'} stored before it"


def _tell(file: Path, report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        errors = [{"line": error.line, "code": error.code, "detail": error.detail} for error in report.errors]
        counts = {"accepted": report.accepted, "duplicates": report.duplicates, "rejected": report.rejected}
        print_json({**counts, "errors": errors})
        return
    for error in report.errors:
        say(one_line(f"{file.name}:{error.line}: {error.detail}"), stderr=True)
    if unlisted := report.rejected - len(report.errors):
        say(f"... and {counted(unlisted, 'more bad row')}", stderr=True)
    say(f"{report.accepted:,} stored, {report.duplicates:,} known already, {report.rejected:,} rejected")
