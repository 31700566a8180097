"""A running service, and stand-ins for parts of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.testclient import TestClient

from app.db.engine import StoreUnavailable
from app.db.watermark import START
from app.live.live_model import ActiveModel
from app.main import Service
from app.state import AppState
from model.candidates import Candidates
from tests.app.published import served_model

NOW_US = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    us: int = NOW_US

    def __call__(self) -> int:
        return self.us


@dataclass
class AwayStore:
    """A store that does not answer, and counts how often it was asked."""

    error: Exception = field(default_factory=lambda: StoreUnavailable("connection refused"))
    asked: int = 0

    def read(self, *, repeatable: bool = False) -> None:
        self.asked += 1
        raise self.error

    def write(self) -> None:
        self.asked += 1
        raise self.error


@dataclass(frozen=True)
class Running:
    """A running service and what tests need of it."""

    app: Service
    client: TestClient
    clock: Clock

    @property
    def state(self) -> AppState:
        state: AppState = self.app.state.likewise
        return state


def active_model(version: int, *, user_keys: list[int], item_keys: list[int]) -> ActiveModel:
    """A version that was never published, of random numbers."""
    candidates = Candidates.as_trained(served_model(user_keys, item_keys))
    return ActiveModel(version, NOW_US, START, f"model-{version:06d}", candidates)


StartService = Callable[..., Running]
