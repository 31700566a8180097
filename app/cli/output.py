"""How commands speak: tables and sentences on stdout for people, one JSON document with --json, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

# Where the output goes to a file or a pipe there is no width to fit; tables then keep to this one.
PIPED_WIDTH = 100

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document instead of text for people.")]


def console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr), without colour and 100 columns wide where no terminal is behind it."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else PIPED_WIDTH, soft_wrap=False)


def print_json(document: object) -> None:
    """Write one JSON document and a newline to stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def say(text: str, *, stderr: bool = False) -> None:
    """One line for people on stdout (or stderr), as it stands: nothing in it is markup, nothing is wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    stream.write(text + "\n")
    stream.flush()


def one_line(text: str) -> str:
    """The text, with escapes for what would break its line or steer the terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def counted(number: int, noun: str) -> str:
    """A number and what it counts: `1 row`, `1,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold numbers."""
    from rich import box
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, not str: a title with [brackets] is no markup.
        made.add_row(*("" if cell is None else Text(str(cell)) for cell in row))
    return made
