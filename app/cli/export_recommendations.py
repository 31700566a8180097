"""`likewise export-recommendations FILE`: the list of every user, in one pass."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from app.cli.output import JsonOption, counted, print_json, say
from app.cli.reader import reading
from app.cli.stores import read_settings
from app.cli.written_files import finished, format_of

if TYPE_CHECKING:
    from app.recommend.everyone import UserList

_TOLD_EVERY = 1_000


def export_recommendations(
    file: Annotated[
        Path, typer.Argument(help="A .ndjson, .jsonl or .csv file to write, with or without .gz.", dir_okay=False)
    ],
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many items a user.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Write what the service would recommend to every user now.

    NDJSON has a line for each user, with the fields of GET /users/{user_id}/recommendations; CSV one for each item:
    user_id, rank, item_id, score, source. The file appears when it is complete.
    """
    from app.cli.progress import counting_bar
    from app.recommend.everyone import everyone

    write = _csv if format_of(file) == "csv" else _ndjson
    with reading(read_settings()) as state:
        total = state.history.held.users()
        with finished(file) as out, counting_bar("Ranking", total=total, unit="users") as progress:
            users = 0
            lists = everyone(state.recommender, state.history, limit=limit)
            for users, _ in enumerate(write(out, lists), 1):
                if users % _TOLD_EVERY == 0:
                    progress(users)
            progress(users)
        model = state.live.current()
    if as_json:
        print_json({"users": users, "model_version": None if model is None else model.version, "file": str(file)})
        return
    version = "no model yet" if model is None else f"model version {model.version}"
    say(f"{counted(users, 'list')} in {file} ({version})")


def _ndjson(out: IO[bytes], lists: Iterator[UserList]) -> Iterator[UserList]:
    import msgspec

    class Line(msgspec.Struct):
        user_id: str
        model_version: int | None
        source: str
        items: list[object]

    encoder = msgspec.json.Encoder()
    for each in lists:
        ranked = each.ranked
        out.write(encoder.encode(Line(each.user_id, ranked.model_version, ranked.source, [*ranked.items])) + b"\n")
        yield each


def _csv(out: IO[bytes], lists: Iterator[UserList]) -> Iterator[UserList]:
    from io import TextIOWrapper

    text = TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["user_id", "rank", "item_id", "score", "source"])
    for each in lists:
        rows.writerows([each.user_id, item.rank, item.item_id, item.score, item.source] for item in each.ranked.items)
        yield each
    text.flush()
    text.detach()
