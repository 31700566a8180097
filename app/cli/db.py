"""`likewise db upgrade|current`: the schema of the store."""

from __future__ import annotations

import typer

from app.cli.output import JsonOption, print_json, say
from app.cli.stores import read_settings, store_of

group = typer.Typer(no_args_is_help=True, help="The store's schema.")


@group.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Create the store or bring its schema to this version. Safe to run from several places at once."""
    from app.db import migrate

    store = store_of(read_settings())
    try:
        before = migrate.current(store)
        migrate.upgrade(store)
        after = migrate.current(store)
    finally:
        store.dispose()
    if as_json:
        print_json({"before": before, "current": after, "head": migrate.head()})
        return
    say(
        f"The schema was at {after} already."
        if before == after
        else f"The schema went from {before or 'nothing'} to {after}."
    )


@group.command()
def current(as_json: JsonOption = False) -> None:
    """Show the schema the store has and the one this version needs."""
    from app.db import migrate

    store = store_of(read_settings())
    try:
        if store.dialect == "sqlite":
            migrate.ensure_schema(store)
        found, needed = migrate.examined(store), migrate.head()
    finally:
        store.dispose()
    if as_json:
        print_json({"current": found, "head": needed, "up_to_date": found == needed})
    elif found == needed:
        say(f"{found} (up to date)")
    else:
        say(f"{found or 'no schema'}; this version needs {needed}: run `likewise db upgrade`")
