"""Pages of stored lists by keyset, so that a page costs the same however far one has paged.

A cursor holds the place of the last row shown, the list's name and a digest of the filters. Followed under another
filter it would give a page that looks right and leaves rows out, so it is refused there.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.parameters import Limit, QueryModel
from app.api.store_calls import from_store
from app.errors import invalid_at
from app.state import AppState

Row = TypeVar("Row")
Position = tuple[int, ...]
"""Where a row stands in its list: what the list is ordered by."""

_MAX_INT64 = 2**63 - 1
_OWN_FIELDS = {"limit", "cursor"}


class PageQuery(QueryModel):
    """`limit` and `cursor` of a list; further fields are its filters."""

    limit: Limit = Field(50, description="At most this many entries.")
    cursor: str | None = Field(None, description="`next` of the page before, with the same filters; opaque.")

    def filters(self) -> dict[str, Any]:
        """What the list is narrowed by."""
        return self.model_dump(exclude=_OWN_FIELDS)


async def page_answer(
    state: AppState,
    name: str,
    query: PageQuery,
    *,
    read: Callable[[Connection, int, Position | None], Sequence[Row]],
    position: Callable[[Row], Position],
    fields: int,
    view: Callable[[Row], Mapping[str, Any]],
) -> Response:
    """One page, and the cursor of the next where there is one.

    Args:
        name: the list's name; cursors of other lists are refused.
        read: up to so many rows that follow the position (None: from the start), in the list's order.
        position: a row's place, `fields` integers.
        view: a row as callers see it.
    Raises: ApiError 422 for a cursor that is not of this list and these filters; StoreUnavailable.
    """
    filters = query.filters()
    after = None if query.cursor is None else decode_cursor(query.cursor, name, filters, fields=fields)

    def rows_and_one_more() -> Sequence[Row]:
        with state.store.read() as connection:
            return read(connection, query.limit + 1, after)

    rows = await from_store(rows_and_one_more, deadline_seconds=state.settings.store_timeout_seconds)
    shown = rows[: query.limit]
    cursor = encode_cursor(name, filters, position(shown[-1])) if len(rows) > len(shown) else None
    return json_answer({"items": [view(row) for row in shown], "next": cursor})


def encode_cursor(name: str, filters: Mapping[str, Any], position: Position) -> str:
    """Where a list goes on, as text that callers hand back untouched."""
    text = json.dumps([name, _digest(filters), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str, name: str, filters: Mapping[str, Any], *, fields: int) -> Position:
    """The position in a cursor that `encode_cursor` made of the same name and filters.

    Raises: ApiError 422 with pointer `/query/cursor` for anything else.
    """
    try:
        decoded = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        position = tuple(decoded[2:])
        valid = (
            all(type(number) is int and abs(number) <= _MAX_INT64 for number in position)
            and len(position) == fields
            and encode_cursor(name, filters, position) == text
        )
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
        valid = False
    if not valid:
        raise invalid_at(
            "/query/cursor", "invalid_cursor", "not a cursor of this list with these filters; start again without one"
        )
    return position


def _digest(filters: Mapping[str, Any]) -> str:
    text = json.dumps(filters, sort_keys=True)
    return blake2b(text.encode(), digest_size=6).hexdigest()
