from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.app.api.running import Running, active_model


def test_a_profile_counts_interactions_and_different_items(service: Running) -> None:
    rows = [{"user_id": "ada", "item_id": item, "timestamp": 1000 + item} for item in (1, 2, 1)]
    service.client.post("/interactions", json=rows)
    assert service.client.get("/users/ada").json() == {
        "user_id": "ada",
        "interactions": 3,
        "items": 2,
        "first_interaction": "1970-01-01T00:16:41Z",
        "last_interaction": "1970-01-01T00:16:42Z",
        "known_to_model": False,
    }


def test_an_unknown_user_is_404(service: Running) -> None:
    response = service.client.get("/users/nobody")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_user")


def test_a_profile_says_whether_the_model_in_use_knows_the_user(service: Running) -> None:
    service.client.post("/interactions", json=[{"user_id": "ada", "item_id": "x"}, {"user_id": "ben", "item_id": "x"}])
    ada = service.state.history.user_key("ada")
    assert ada is not None
    service.state.live.swap(active_model(3, user_keys=[ada], item_keys=[1]))
    assert service.client.get("/users/ada").json()["known_to_model"]
    assert not service.client.get("/users/ben").json()["known_to_model"]


@pytest.mark.parametrize(
    "user_id", ["a/b", "a%2Fb", "cafe\u0301", "café", "🦊", "x" * 256, "a b", "a+b", "?", "#", "//"]
)
def test_an_id_from_a_body_is_found_under_its_percent_encoded_path(service: Running, user_id: str) -> None:
    service.client.post("/interactions", json={"user_id": user_id, "item_id": "x"})
    response = service.client.get("/users/" + quote(user_id, safe=""))
    assert response.status_code == 200
    assert response.json()["user_id"] == user_id


def test_composed_and_decomposed_letters_are_two_users(service: Running) -> None:
    service.client.post("/interactions", json={"user_id": "café", "item_id": "x"})
    assert service.client.get("/users/" + quote("cafe\u0301")).status_code == 404


@pytest.mark.parametrize(
    "raw", ["%zz", "%ff", "%00", "%", "%20a", "a%20", "%EF%BF%BD", "%C2%85", "%ED%A0%80", "x" * 257, ""]
)
def test_a_wrong_id_in_a_path_is_422_and_pointed_at(shared: Running, raw: str) -> None:
    response = shared.client.get(f"/users/{raw}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/path/user_id"
