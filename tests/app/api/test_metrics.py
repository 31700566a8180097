from __future__ import annotations

import random
import re
import shutil
import string
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.main import operations
from app.readiness import StoreProbe
from tests.app.api.running import AwayStore, Running, StartService, active_model
from tests.app.published import publish_model


def scrape(service: Running) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value."""
    answer = service.client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def requests(service: Running) -> dict[tuple[str, ...], float]:
    """(method, operation, status) -> how often."""
    return {key[1:]: value for key, value in scrape(service).items() if key[0] == "likewise_requests_total"}


def test_the_answer_is_prometheus_text(service: Running) -> None:
    answer = service.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {family.type for family in text_string_to_metric_families(answer.text)} == {"counter", "gauge", "histogram"}


def test_it_needs_the_scope_read() -> None:
    (operation,) = [operation for operation in operations() if operation.path == "/metrics"]
    assert (operation.method, operation.scope) == ("GET", "read")


def test_requests_are_counted_by_their_declared_path(service: Running) -> None:
    for path in ("/users/ada", "/users/ben", "/users/a%2Fb/recommendations", "/popular?limit=0", "/popular"):
        service.client.get(path)
    service.client.head("/healthz")
    service.client.post("/interactions", json={"user_id": "ada", "item_id": "cup"})
    assert requests(service) == {
        ("GET", "/users/{user_id}", "404"): 2,
        ("GET", "/users/{user_id}/recommendations", "200"): 1,
        ("GET", "/popular", "422"): 1,
        ("GET", "/popular", "200"): 1,
        ("HEAD", "/healthz", "200"): 1,
        ("POST", "/interactions", "201"): 1,
    }


def test_a_scrape_counts_itself_in_the_next_one(service: Running) -> None:
    assert requests(service) == {}
    assert requests(service) == {("GET", "/metrics", "200"): 1}


def test_a_wrong_method_counts_for_the_path_and_an_unknown_path_for_none(service: Running) -> None:
    service.client.request("NONSENSE", "/users/ada")
    service.client.delete("/stats")
    service.client.get("/nothing")
    assert requests(service) == {
        ("other", "/users/{user_id}", "405"): 1,
        ("DELETE", "/stats", "405"): 1,
        ("GET", "unknown", "404"): 1,
    }


def test_who_is_not_let_in_is_counted_too(start: StartService) -> None:
    service = start(loopback=False)
    service.client.get("/stats")
    service.state.keyring._anonymous = True
    assert requests(service) == {("GET", "/stats", "401"): 1}


def test_durations_are_counted_for_each_operation(service: Running) -> None:
    for _ in range(3):
        service.client.get("/healthz")
    found = scrape(service)
    assert found["likewise_request_duration_seconds_count", "GET", "/healthz"] == 3
    assert 0 < found["likewise_request_duration_seconds_sum", "GET", "/healthz"] < 3


def test_whatever_callers_send_the_labels_are_declared_paths_known_methods_and_statuses(service: Running) -> None:
    randomly = random.Random(1)
    paths = [re.sub(r"\{\w+:segment}", "{}", operation.path) for operation in operations()]
    paths = [path for path in paths if not path.startswith("/docs")] + ["/{}", "/{}/{}", "/users/{}/{}", "//{}"]
    for _ in range(400):
        path = "/".join(
            "".join(randomly.choices(string.ascii_letters, k=8)) if part == "{}" else part
            for part in randomly.choice(paths).split("/")
        )
        method = randomly.choice(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "M-SEARCH"])
        assert service.client.request(method, path).status_code != 500
    declared = {operation.path.replace(":segment", "") for operation in operations()} | {"unknown"}
    counted = requests(service)
    assert sum(counted.values()) == 400
    assert {operation for _, operation, _ in counted} <= declared
    assert {method for method, _, _ in counted} <= {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"}


def test_no_id_of_a_caller_is_shown(shop: Running) -> None:
    for path in ("/users/s3cret", "/users/s3cret/recommendations", "/items/s3cret/similar", "/s3cret"):
        shop.client.get(path, headers={"x-request-id": "s3cret"})
    shop.client.post("/interactions", json={"user_id": "s3cret", "item_id": "s3cret", "event_type": "s3cret"})
    assert "s3cret" not in shop.client.get("/metrics").text


def test_lists_are_counted_by_their_source(service: Running) -> None:
    service.client.get("/users/ada/recommendations")
    service.client.get("/popular")
    service.client.post("/recommendations/batch", json={"user_ids": ["ada", "ben", "cat"]})
    service.client.get("/users/ada/recommendations/diagnosis")
    found = scrape(service)
    sources = ("model", "fold_in", "popular")
    assert [found["likewise_lists_total", source] for source in sources] == [0, 0, 5]


def test_interactions_are_counted_by_what_became_of_them(service: Running) -> None:
    good, bad = {"user_id": "ada", "item_id": "cup", "event_id": "e1"}, {"user_id": "ada"}
    service.client.post("/interactions", json=good)
    service.client.post("/interactions", json=[good, {"user_id": "ben", "item_id": "cup"}])
    service.client.post("/interactions", json=[{"user_id": "cat", "item_id": "cup"}, bad])
    service.client.post("/interactions?on_error=skip", json=[{"user_id": "dan", "item_id": "cup"}, bad])
    found = scrape(service)
    outcomes = ("accepted", "duplicate", "rejected")
    assert [found["likewise_interactions_total", outcome] for outcome in outcomes] == [3, 1, 2]


def test_before_the_first_model_its_states_are_0(service: Running) -> None:
    found = scrape(service)
    assert [found[f"likewise_model_{name}",] for name in ("version", "age_seconds", "users", "items")] == [0, 0, 0, 0]
    assert found["likewise_new_items",] == 0


def test_the_model_in_use_is_shown_with_its_age_and_sizes(start: StartService) -> None:
    service = start(refresh_seconds=60)
    service.state.live.swap(active_model(7, user_keys=[1, 2], item_keys=[1, 2, 3]))
    service.clock.us += 1_500_000
    found = scrape(service)
    assert [found[f"likewise_model_{name}",] for name in ("version", "age_seconds", "users", "items")] == [7, 1.5, 2, 3]


def test_what_came_after_the_training_is_shown(start: StartService, tmp_path: Path) -> None:
    service = start(refresh_seconds=60)
    service.client.post("/interactions", json=[{"user_id": user, "item_id": "cup"} for user in "ab"])
    publish_model(service.state.store, tmp_path / "models")
    service.client.post("/interactions", json=[{"user_id": "a", "item_id": item} for item in ("pot", "jug", "cup")])
    service.state.refresher.poll(at_once=True)
    found = scrape(service)
    assert (found["likewise_new_items",], found["likewise_interactions_since_base",]) == (2, 3)


def test_a_store_that_is_away_is_shown_and_does_not_fail_the_scrape(service: Running) -> None:
    assert scrape(service)["likewise_store_up",] == 1
    service.state.probe = StoreProbe(AwayStore())  # type: ignore[arg-type]
    assert scrape(service)["likewise_store_up",] == 0


def test_the_age_of_the_feed_grows_until_it_is_read_again(start: StartService) -> None:
    service = start(refresh_seconds=60)
    assert service.state.refresher.feed_read_at is not None
    service.state.refresher.feed_read_at -= 100
    assert scrape(service)["likewise_feed_age_seconds",] == pytest.approx(100, abs=20)
    service.state.refresher.poll()
    assert scrape(service)["likewise_feed_age_seconds",] < 20


def test_a_snapshot_that_is_refused_is_counted(start: StartService, tmp_path: Path) -> None:
    service = start(refresh_seconds=60)
    service.client.post("/interactions", json={"user_id": "ada", "item_id": "cup"})
    publish_model(service.state.store, tmp_path / "models")
    shutil.rmtree(tmp_path / "models")
    service.state.refresher.poll()
    found = scrape(service)
    assert (found["likewise_snapshots_refused_total",], found["likewise_model_version",]) == (1, 0)


def test_two_services_in_a_process_count_apart(start: StartService) -> None:
    one, other = start(), start()
    one.client.get("/popular")
    assert requests(one) == {("GET", "/popular", "200"): 1}
    assert requests(other) == {}
