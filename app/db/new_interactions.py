"""Many interactions as they came in, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.db.append import NewInteraction


@dataclass(frozen=True, slots=True)
class NewInteractions:
    """Interactions that keep to the rules, as aligned columns of the fields of `NewInteraction`; all N long.

    A column of which no row has anything is None: most logs have three of those, and each value that is handed to a
    database costs.
    """

    user_ids: list[str]
    item_ids: list[str]
    event_types: list[str]
    values: list[float]
    occurred_us: list[int]
    event_ids: list[str | None] | None = None
    recommendation_ids: list[str | None] | None = None
    contexts: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    def __iter__(self) -> Iterator[NewInteraction]:
        """The rows one by one."""
        nothing = [None] * len(self)
        columns = (
            *(self.user_ids, self.item_ids, self.event_types, self.values, self.occurred_us),
            *(self.event_ids or nothing, self.recommendation_ids or nothing, self.contexts or nothing),
        )
        return (NewInteraction(*row) for row in zip(*columns, strict=True))

    @classmethod
    def of(cls, rows: Sequence[NewInteraction]) -> NewInteractions:
        """Those of rows."""
        return cls(
            [row.user_id for row in rows],
            [row.item_id for row in rows],
            [row.event_type for row in rows],
            [row.value for row in rows],
            [row.occurred_us for row in rows],
            _filled([row.event_id for row in rows]),
            _filled([row.recommendation_id for row in rows]),
            _filled([row.context for row in rows]),
        )

    @classmethod
    def joined(cls, parts: Sequence[NewInteractions]) -> NewInteractions:
        """All rows of some parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            [one for part in parts for one in part.user_ids],
            [one for part in parts for one in part.item_ids],
            [one for part in parts for one in part.event_types],
            [one for part in parts for one in part.values],
            [one for part in parts for one in part.occurred_us],
            _filled([one for part in parts for one in part.event_ids or [None] * len(part)]),
            _filled([one for part in parts for one in part.recommendation_ids or [None] * len(part)]),
            _filled([one for part in parts for one in part.contexts or [None] * len(part)]),
        )

    def without_repeats(self) -> NewInteractions:
        """The rows but those whose `event_id` stands in an earlier one."""
        given = [event_id for event_id in self.event_ids or () if event_id is not None]
        if len(set(given)) == len(given):
            return self
        known: set[str] = set()
        kept = []
        for row in self:
            if row.event_id is not None and row.event_id in known:
                continue
            if row.event_id is not None:
                known.add(row.event_id)
            kept.append(row)
        return NewInteractions.of(kept)


def _filled(column: list[str | None]) -> list[str | None] | None:
    return column if column.count(None) < len(column) else None
