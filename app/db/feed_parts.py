"""Very many new interactions, some at a time: whoever follows the log shall not need memory for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa

from app.db import tables
from app.db.statements import covered, uncovered
from app.db.watermark import START, Part, Watermark

_t = tables.interactions.c


@dataclass(frozen=True, slots=True)
class NextPart:
    """Which rows are read next, and the watermark of whoever has read them."""

    condition: sa.ColumnElement[bool]
    watermark: Watermark


def next_part(connection: sa.Connection, since: Watermark, now: Watermark, *, most_rows: int) -> NextPart | None:
    """The next rows of very many that `since` has not seen; None where it may read all that is left.

    Args:
        now: the watermark of the same REPEATABLE READ transaction.
        most_rows: more than these are very many.
    """
    if now.postgres is not None:
        return _of_postgres(connection, since, now, most_rows=most_rows)
    # Ids are committed in their order.
    upto = max(since.last_id, 0) + most_rows
    if upto >= now.last_id:
        return None
    # Whoever has read nothing has nothing to correct either.
    changes = now.last_change_id if since == START else since.last_change_id
    return NextPart((_t.id > since.last_id) & (_t.id <= upto), Watermark(upto, changes, None, now.copy))


def _of_postgres(connection: sa.Connection, since: Watermark, now: Watermark, *, most_rows: int) -> NextPart | None:
    """Rows of one transaction may be all there are, so parts are ranges of ids of what one snapshot sees.

    What commits meanwhile, also with lower ids, is for whoever has read all parts; where that is very many again, in
    parts too.
    """
    part = since.part
    if part is None or part.whole:
        part = _first(connection, since if part is None else part.target, now, most_rows=most_rows)
    if part is None:
        return None
    upto = min(part.upto + most_rows, part.last)
    # The ids are what is looked up: by transaction all new rows would be, for each part again.
    xact = _t.xact + 0
    base, target = part.base, part.target
    condition = (
        (_t.id > part.upto)
        & (_t.id <= upto)
        & uncovered(tables.interactions, base, last_id=base.last_id, now=target.postgres, xact=xact)
        & covered(tables.interactions, target, last_id=target.last_id, xact=xact)
    )
    return NextPart(condition, replace(since, copy=now.copy, part=replace(part, upto=upto)))


def _first(connection: sa.Connection, base: Watermark, now: Watermark, *, most_rows: int) -> Part | None:
    new = uncovered(tables.interactions, base, last_id=base.last_id, now=now.postgres)
    some = sa.select(sa.literal(1)).where(new).limit(most_rows + 1).subquery()
    if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= most_rows:
        return None
    # Not by the primary key: it begins with all the old rows.
    ends = sa.select(sa.func.min(_t.id + 0), sa.func.max(_t.id + 0)).where(new)
    lowest, highest = connection.execute(ends).one()
    return Part(base, now, lowest - 1, highest)
