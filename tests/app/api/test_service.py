from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import SchemaOutdated, Store
from app.readiness import StoreProbe
from tests.app.api.running import NOW_US, AwayStore, Running, StartService, active_model


def with_model(service: Running, version: int) -> None:
    service.state.live.swap(active_model(version, user_keys=[1], item_keys=[1]))


def probe(service: Running, store: object) -> None:
    service.state.probe = StoreProbe(store)  # type: ignore[arg-type]


def test_one_caller_may_not_send_more_than_the_limit(start: StartService) -> None:
    client = start(rate_limit_per_second=0.01).client
    assert client.get("/popular").status_code == 200
    refused = client.get("/popular")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert 95 <= int(refused.headers["Retry-After"]) <= 100
    assert client.get("/healthz").status_code == 200


def test_requests_with_a_wrong_key_are_not_counted(start: StartService) -> None:
    client = start(rate_limit_per_second=0.01).client
    assert [client.get("/popular", headers={"x-api-key": "wrong"}).status_code for _ in range(5)] == [401] * 5
    assert client.get("/popular").status_code == 200


def test_healthz_touches_nothing(service: Running) -> None:
    store = AwayStore()
    service.state.store, kept = store, service.state.store  # type: ignore[assignment]
    assert service.client.get("/healthz", headers={"x-api-key": "wrong"}).json() == {"status": "ok"}
    service.state.store = kept
    assert store.asked == 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
@pytest.mark.parametrize("query", ["x=1", "_=1&_=2", "%zz"])
def test_what_is_open_to_all_ignores_a_query(shared: Running, path: str, query: str) -> None:
    assert shared.client.get(f"{path}?{query}").status_code == 200


def test_what_needs_a_scope_refuses_a_query_that_it_does_not_have(shared: Running) -> None:
    assert shared.client.get("/stats?x=1").status_code == 422


def test_a_service_without_a_model_is_ready(service: Running) -> None:
    response = service.client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "model": "none", "checks": {"store": "ok", "schema": "ok"}}


def test_readiness_names_the_model_in_use(service: Running) -> None:
    with_model(service, 7)
    assert service.client.get("/readyz").json()["model"] == 7


def test_a_service_that_has_a_model_is_degraded_while_the_store_is_away(service: Running) -> None:
    with_model(service, 7)
    probe(service, AwayStore())
    response = service.client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "degraded", "model": 7, "checks": {"store": "away", "schema": "unknown"}}


def test_a_service_with_neither_store_nor_model_is_not_ready(service: Running) -> None:
    probe(service, AwayStore())
    response = service.client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "store_unavailable"
    assert response.json()["checks"] == {"store": "away", "schema": "unknown"}


def test_an_outdated_schema_is_not_ready_whatever_is_in_memory(service: Running, sqlite_store: Store) -> None:
    with_model(service, 7)
    with sqlite_store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'older'"))
    probe(service, sqlite_store)
    response = service.client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "schema_outdated")
    probe(service, AwayStore(SchemaOutdated("no tables")))
    assert service.client.get("/readyz").json()["code"] == "schema_outdated"


def test_a_service_that_shuts_down_is_not_ready_but_still_answers(service: Running) -> None:
    service.state.shutting_down = True
    response = service.client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "shutting_down")
    assert service.client.get("/healthz").status_code == 200
    assert service.client.get("/interactions").status_code == 200


class HungStore:
    """Takes the call and does not come back until released."""

    def __init__(self) -> None:
        self.asked = 0
        self.release = threading.Event()

    @contextmanager
    def read(self) -> Iterator[None]:
        self.asked += 1
        self.release.wait(20)
        raise SchemaOutdated("released")
        yield


@pytest.mark.slow
def test_a_hung_store_costs_readiness_one_thread_and_delays_nobody_else(service: Running) -> None:
    with_model(service, 7)
    store = HungStore()
    probe(service, store)
    for _ in range(2):
        started = time.monotonic()
        assert service.client.get("/readyz").json()["status"] == "degraded"
        assert time.monotonic() - started < 3
    assert store.asked == 1
    store.release.set()


def test_stats_count_what_is_stored(service: Running) -> None:
    rows = [{"user_id": user, "item_id": item} for user in "ab" for item in "xyz"]
    service.client.post("/interactions", json=rows)
    with_model(service, 7)
    service.clock.us += 1_500_000
    answer = service.client.get("/stats").json()
    assert (answer["users"], answer["items"], answer["interactions"]) == (2, 3, 6)
    assert answer["model"] == {"version": 7, "created_at": "2025-01-31T12:00:00Z", "age_seconds": 1.5}
    assert answer["last_training"] is None
    assert answer["feed"]["rows_after_base"] == 6


def test_stats_tell_how_the_last_training_ended(service: Running) -> None:
    with service.state.store.write() as connection:
        connection.execute(
            sa.insert(tables.trainings).values(
                status="failed", trigger="queued", created_us=NOW_US, finished_us=NOW_US, reason="too little data"
            )
        )
    answer = service.client.get("/stats").json()["last_training"]
    assert (answer["status"], answer["reason"]) == ("failed", "too little data")
    assert answer["finished_at"] == "2025-01-31T12:00:00Z"
