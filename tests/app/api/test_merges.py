"""`POST /users/{id}/merge`: a visitor logs in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.api.running import Running, StartService
from tests.app.api.shop import SEEN, get, ids, open_shop, post


@pytest.fixture
def unhurried(start: StartService) -> Running:
    """A shop that sees nothing by itself within a test, and a visitor in it."""
    service = start(refresh_seconds=60)
    open_shop(service)
    rows = [{"user_id": "visitor", "item_id": item_id} for item_id in ("item-3", "item-9", "item-9")]
    assert service.client.post("/interactions", json=rows).status_code == 201
    return service


def merge(service: Running, user_id: str, into: Any) -> dict[str, Any]:
    return post(service, f"/users/{user_id}/merge", {"into": into})


def test_what_the_visitor_did_is_the_users_at_once(unhurried: Running) -> None:
    before = get(unhurried, "/users/ann/recommendations", limit=500)
    assert merge(unhurried, "visitor", "ann") == {"user_id": "visitor", "into": "ann", "interactions_moved": 3}
    after = get(unhurried, "/users/ann/recommendations", limit=500)
    assert set(ids(before)) - set(ids(after)) == {"item-3", "item-9"}
    assert after["source"] == "fold_in"
    ann = get(unhurried, "/users/ann")
    assert (ann["interactions"], ann["items"]) == (5, 4)
    moved = get(unhurried, "/interactions", user_id="ann")["items"]
    assert {row["item_id"] for row in moved} == SEEN["ann"] | {"item-3", "item-9"}


def test_it_is_as_if_the_user_had_done_it(unhurried: Running) -> None:
    merge(unhurried, "visitor", "new")
    rows = [{"user_id": "same", "item_id": item_id} for item_id in ("item-3", "item-9", "item-9")]
    unhurried.client.post("/interactions", json=rows)
    merged = get(unhurried, "/users/new/recommendations", limit=500)
    assert merged["items"] == get(unhurried, "/users/same/recommendations", limit=500)["items"]
    assert merged["source"] == "fold_in"


def test_nothing_of_it_is_left_with_the_visitor(unhurried: Running) -> None:
    merge(unhurried, "visitor", "ann")
    answer = get(unhurried, "/users/visitor/recommendations", limit=500)
    assert answer["source"] == "popular"
    assert {"item-3", "item-9"} <= set(ids(answer))
    assert get(unhurried, "/interactions", user_id="visitor")["items"] == []
    assert merge(unhurried, "visitor", "bob")["interactions_moved"] == 0


def test_a_user_of_the_model_can_be_merged_too(unhurried: Running) -> None:
    merge(unhurried, "bob", "ann")
    listed = ids(get(unhurried, "/users/ann/recommendations", limit=500))
    assert (SEEN["ann"] | SEEN["bob"]).isdisjoint(listed)
    assert get(unhurried, "/users/bob/recommendations")["source"] == "popular"


def test_what_the_visitor_does_later_is_the_visitors(unhurried: Running) -> None:
    merge(unhurried, "visitor", "ann")
    unhurried.client.post("/interactions", json={"user_id": "visitor", "item_id": "item-11"})
    assert "item-11" not in ids(get(unhurried, "/users/visitor/recommendations", limit=500))
    assert "item-11" in ids(get(unhurried, "/users/ann/recommendations", limit=500))
    assert merge(unhurried, "visitor", "ann")["interactions_moved"] == 1
    assert "item-11" not in ids(get(unhurried, "/users/ann/recommendations", limit=500))


def test_a_moved_interaction_can_be_taken_back(unhurried: Running) -> None:
    row = {"user_id": "visitor", "item_id": "item-11", "event_id": "e1"}
    unhurried.client.post("/interactions", json=row)
    merge(unhurried, "visitor", "ann")
    assert unhurried.client.post("/interactions", json=row).json() == {"accepted": 0, "duplicates": 1}
    assert unhurried.client.delete("/interactions/e1").status_code == 204
    assert "item-11" in ids(get(unhurried, "/users/ann/recommendations", limit=500))


def test_a_visitor_nothing_is_known_of_has_nothing_to_give(unhurried: Running) -> None:
    assert merge(unhurried, "nobody", "ann") == {"user_id": "nobody", "into": "ann", "interactions_moved": 0}
    assert get(unhurried, "/users/ann/recommendations")["source"] == "model"
    assert merge(unhurried, "nobody", "nobody%20else")["interactions_moved"] == 0
    assert unhurried.client.get("/users/nobody%2520else").status_code == 404


def test_a_number_is_a_user_as_its_digits(unhurried: Running) -> None:
    assert merge(unhurried, "visitor", 7)["into"] == "7"
    assert get(unhurried, "/users/7")["interactions"] == 3


def test_the_merge_outlives_the_process(start: StartService, unhurried: Running) -> None:
    merge(unhurried, "visitor", "ann")
    again = start(database_url=unhurried.state.settings.database_url)
    assert {"item-3", "item-9"}.isdisjoint(ids(get(again, "/users/ann/recommendations", limit=500)))
    assert get(again, "/users/visitor/recommendations")["source"] == "popular"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/users/ann/merge", {"into": "ann"}, "/into"),
        ("/users/7/merge", {"into": 7}, "/into"),
        ("/users/ann/merge", {}, "/into"),
        ("/users/ann/merge", {"into": None}, "/into"),
        ("/users/ann/merge", {"into": "bob", "from": "ann"}, "/from"),
        ("/users/ann/merge", [], ""),
        ("/users/ann/merge?into=bob", {"into": "bob"}, "/query/into"),
        ("/users/%20/merge", {"into": "bob"}, "/path/user_id"),
    ],
)
def test_a_wrong_merge_is_pointed_at(shared_shop: Running, path: str, body: object, pointer: str) -> None:
    response = shared_shop.client.post(path, json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
