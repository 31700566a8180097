"""COPY into PostgreSQL's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import sqlalchemy as sa

from app.db.new_interactions import NewInteractions

_COLUMNS = "user_key, item_key, event_type, value, occurred_us, received_us, event_id, recommendation_id, context"
# Without event ids nothing can be there already.
_COPY = f"COPY interactions ({_COLUMNS}) FROM STDIN"
# One for each connection; emptied at each commit. `LIKE` would take the checks with it.
_STAGE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS likewise_new (place INTEGER, user_key BIGINT, item_key BIGINT,"
    ' event_type TEXT, value DOUBLE PRECISION, occurred_us BIGINT, received_us BIGINT, event_id TEXT COLLATE "C",'
    " recommendation_id TEXT, context TEXT) ON COMMIT DELETE ROWS"
)
_EMPTY_STAGE = "TRUNCATE likewise_new"
_COPY_STAGE = f"COPY likewise_new (place, {_COLUMNS}) FROM STDIN"
# Ids in the order given. Then sorted by event: see `app.db.append`.
_FROM_STAGE = (
    f"INSERT INTO interactions (id, {_COLUMNS}) SELECT id, {_COLUMNS} FROM ("  # noqa: S608
    "SELECT nextval(pg_get_serial_sequence('interactions', 'id')) AS id, ordered.* FROM ("
    "SELECT * FROM likewise_new ORDER BY place) AS ordered) AS numbered ORDER BY event_id"
    " ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING"
)
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def copy_rows(
    connection: sa.Connection,
    new: NewInteractions,
    user_keys: list[int],
    item_keys: list[int],
    *,
    received_us: int,
) -> int:
    """Append rows by COPY; returns how many were new."""
    lines = _as_lines(new, user_keys, item_keys, received_us)
    if new.event_ids is None:
        _copy(connection, _COPY, lines)
        return len(new)
    connection.exec_driver_sql(_STAGE)
    connection.exec_driver_sql(_EMPTY_STAGE)
    _copy(connection, _COPY_STAGE, [f"{place}\t{line}" for place, line in enumerate(lines)])
    return connection.exec_driver_sql(_FROM_STAGE).rowcount


def _as_lines(new: NewInteractions, user_keys: list[int], item_keys: list[int], received_us: int) -> list[str]:
    """The rows in COPY's text format: tabs between, \\N for NULL. Event types need no escapes."""
    row = f"%d\t%d\t%s\t%r\t%d\t{received_us}\t%s\t%s\t%s".__mod__
    texts = [_escaped(column, len(new)) for column in (new.event_ids, new.recommendation_ids, new.contexts)]
    rows = zip(user_keys, item_keys, new.event_types, new.values, new.occurred_us, *texts, strict=True)
    return list(map(row, rows))


def _escaped(column: Sequence[str | None] | None, rows: int) -> list[str]:
    if column is None:
        return ["\\N"] * rows
    return ["\\N" if one is None else one.translate(_ESCAPED) if "\\" in one else one for one in column]


def _copy(connection: sa.Connection, statement: str, lines: list[str]) -> None:
    driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if driver is None:
        raise sa.exc.InvalidRequestError("the connection is closed")
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write("\n".join(lines) + "\n")
    except psycopg.Error as error:
        # As SQLAlchemy would have raised it, for whoever tells a store that is away from other faults.
        closed = driver.closed
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, dialect=connection.dialect, connection_invalidated=closed
        ) from error
