"""Short forms for the rows that the tests of the store write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from app.db.engine import Store
from app.db.interactions import Appended, NewInteraction, append


def row(user_id: str = "u", item_id: str = "i", *, at: int = 1_000, event_id: str | None = None) -> NewInteraction:
    return NewInteraction(user_id, item_id, "click", 1.0, at, event_id)


def store_rows(store: Store, rows: Iterable[NewInteraction]) -> Appended:
    with store.write() as connection:
        return append(connection, list(rows), received_us=5_000)


@contextmanager
def held_open(store: Store, *rows: NewInteraction) -> Iterator[None]:
    """A transaction that has written `rows` and is committed at the end of the block."""
    with store.write() as connection:
        append(connection, list(rows), received_us=1)
        yield
