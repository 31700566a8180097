"""`/metrics`: what the service counts of itself, for Prometheus."""

from __future__ import annotations

import asyncio
import math
import time

from starlette.requests import Request
from starlette.responses import Response

from app.api.operations import Answer, Operations
from app.clock import MICROSECONDS
from app.metrics import CONTENT_TYPE, Condition
from app.state import AppState, app_state

operations = Operations("service")

# A scrape has ten seconds by default, and must not fail because the store does.
_PROBE_SECONDS = 1.0
_EXAMPLE = """\
# HELP likewise_requests_total Requests answered.
# TYPE likewise_requests_total counter
likewise_requests_total{method="GET",operation="/users/{user_id}/recommendations",status="200"} 1027.0
"""


@operations.get(
    "/metrics",
    scope="read",
    summary="Counts and states, for Prometheus",
    description="In Prometheus' text format. The counts are those of all workers of `likewise serve`.",
    answers={200: Answer("As of now.", str, _EXAMPLE, media_type=CONTENT_TYPE)},
)
async def scrape(request: Request) -> Response:
    """Also while the store is away."""
    state = app_state(request)
    found = await state.probe.look(seconds=_PROBE_SECONDS)
    state.metrics.note_store(up=found.store == "ok")
    note_condition(state)
    return Response(await asyncio.to_thread(state.metrics.exposition), media_type=CONTENT_TYPE)


def note_condition(state: AppState) -> None:
    """Let the metrics know how this process is; from memory."""
    model, read_at = state.live.current(), state.refresher.feed_read_at
    state.metrics.note(
        Condition(
            model_version=0 if model is None else model.version,
            model_age_seconds=0 if model is None else max(0, state.clock() - model.created_us) / MICROSECONDS,
            model_users=0 if model is None else len(model.served.user_keys),
            model_items=0 if model is None else model.served.num_items,
            new_items=0 if model is None else len(model.candidates.new.keys),
            interactions_since_base=state.history.held.since_base(),
            feed_age_seconds=math.inf if read_at is None else time.monotonic() - read_at,
        )
    )
