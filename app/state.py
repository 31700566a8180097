"""What one process of the service holds while it runs, in one typed place."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from app.clock import Clock
from app.db.engine import Store
from app.db.writer import InteractionWriter
from app.live.history import History
from app.live.live_model import LiveModel
from app.live.refresher import Refresher
from app.metrics import Metrics
from app.rate_limit import RateLimiter
from app.readiness import StoreProbe
from app.recommend import Recommender, SharedRanking
from app.security import KeyRing
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.uploads import BulkUploads


@dataclass
class AppState:
    """The parts that `app.main.create_app` puts together; handlers take what they need from here.

    Attributes:
        shutting_down: set once by the server; `/readyz` then says 503 so that load balancers look elsewhere.
    """

    settings: Settings
    clock: Clock
    store: Store
    snapshots: SnapshotStore
    writer: InteractionWriter
    uploads: BulkUploads
    history: History
    live: LiveModel
    refresher: Refresher
    keyring: KeyRing
    rate_limiter: RateLimiter
    probe: StoreProbe
    recommender: Recommender
    sharing: SharedRanking
    metrics: Metrics
    shutting_down: bool = False


def app_state(request: Request) -> AppState:
    """The state of the application that serves `request`."""
    state: AppState = request.app.state.likewise
    return state
