"""How far the log was read: what a training, a history or a replica has seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class PostgresSnapshot:
    """A `pg_snapshot`: transactions below `xmin` had ended, those from `xmax` on had not begun, `running` were open."""

    xmin: int
    xmax: int
    running: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> PostgresSnapshot:
        """Read PostgreSQL's own form, `xmin:xmax:xip,xip`. Raises: ValueError."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(xact) for xact in running.split(",") if xact))

    def sees(self, xact: int) -> bool:
        """Whether what transaction `xact` committed was visible."""
        return xact < self.xmin or (xact < self.xmax and xact not in self.running)


@dataclass(frozen=True)
class Watermark:
    """A point of the log.

    On SQLite ids are committed in their order, so `last_id` and `last_change_id` say everything. On PostgreSQL they
    are not, and `snapshot` (the text of a `pg_snapshot`) decides; the ids are then only the highest ones that were
    seen. Transaction numbers mean something in one copy of the tables only, so `copy` says which one: it is another
    after a dump was restored. None on SQLite, where nothing tells copies apart.

    Whoever is reading very many rows part by part on PostgreSQL has also seen `part`. No such point is written down.
    """

    last_id: int
    last_change_id: int
    snapshot: str | None
    copy: str | None = None
    part: Part | None = None

    @cached_property
    def postgres(self) -> PostgresSnapshot | None:
        """The snapshot, read; None on SQLite and at the start."""
        return None if self.snapshot is None else PostgresSnapshot.parse(self.snapshot)

    def covers(self, row_id: int, xact: int) -> bool:
        """Whether the interaction `row_id`, written by transaction `xact`, had been read."""
        if self.part is not None:
            return self.part.covers(row_id, xact)
        return row_id <= self.last_id if self.postgres is None else self.postgres.sees(xact)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {
            "last_id": self.last_id,
            "last_change_id": self.last_change_id,
            "snapshot": self.snapshot,
            "copy": self.copy,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Watermark:
        """Raises: KeyError, TypeError or ValueError for anything that `to_json` did not make."""
        snapshot = document["snapshot"]
        if snapshot is not None:
            PostgresSnapshot.parse(snapshot)
        copy = document.get("copy")
        if not (copy is None or isinstance(copy, str)):
            raise ValueError("copy is not a text")
        return cls(int(document["last_id"]), int(document["last_change_id"]), snapshot, copy)


@dataclass(frozen=True, slots=True)
class Part:
    """All interactions that one watermark covers, and of those that a later one does, those up to an id.

    Attributes:
        base, target: these two.
        upto: the id.
        last: the highest id that is to be read.
    """

    base: Watermark
    target: Watermark
    upto: int
    last: int

    @property
    def whole(self) -> bool:
        """Whether it is all that the target covers."""
        return self.upto >= self.last

    def covers(self, row_id: int, xact: int) -> bool:
        """Whether the interaction `row_id`, written by transaction `xact`, had been read."""
        within = self.whole or row_id <= self.upto
        return self.base.covers(row_id, xact) or (within and self.target.covers(row_id, xact))


START = Watermark(-1, -1, None)
"""Before anything was read: covers nothing. An empty store's watermark is another: it saw that there was nothing."""
