"""`likewise import FILE`: interactions, or items with --items, out of a file."""

from __future__ import annotations

import threading
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import CommandFailed
from app.cli.output import JsonOption, counted, one_line, print_json, say
from app.cli.signals import told_to_stop
from app.cli.stores import opened_store, read_settings

if TYPE_CHECKING:
    from app.importing.files import RecordFile
    from app.importing.load import ImportReport, RowKind
    from app.importing.parquet import ParquetRecords
    from app.importing.records import Preset


class OnError(StrEnum):
    """What a bad row does."""

    ABORT = "abort"
    SKIP = "skip"


class _Stopped(Exception):
    """A signal came."""


class From(StrEnum):
    """Whose export the file is."""

    MOVIELENS = "movielens"
    GORSE = "gorse"
    PERSONALIZE = "personalize"


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .csv, .ndjson or .jsonl file, with or without .gz, or a .parquet one.", exists=True, dir_okay=False
        ),
    ],
    items: Annotated[bool, typer.Option("--items", help="The file holds records of items, not interactions.")] = False,
    on_error: Annotated[
        OnError, typer.Option(help="abort: a bad row and nothing is stored; skip: the good rows are.")
    ] = OnError.ABORT,
    preset: Annotated[
        From | None, typer.Option(help="Take the column names of this program's exports; others are passed over.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Store the interactions (or items) of a file.

    The rules are those of POST /interactions. The whole file is checked before anything is stored. Rows that carry an
    event_id can be sent again: a known one changes nothing, so an import that was interrupted goes on by being
    repeated.
    """
    from app.cli.progress import loading_bars
    from app.clock import now_us
    from app.db.engine import StoreUnavailable
    from app.importing.kinds import INTERACTIONS, ITEMS
    from app.importing.load import ImportReport, load
    from app.importing.presets import PRESETS
    from app.importing.records import OWN, BadFile, BadLine
    from app.memory import collect_rarely, return_freed_memory

    return_freed_memory()
    collect_rarely()
    kind: RowKind[Any, Any] = ITEMS if items else INTERACTIONS
    theirs = OWN if preset is None else PRESETS[preset.value].items if items else PRESETS[preset.value].interactions
    report = ImportReport()
    settings = read_settings()
    with opened_store(settings) as store:
        try:
            with told_to_stop() as stop, _opened(file, kind, theirs) as source, loading_bars() as bars:
                load(
                    source,
                    store,
                    kind,
                    on_error=on_error.value,
                    spool_folder=settings.spool_dir,
                    clock=now_us,
                    on_progress=bars,
                    check=partial(_go_on, stop),
                    report=report,
                )
        except _Stopped:
            _tell(file, report, as_json=as_json)
            some = report.accepted or report.duplicates
            left = "rows with an event_id can be sent again" if some else "nothing was stored"
            raise CommandFailed(f"{file.name}: stopped; {left}") from None
        except (BadFile, StoreUnavailable) as error:
            if as_json and isinstance(error, BadFile):
                report.errors.append(BadLine(1, error.code, error.reason))
            if as_json or report != ImportReport():
                _tell(file, report, as_json=as_json)
            if isinstance(error, BadFile):
                raise CommandFailed(f"{error}; nothing was stored") from error
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandFailed(f"the rows cannot be kept in {settings.spool_dir}: {reason}") from error
    _tell(file, report, as_json=as_json)
    if report.rejected and on_error is OnError.ABORT:
        bad = counted(report.rejected, "bad row")
        raise CommandFailed(f"{file.name}: {bad}, nothing was stored; --on-error skip stores the good ones")


def _go_on(stop: threading.Event) -> None:
    """Raises: _Stopped."""
    if stop.is_set():
        raise _Stopped


def _opened(file: Path, kind: RowKind[Any, Any], preset: Preset) -> RecordFile | ParquetRecords:
    from app.importing.files import RecordFile
    from app.importing.parquet import ParquetRecords

    if file.suffix.lower() != ".parquet":
        return RecordFile.open(file, columns=kind.columns, required=kind.required, preset=preset)
    try:
        return ParquetRecords(file, columns=kind.columns, required=kind.required, preset=preset)
    except ImportError:
        raise CommandFailed("Parquet files need the extra: pip install 'likewise[parquet]'") from None


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
