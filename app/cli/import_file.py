"""`likewise import FILE`: interactions, or items with --items, out of a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.output import JsonOption, console, counted, print_json, say
from app.cli.stores import opened_store, read_settings

if TYPE_CHECKING:
    from app.importing.load import ImportReport


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
    from app.importing.files import BadFile
    from app.importing.kinds import INTERACTIONS, ITEMS
    from app.importing.load import load_file

    with opened_store(read_settings()) as store, loading_bars() as bars:
        try:
            if items:
                report = load_file(file, store, ITEMS, on_error=on_error.value, clock=now_us, on_progress=bars)
            else:
                report = load_file(file, store, INTERACTIONS, on_error=on_error.value, clock=now_us, on_progress=bars)
        except BadFile as error:
            raise CommandFailed(str(error)) from error
    _tell(file, report, as_json=as_json)
    if report.rejected and on_error is OnError.ABORT:
        before = counted(report.accepted, "row")
        stored = "nothing was stored" if not report.accepted else f"{before} stored before it was found"
        bad = counted(report.rejected, "bad row")
        raise CommandFailed(f"{file.name}: {bad}, {stored}; --on-error skip stores the good ones")


def _tell(file: Path, report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        errors = [{"line": error.line, "code": error.code, "detail": error.detail} for error in report.errors]
        counts = {"accepted": report.accepted, "duplicates": report.duplicates, "rejected": report.rejected}
        print_json({**counts, "errors": errors})
        return
    errors_to = console(stderr=True)
    for error in report.errors:
        errors_to.print(f"{file.name}:{error.line}: {error.detail}", markup=False)
    if unlisted := report.rejected - len(report.errors):
        errors_to.print(f"... and {counted(unlisted, 'more bad row')}")
    say(f"{report.accepted:,} stored, {report.duplicates:,} known already, {report.rejected:,} rejected")
