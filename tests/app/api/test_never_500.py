"""Whatever is sent, the answer is a success or a refusal that says why; never a failure of ours."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.api.running import Running

FIELDS = ["user_id", "item_id", "event_type", "value", "timestamp", "event_id", "recommendation_id", "context", "other"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=9)
QUESTIONS = {
    "/users/ann/recommendations": ["limit", "category", "category_any", "exclude_items", "max_per_category", "explain"],
    "/recommendations": ["interactions", "limit", "exclude_category", "include_seen"],
    "/recommendations/batch": ["user_ids", "limit", "category"],
    "/predict": ["user_id", "item_ids", "pairs"],
    "/users/nobody/merge": ["into"],
}
SESSION_ROWS = st.dictionaries(st.sampled_from(["item_id", "value", "event_type", "user_id"]), SCALARS, max_size=4)
PARTS = VALUES | st.lists(SESSION_ROWS, max_size=4) | st.just("item-1") | st.just(["item-1"]) | st.integers(1, 500)
FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def accepted_or_explained(service: Running, method: str, path: str, content: bytes | None = None) -> None:
    response = service.client.request(method, path, content=content)
    if response.status_code < 400:
        return
    assert response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["request_id"] == response.headers["x-request-id"]
    if response.status_code == 422:
        assert 1 <= len(document["errors"]) <= 20
        assert all(entry["pointer"] == "" or entry["pointer"][0] == "/" for entry in document["errors"])


@FEW
@given(body=VALUES | ROWS | st.lists(ROWS, max_size=4), skip=st.booleans())
def test_any_json_body(shared: Running, body: object, skip: bool) -> None:
    path = "/interactions?on_error=skip" if skip else "/interactions"
    accepted_or_explained(shared, "POST", path, json.dumps(body).encode())


@FEW
@given(body=st.binary(max_size=200))
def test_any_bytes_as_a_body(shared: Running, body: bytes) -> None:
    accepted_or_explained(shared, "POST", "/interactions", body)


@FEW
@given(user_id=st.text(max_size=300), name=st.text(min_size=1, max_size=20), value=st.binary(max_size=20))
def test_any_path_and_query(shared: Running, user_id: str, name: str, value: bytes) -> None:
    accepted_or_explained(shared, "GET", f"/users/{quote(user_id, safe='')}")
    accepted_or_explained(shared, "GET", f"/interactions?{quote(name)}={quote(value)}")
    accepted_or_explained(shared, "GET", f"/interactions?cursor={quote(value)}")
    accepted_or_explained(shared, "DELETE", f"/interactions/{quote(value, safe='')}")


@FEW
@given(data=st.data())
def test_any_question_in_a_body(shared_shop: Running, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(QUESTIONS)))
    body = data.draw(VALUES | st.dictionaries(st.sampled_from(QUESTIONS[path]), PARTS, max_size=6))
    accepted_or_explained(shared_shop, "POST", path, json.dumps(body).encode())


@FEW
@given(
    path=st.sampled_from(["/users/{}/recommendations", "/users/{}/recommendations/diagnosis", "/items/{}/similar"]),
    of=st.text(max_size=300),
    name=st.sampled_from(["limit", "category", "exclude_item", "max_per_category", "explain", "other"]),
    values=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=3),
)
def test_any_question_in_a_query(shared_shop: Running, path: str, of: str, name: str, values: list[str]) -> None:
    query = "&".join(f"{name}={quote(value)}" for value in values)
    accepted_or_explained(shared_shop, "GET", f"{path.format(quote(of, safe=''))}?{query}")
    accepted_or_explained(shared_shop, "GET", f"/popular?{query}")
