"""A store that can be away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from app.db.engine import Store, StoreUnavailable


class FlakyStore(Store):
    """The same database as another store; while `away` is set nothing gets through.

    `lose_answers`: so many commits are made and then reported as failed, as when the line breaks at the wrong moment.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine)
        self.away = False
        self.lose_answers = 0

    @contextmanager
    def read(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        self._answer()
        with super().read(repeatable=repeatable) as connection:
            yield connection

    @contextmanager
    def write(self, **options: Any) -> Iterator[sa.Connection]:
        self._answer()
        with super().write(**options) as connection:
            yield connection
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreUnavailable("the answer got lost")

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("away")
