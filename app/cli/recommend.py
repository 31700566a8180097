"""`likewise recommend USER`: a user's list, made by the live model in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import JsonOption, console, counted, print_json, say, table
from app.cli.reader import reading
from app.cli.stores import read_settings

if TYPE_CHECKING:
    from app.db.engine import Store


def recommend(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many items.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show what the service would recommend to a user now."""
    from app.ids import InvalidId, check_id
    from app.recommend import Wanted

    try:
        user_id = check_id(user)
    except InvalidId as error:
        raise typer.BadParameter(error.detail, param_hint="USER") from error
    with reading(read_settings()) as state:
        ranked = state.recommender.for_user(user_id, Wanted(limit=limit))
        empty = not ranked.items and _is_empty(state.store)
    if as_json:
        documents = [
            {"item_id": item.item_id, "rank": item.rank, "score": item.score, "source": item.source}
            | ({} if item.title is None else {"title": item.title})
            for item in ranked.items
        ]
        head = {"user_id": user_id, "model_version": ranked.model_version, "source": ranked.source}
        print_json({**head, "items": documents})
        return
    if not ranked.items:
        say(
            "There is nothing to recommend: the store is empty. `likewise import FILE` fills it."
            if empty
            else "There is nothing to recommend: this user has seen all items that may be shown."
        )
        return
    version = "no model yet" if ranked.model_version is None else f"model version {ranked.model_version}"
    say(f"{counted(len(ranked.items), 'item')} for {user_id}, source: {ranked.source} ({version})")
    cells = [[item.rank, item.title or "", item.item_id, f"{item.score:.4f}"] for item in ranked.items]
    console().print(table(["", "title", "item", "score"], cells, right=["", "score"]))


def _is_empty(store: Store) -> bool:
    from app.db import interactions

    with store.read() as connection:
        return interactions.count(connection, beyond=None) == 0
