"""Small stores with a known right answer for trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from app.clock import MICROSECONDS
from app.db import interactions
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.settings import Settings
from app.snapshots import SnapshotStore

START_US = 1_700_000_000 * MICROSECONDS
GROUPS = ("red", "blue")
USERS_OF_A_GROUP = 40
ITEMS_OF_A_GROUP = 15
ITEMS_OF_A_USER = 8


def two_tastes(*, seed: int = 7) -> list[NewInteraction]:
    """Two groups of users who share no item; each user chose some of the group's, an hour between any two events."""
    generator = np.random.default_rng(seed)
    chosen = [
        (f"{group}-{user}", f"{group}-item-{item}")
        for group in GROUPS
        for user in range(USERS_OF_A_GROUP)
        for item in generator.choice(ITEMS_OF_A_GROUP, ITEMS_OF_A_USER, replace=False)
    ]
    return [
        NewInteraction(*chosen[row], "interaction", 1.0, START_US + place * 3600 * MICROSECONDS)
        for place, row in enumerate(generator.permutation(len(chosen)).tolist())
    ]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged; nothing is printed (a rendered traceback takes a second)."""
    with structlog.testing.capture_logs() as found:
        yield found


@pytest.fixture
def fill() -> Callable[[Store, list[NewInteraction]], None]:
    """Puts interactions into a store."""

    def filled(store: Store, rows: list[NewInteraction]) -> None:
        with store.write() as connection:
            interactions.append(connection, rows, received_us=START_US)

    return filled


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotStore:
    """An empty folder of snapshots."""
    return SnapshotStore(tmp_path / "models")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, but nothing outside the test's folder."""
    return Settings(database_url=f"sqlite:///{tmp_path / 'unused.db'}", model_dir=tmp_path / "models", device="cpu")


@pytest.fixture
def hurried(settings: Settings) -> Settings:
    """For tests that do not ask how good a model is: each fit ends after one epoch."""
    return settings.model_copy(update={"training_time_budget_seconds": 1e-9})
