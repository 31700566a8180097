"""`likewise models list`: the model versions and which one is live."""

from __future__ import annotations

import typer

from app.cli.output import JsonOption, console, print_json, say, table
from app.cli.stores import opened_store, read_settings

group = typer.Typer(no_args_is_help=True, help="The versions of the model.")


@group.callback()
def versions() -> None:
    """The versions of the model."""


@group.command(name="list")
def list_models(as_json: JsonOption = False) -> None:
    """Show the versions, newest first; the live one is marked."""
    from app.clock import to_rfc3339
    from app.db import models

    with opened_store(read_settings()) as store, store.read() as connection:
        live, pinned = models.pointer(connection)
        rows = models.page(connection, limit=500)
    documents = [
        {
            "version": row.version,
            "live": row.version == live,
            "created_at": to_rfc3339(row.created_us),
            "users": row.users,
            "items": row.items,
            "rows": row.rows,
        }
        for row in rows
    ]
    if as_json:
        print_json({"active": live, "pinned": pinned, "items": documents})
    elif documents:
        cells = [[value if name != "live" else "live" if value else "" for name, value in d.items()] for d in documents]
        columns = ["version", "", "created", "users", "items", "rows"]
        console().print(table(columns, cells, right=["version", "users", "items", "rows"]))
    else:
        say("There is no model yet: `likewise train` makes one.")
