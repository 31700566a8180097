"""`likewise export FILE`: all interactions, or records of items with --items, into a file that `import` takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.output import JsonOption, counted, print_json, say
from app.cli.signals import told_to_stop
from app.cli.stores import opened_store, read_settings
from app.cli.written_files import finished, format_of

if TYPE_CHECKING:
    from app.db.engine import Store


def export_file(
    file: Annotated[
        Path, typer.Argument(help="A .ndjson, .jsonl or .csv file to write, with or without .gz.", dir_okay=False)
    ],
    items: Annotated[bool, typer.Option("--items", help="Records of items, not interactions.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write all interactions (or records of items) in the form that `likewise import` takes.

    What is stored while it runs is left out. The file appears when it is complete.
    """
    from app.cli.progress import counting_bar
    from app.exported import NotForCsv

    form = format_of(file)
    unit = "records" if items else "rows"
    written = 0
    with opened_store(read_settings()) as store:
        total, header, pages = _chosen(store, items=items, form=form)
        try:
            with (
                told_to_stop() as stop,
                finished(file) as out,
                counting_bar("Exporting", total=total, unit=unit) as progress,
            ):
                out.write(header)
                for text, rows in pages:
                    if stop.is_set():
                        raise CommandFailed("stopped; no file was written")
                    out.write(text)
                    written += rows
                    progress(written)
                progress(written)
        except NotForCsv as error:
            raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"written": written, "file": str(file)})
        return
    say(f"{counted(written, unit.removesuffix('s'))} in {file}")


def _chosen(store: Store, *, items: bool, form: str) -> tuple[int, bytes, Iterator[tuple[bytes, int]]]:
    """How many there are, the first line, and the pages as text with their numbers of rows."""
    from app import exported
    from app.db import exports, interactions
    from app.db import items as records

    with store.read() as connection:
        total = records.count(connection, put=True) if items else interactions.count(connection)
    columns: Sequence[str] = exported.ITEM_HEADER if items else exported.INTERACTION_HEADER
    header = exported.header(columns) if form == "csv" else b""
    if items:
        of_items = exported.items_csv if form == "csv" else exported.items_ndjson
        return total, header, ((of_items(page), len(page)) for page in exports.all_items(store))
    of_rows = exported.interactions_csv if form == "csv" else exported.interactions_ndjson
    return total, header, ((of_rows(page), len(page)) for page in exports.all_interactions(store))
