"""What a record does to the lists of the same process."""

from __future__ import annotations

from tests.app.api.item_records import at, buy, get, listed, put
from tests.app.api.running import NOW_US, StartService
from tests.app.published import publish_model


def test_a_deleted_item_leaves_every_list_at_once_and_is_back_with_the_next_put(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for item_id in ("cup", "tea"):
        buy(service, item_id)
    assert listed(service) == ["cup", "tea"]
    assert service.client.delete("/items/cup").status_code == 204
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["tea"]
    put(service, "cup", {})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["cup", "tea"]


def test_interactions_with_a_deleted_item_are_accepted_and_do_not_bring_it_back(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    service.client.delete("/items/cup")
    buy(service, "cup", "ann")
    assert service.client.get("/users/ann").json()["interactions"] == 1
    assert service.client.get("/items/cup").status_code == 404
    assert listed(service) == []


def test_a_deletion_outlives_the_process(start: StartService) -> None:
    first = start()
    buy(first, "cup")
    buy(first, "tea")
    first.client.delete("/items/cup")
    again = start(database_url=first.state.settings.database_url)
    assert listed(again) == ["tea"]


def test_a_hidden_item_leaves_every_list_at_once(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for item_id in ("cup", "tea"):
        buy(service, item_id)
    put(service, "cup", {"hidden": True})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["tea"]
    assert get(service, "cup")["hidden"] is True
    put(service, "cup", {})
    assert listed(service) == listed(service, "/users/nobody/recommendations") == ["cup", "tea"]


def test_an_item_is_in_lists_within_its_window_only(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    seconds = NOW_US // 1_000_000
    put(service, "cup", {"available_from": seconds + 10, "available_until": seconds + 20})
    shown = {}
    for after in (0, 9.999999, 10, 19.999999, 20):
        service.clock.us = NOW_US + round(after * 1_000_000)
        shown[after] = listed(service)
    assert shown == {0: [], 9.999999: [], 10: ["cup"], 19.999999: ["cup"], 20: []}


def test_a_models_lists_follow_at_once(start: StartService) -> None:
    service = start(refresh_seconds=60)
    for number in range(8):
        buy(service, f"item-{number}", f"user-{number}")
    buy(service, "item-1", "ann")
    publish_model(service.state.store, service.state.settings.model_dir)
    service.state.refresher.poll()
    path = "/users/ann/recommendations"
    before = service.client.get(path, params={"limit": 3}).json()
    assert (before["source"], len(before["items"])) == ("model", 3)
    gone, hidden, late = (item["item_id"] for item in before["items"])
    service.client.delete(at(gone))
    put(service, hidden, {"hidden": True})
    put(service, late, {"available_from": "2030-01-01T00:00:00Z"})
    after = service.client.get(path, params={"limit": 3}).json()
    assert {gone, hidden, late}.isdisjoint(item["item_id"] for item in after["items"])
    assert len(after["items"]) == 3


def test_a_title_is_in_the_next_list_and_gone_from_it_when_it_is_cleared(start: StartService) -> None:
    service = start(refresh_seconds=60)
    buy(service, "cup")
    put(service, "cup", {"title": "Cup"})
    assert service.client.get("/popular").json()["items"][0]["title"] == "Cup"
    put(service, "cup", {})
    assert "title" not in service.client.get("/popular").json()["items"][0]
