"""Every operation by every kind of caller, made from the operations: a new one is in it by being declared."""

from __future__ import annotations

import re

import pytest

from app.api.operations import Operation
from app.db import keys
from app.main import operations
from app.security import RANKS
from tests.app.api.running import NOW_US, Running, StartService

CALLERS = ["none", "wrong", "read", "write", "admin"]


@pytest.fixture
def service(start: StartService) -> Running:
    return start(loopback=False)


def with_keys(service: Running) -> dict[str, str]:
    made = {"wrong": "lw_000000000000_" + "0" * 64}
    with service.state.store.write() as connection:
        for scope in ("read", "write", "admin"):
            _, made[scope] = keys.create(connection, f"a {scope} key", scope, NOW_US)
    with service.state.store.read() as connection:
        service.state.keyring.replace(keys.active(connection))
    return made


def call(service: Running, operation: Operation, key: str | None) -> int:
    path = re.sub(r"\{(\w+):\w+\}", lambda match: operation.path_examples[match[1]], operation.path)
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    status: int = service.client.request(operation.method, path, headers=headers).status_code
    return status


def test_every_operation_lets_in_exactly_the_callers_of_its_scope(service: Running) -> None:
    made = with_keys(service)
    for operation in operations():
        assert operation.scope in RANKS
        for caller in CALLERS:
            status = call(service, operation, made.get(caller))
            where = f"{operation.method} {operation.path} by {caller}: {status}"
            if operation.scope == "open":
                assert status not in (401, 403), where
            elif caller in ("none", "wrong"):
                assert status == 401, where
            elif RANKS[caller] < RANKS[operation.scope]:
                assert status == 403, where
            else:
                assert status not in (401, 403, 405, 500), where


def test_the_scopes_are_those_of_the_contract() -> None:
    scopes = {f"{operation.method} {operation.path}": operation.scope for operation in operations()}
    assert scopes["POST /interactions"] == "write"
    assert scopes["GET /interactions"] == "write"
    assert scopes["DELETE /interactions/{event_id:segment}"] == "write"
    assert scopes["GET /users/{user_id:segment}"] == "read"
    assert {operation.path for operation in operations() if operation.scope == "open"} == {
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/docs.js",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/docs/favicon-32x32.png",
    }


def test_nothing_is_served_beside_the_operations(service: Running) -> None:
    assert service.app.routes == []


def test_a_public_address_without_keys_serves_nobody(service: Running) -> None:
    assert service.client.get("/stats").status_code == 401
    assert service.client.get("/readyz").status_code == 200


def test_anonymous_callers_are_served_where_that_was_said_aloud(start: StartService) -> None:
    assert start(loopback=False, allow_anonymous=True).client.get("/stats").status_code == 200


def test_a_new_key_is_known_after_the_next_refresh(start: StartService) -> None:
    service = start(refresh_seconds=60)
    assert service.client.get("/stats").status_code == 200
    with service.state.store.write() as connection:
        _, secret = keys.create(connection, "first", "read", NOW_US)
    service.state.refresher.poll()
    assert service.client.get("/stats").status_code == 401
    assert service.client.get("/stats", headers={"x-api-key": secret}).status_code == 200


def test_revoking_the_last_key_does_not_let_anonymous_callers_in_again(start: StartService) -> None:
    service = start(refresh_seconds=60)
    with service.state.store.write() as connection:
        key_id, secret = keys.create(connection, "only", "admin", NOW_US)
    service.state.refresher.poll()
    with service.state.store.write() as connection:
        keys.revoke(connection, key_id, NOW_US)
    service.state.refresher.poll()
    assert service.client.get("/stats").status_code == 401
    assert service.client.get("/stats", headers={"x-api-key": secret}).status_code == 401
