"""Files that commands write: whole, or not there."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

import typer

from app.cli.exits import CommandFailed


def format_of(file: Path) -> Literal["csv", "ndjson"]:
    """The format that a name says. Raises: BadParameter where it says none."""
    suffix = (file.suffixes[-2:-1] if file.suffix == ".gz" else file.suffixes[-1:]) or [""]
    if suffix[0] in {".ndjson", ".jsonl"}:
        return "ndjson"
    if suffix[0] == ".csv":
        return "csv"
    raise typer.BadParameter("name a .ndjson, .jsonl or .csv file, with or without .gz", param_hint="FILE")


@contextmanager
def finished(file: Path) -> Iterator[IO[bytes]]:
    """A stream into a file that appears when the block ends well; packed where its name ends in .gz.

    Raises: CommandFailed where it cannot be written.
    """
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with _opened(unfinished, compressed=file.suffix == ".gz") as out:
            yield out
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CommandFailed(f"{file} cannot be written: {error.strerror or error}") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as plain:
        if not compressed:
            yield plain
            return
        with gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=1) as packed:
            yield cast("IO[bytes]", packed)
