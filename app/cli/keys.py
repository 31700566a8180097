"""`likewise keys create|list|revoke`: who may call the service."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.output import JsonOption, console, print_json, say, table
from app.cli.stores import opened_store, read_settings

group = typer.Typer(no_args_is_help=True, help="The keys that callers show: create, list, revoke.")


_MAX_NAME_LENGTH = 100
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Lone surrogates stand for bytes that are not UTF-8, U+FFFD for what some program made of such.
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")


class KeyScope(StrEnum):
    """What a key allows; each scope includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it: a note for people, of 1 to 100 characters.")],
    scope: Annotated[
        KeyScope, typer.Option(help="read: lists and scores; write: also interactions; admin: everything.")
    ] = KeyScope.READ,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it: this is the only time that it can be seen."""
    from app.clock import now_us
    from app.db import keys

    _check_name(name)
    with opened_store(read_settings()) as store, store.write() as connection:
        key_id, secret = keys.create(connection, name, scope.value, now_us())
    if as_json:
        print_json({"key_id": key_id, "name": name, "scope": scope.value, "key": secret})
        return
    say(secret)
    console(stderr=True).print(
        f"Key {key_id} for {name!r}, scope {scope.value}. Keep it now: it is not shown again.", markup=False
    )


@group.command(name="list")
def list_keys(as_json: JsonOption = False) -> None:
    """Show every key that was made, without its secret."""
    from app.clock import to_rfc3339
    from app.db import keys

    with opened_store(read_settings()) as store, store.read() as connection:
        rows = keys.list_all(connection)
    documents = [
        {
            "key_id": row.key_id,
            "name": row.name,
            "scope": row.scope,
            "created_at": to_rfc3339(row.created_us),
            "revoked_at": None if row.revoked_us is None else to_rfc3339(row.revoked_us),
        }
        for row in rows
    ]
    if as_json:
        print_json({"items": documents})
    elif documents:
        cells = [[*document.values()] for document in documents]
        console().print(table(["key", "name", "scope", "created", "revoked"], cells))
    else:
        say("There are no keys: callers are served without one on a loopback address only.")


@group.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")], as_json: JsonOption = False
) -> None:
    """End a key: every replica refuses it within moments."""
    from app.clock import now_us
    from app.db import keys

    with opened_store(read_settings()) as store, store.write() as connection:
        # No id holds broken UTF-8, which the database could not even be asked for.
        revoked = not _BROKEN.search(key_id) and keys.revoke(connection, key_id, now_us())
    if not revoked:
        raise CommandFailed("there is no active key with this id; `likewise keys list` shows them")
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
        return
    say(f"Key {key_id} is revoked.")


def _check_name(name: str) -> None:
    """Refuse a name that would not show in a list as it is. Raises: typer.BadParameter."""
    if not 1 <= len(name) <= _MAX_NAME_LENGTH:
        wrong = f"a name has 1 to {_MAX_NAME_LENGTH} characters"
    elif _CONTROL.search(name):
        wrong = "a name holds no control characters"
    elif _BROKEN.search(name):
        wrong = "a name holds no broken UTF-8"
    elif name != name.strip():
        wrong = "a name neither starts nor ends with white space"
    else:
        return
    raise typer.BadParameter(wrong, param_hint="NAME")
