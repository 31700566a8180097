"""`DELETE /users/{user_id}`: a person is gone, in the call and after a restart."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from tests.app.api.running import Running
from tests.app.api.shop import SEEN, get, poll
from tests.app.published import publish_model


def erase(service: Running, user_id: str) -> dict[str, Any]:
    response = service.client.delete(f"/users/{user_id}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def listed(service: Running, user_id: str) -> dict[str, Any]:
    return get(service, f"/users/{user_id}/recommendations", limit=30)


def test_nothing_leads_to_somebody_who_was_erased(shop: Running) -> None:
    assert listed(shop, "ann")["source"] == "model"
    old_key = shop.state.history.user_key("ann")
    receipt = erase(shop, "ann")
    assert receipt == {
        "user_id": "ann",
        "interactions_deleted": 2,
        "models_trained_on_user": [1],
        "erased_at": "2025-01-31T12:00:00Z",
    }
    assert shop.client.get("/users/ann").status_code == 404
    assert get(shop, "/interactions", user_id="ann")["items"] == []
    assert '"ann"' not in shop.client.get("/interactions/export").text
    assert shop.state.history.user_key("ann") is None
    assert old_key is not None
    assert shop.state.history.held.size(old_key) == 0
    stranger = listed(shop, "ann")
    assert (stranger["source"], {item["item_id"] for item in stranger["items"]} >= SEEN["ann"]) == ("popular", True)
    assert shop.client.get("/users/ann/recommendations?strict=true").status_code == 404
    # Nobody else is touched.
    assert listed(shop, "bob")["source"] == "model"


def test_who_comes_back_starts_afresh_with_another_key(shop: Running) -> None:
    old_key = shop.state.history.user_key("ann")
    erase(shop, "ann")
    assert shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-3"}).status_code == 201
    new_key = shop.state.history.user_key("ann")
    assert new_key is not None
    assert new_key not in (old_key, None)
    again = listed(shop, "ann")
    assert again["source"] == "fold_in"
    assert {f"item-{n}" for n in range(30)} - {item["item_id"] for item in again["items"]} == {"item-3"}
    profile = get(shop, "/users/ann")
    assert (profile["interactions"], profile["known_to_model"]) == (1, False)
    # Erased once more, the version that never knew this key is not on the receipt.
    assert erase(shop, "ann")["models_trained_on_user"] == []


def test_a_user_nobody_knows_has_an_empty_receipt(shop: Running) -> None:
    receipt = erase(shop, "nobody")
    assert (receipt["interactions_deleted"], receipt["models_trained_on_user"]) == (0, [])
    assert erase(shop, "ann")["interactions_deleted"] == 2
    assert erase(shop, "ann")["interactions_deleted"] == 0


def test_a_restart_does_not_bring_anybody_back_from_a_snapshot(shop: Running) -> None:
    shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-3"})
    erase(shop, "ann")
    before = listed(shop, "ann")
    with TestClient(create_app(shop.state.settings, clock=shop.clock)) as client:
        state = client.app.state.likewise  # type: ignore[attr-defined]
        assert state.history.user_key("ann") is None
        assert state.history.held.users() == shop.state.history.held.users() == 3
        after = client.get("/users/ann/recommendations", params={"limit": 30}).json()
        assert client.get("/users/bob/recommendations").json()["source"] == "model"
    assert (after["source"], after["items"]) == (before["source"], before["items"])


def test_every_version_that_knew_the_user_is_on_the_receipt(shop: Running) -> None:
    publish_model(shop.state.store, shop.state.settings.model_dir, seed=2)
    poll(shop)
    assert erase(shop, "bob")["models_trained_on_user"] == [1, 2]
    publish_model(shop.state.store, shop.state.settings.model_dir, seed=3)
    assert erase(shop, "cid")["models_trained_on_user"] == [1, 2, 3]


def test_what_is_counted_for_everybody_is_counted_without_them(service: Running) -> None:
    rows = [{"user_id": f"u{n}", "item_id": "common"} for n in range(3)]
    rows += [{"user_id": "one", "item_id": "rare"} for _ in range(9)]
    service.client.post("/interactions", json=rows)
    assert get(service, "/popular")["items"][0]["item_id"] == "rare"
    erase(service, "one")
    assert get(service, "/popular")["items"][0]["item_id"] == "common"
    assert get(service, "/stats")["users"] == 3
