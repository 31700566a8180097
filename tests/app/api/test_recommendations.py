"""Lists follow what users do and what is said of items: in this process at once."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.app.api.running import Running, StartService
from tests.app.api.shop import ITEMS, SEEN, WAYS, get, ids, open_shop, poll, post
from tests.app.published import publish_model

PERSONAL = ["user", "user by POST", "batch"]


@pytest.fixture
def unhurried(start: StartService) -> Running:
    """A shop that sees nothing by itself within a test."""
    service = start(refresh_seconds=60)
    open_shop(service)
    return service


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fixture", ["shared_shop", "untrained_shop"])
def test_every_list_has_the_fields_of_the_contract(request: pytest.FixtureRequest, fixture: str, way: str) -> None:
    answer = WAYS[way](request.getfixturevalue(fixture), {"limit": 3})
    assert list(answer) == ["recommendation_id", "user_id", "model_version", "source", "generated_at", "items"]
    assert answer["user_id"] == {"popular": None, "similar": None, "session": None, "unknown user": "nobody"}.get(
        way, "ann"
    )
    assert answer["model_version"] == (1 if fixture == "shared_shop" else None)
    assert answer["generated_at"] == "2025-01-31T12:00:00Z"
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    for item in answer["items"]:
        assert list(item) == ["item_id", "rank", "score", "source", "title"]
        assert item["title"] == f"Title of {item['item_id']}"


@pytest.mark.parametrize("way", WAYS)
def test_no_two_answers_have_the_same_recommendation_id(shared_shop: Running, way: str) -> None:
    found = [WAYS[way](shared_shop, {"limit": 1})["recommendation_id"] for _ in range(20)]
    assert len(set(found)) == 20


@pytest.mark.parametrize("way", WAYS)
def test_ten_items_are_listed_when_no_limit_is_given(shared_shop: Running, way: str) -> None:
    assert len(ids(WAYS[way](shared_shop, {}))) == 10


def test_a_list_says_where_it_comes_from(shop: Running) -> None:
    sources = {way: ask(shop, {})["source"] for way, ask in WAYS.items()}
    assert sources["user"] == sources["user by POST"] == sources["batch"] == "model"
    assert sources["similar"] == "model"
    assert sources["session"] == "fold_in"
    assert sources["popular"] == sources["unknown user"] == "popular"
    shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-9"})
    answer = get(shop, "/users/ann/recommendations")
    assert {answer["source"]} == {item["source"] for item in answer["items"]} == {"fold_in"}


@pytest.mark.parametrize("way", PERSONAL)
def test_an_interaction_changes_the_very_next_list(unhurried: Running, way: str) -> None:
    before = WAYS[way](unhurried, {"limit": 500})
    best = ids(before)[0]
    unhurried.client.post("/interactions", json={"user_id": "ann", "item_id": best})
    after = WAYS[way](unhurried, {"limit": 500})
    assert set(ids(before)) - set(ids(after)) == {best}
    scores = {item["item_id"]: item["score"] for item in before["items"]}
    assert all(scores[item["item_id"]] != item["score"] for item in after["items"])


@pytest.mark.parametrize("way", PERSONAL)
def test_a_deleted_interaction_changes_the_very_next_list(unhurried: Running, way: str) -> None:
    rows = [{"user_id": "ann", "item_id": "item-9", "event_id": "e1"}, {"user_id": "ann", "item_id": "item-11"}]
    unhurried.client.post("/interactions", json=rows[1])
    before = WAYS[way](unhurried, {"limit": 500})["items"]
    unhurried.client.post("/interactions", json=rows[0])
    between = WAYS[way](unhurried, {"limit": 500})["items"]
    assert unhurried.client.delete("/interactions/e1").status_code == 204
    assert WAYS[way](unhurried, {"limit": 500})["items"] == before != between


def test_what_replaces_a_deleted_interaction_came_after_the_training(unhurried: Running) -> None:
    """As many as the training knew, and not the same."""
    rows = [{"user_id": "dan", "item_id": "item-3", "event_id": "e1"}, {"user_id": "dan", "item_id": "item-4"}]
    unhurried.client.post("/interactions", json=rows)
    publish_model(unhurried.state.store, unhurried.state.settings.model_dir, seed=2)
    poll(unhurried)
    assert get(unhurried, "/users/dan/recommendations")["source"] == "model"
    unhurried.client.delete("/interactions/e1")
    assert get(unhurried, "/users/dan/recommendations")["source"] == "model"
    unhurried.client.post("/interactions", json={"user_id": "dan", "item_id": "item-5"})
    assert get(unhurried, "/users/dan/recommendations")["source"] == "fold_in"


def test_a_user_unknown_before_gets_a_list_of_their_own_after_one_interaction(unhurried: Running) -> None:
    assert get(unhurried, "/users/new/recommendations")["source"] == "popular"
    unhurried.client.post("/interactions", json={"user_id": "new", "item_id": "item-3"})
    answer = get(unhurried, "/users/new/recommendations", strict="true")
    assert answer["source"] == "fold_in"
    same = post(unhurried, "/recommendations", {"interactions": [{"item_id": "item-3"}]})
    assert answer["items"] == same["items"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "record", [{"hidden": True}, {"available_from": "2030-01-01T00:00:00Z"}, {"available_until": 1}], ids=str
)
def test_an_item_that_is_withheld_leaves_every_list_at_once(
    unhurried: Running, way: str, record: dict[str, Any]
) -> None:
    best, *others = ids(WAYS[way](unhurried, {"limit": 500}))
    unhurried.client.put(f"/items/{best}", json=record)
    assert ids(WAYS[way](unhurried, {"limit": 500})) == others
    unhurried.client.put(f"/items/{best}", json={})
    assert ids(WAYS[way](unhurried, {"limit": 500})) == [best, *others]


@pytest.mark.parametrize("way", WAYS)
def test_an_item_is_listed_from_and_until_the_moment_its_record_says(unhurried: Running, way: str) -> None:
    best = ids(WAYS[way](unhurried, {"limit": 1}))[0]
    now = unhurried.clock.us
    unhurried.client.put(f"/items/{best}", json={"available_from": now / 1e6 + 10, "available_until": now / 1e6 + 20})
    listed = []
    for seconds in (0, 9, 10, 19, 20):
        unhurried.clock.us = now + seconds * 1_000_000
        listed.append(best in ids(WAYS[way](unhurried, {"limit": 500})))
    assert listed == [False, False, True, True, False]


def test_new_categories_of_an_item_hold_for_the_next_list(unhurried: Running) -> None:
    assert "item-7" not in ids(get(unhurried, "/popular", limit=500, category="even"))
    unhurried.client.put("/items/item-7", json={"categories": ["even"]})
    assert "item-7" in ids(get(unhurried, "/popular", limit=500, category="even"))
    unhurried.client.put("/items/item-7", json={})
    assert "item-7" not in ids(get(unhurried, "/popular", limit=500, category="even"))


def test_an_item_that_came_after_the_training_is_listed_as_new(unhurried: Running) -> None:
    unhurried.client.put("/items/latest", json={"title": "Latest", "categories": ["even"]})
    for way in ("user", "session", "batch", "popular"):
        (item,) = [item for item in WAYS[way](unhurried, {"limit": 500})["items"] if item["item_id"] == "latest"]
        assert (item["source"], item["title"]) == ("new", "Latest"), way
    scored = post(unhurried, "/predict", {"user_id": "ann", "item_ids": ["latest"]})["scores"][0]["score"]
    (item,) = [item for item in WAYS["user"](unhurried, {"limit": 500})["items"] if item["item_id"] == "latest"]
    assert struct.pack("<d", item["score"]) == struct.pack("<d", scored)


@pytest.mark.parametrize("way", ["user", "user by POST"])
def test_strict_refuses_a_user_of_whom_nothing_is_known(shared_shop: Running, way: str) -> None:
    assert WAYS[way](shared_shop, {"strict": True, "limit": 1})["user_id"] == "ann"
    path = "/users/nobody/recommendations"
    refused = [
        shared_shop.client.get(f"{path}?strict=true"),
        shared_shop.client.post(path, json={"strict": True}),
        shared_shop.client.get(f"{path}/diagnosis?strict=true"),
    ]
    for response in refused:
        assert (response.status_code, response.json()["code"]) == (404, "unknown_user")
    assert get(shared_shop, path, strict="false")["source"] == "popular"
    assert post(shared_shop, path, {"strict": False})["source"] == "popular"


def test_popular_follows_what_is_chosen_after_the_training(shop: Running) -> None:
    last = ids(get(shop, "/popular", limit=500))[-1]
    rows = [{"user_id": f"fan-{number}", "item_id": last} for number in range(50)]
    shop.client.post("/interactions", json=rows)
    poll(shop)
    assert ids(get(shop, "/popular", limit=1)) == [last]


def test_the_items_most_like_another_come_first_with_their_cosine(shared_shop: Running) -> None:
    answer = get(shared_shop, "/items/item-4/similar", limit=500)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert set(ids(answer)) == set(ITEMS) - {"item-4"}
    assert all(-1 <= score <= 1 for score in scores)
    for item in answer["items"][:5]:
        back = {
            each["item_id"]: each["score"]
            for each in get(shared_shop, f"/items/{item['item_id']}/similar", limit=500)["items"]
        }
        assert back["item-4"] == pytest.approx(item["score"], abs=1e-6)


def test_nothing_is_like_an_item_that_nobody_named(shop: Running) -> None:
    response = shop.client.get("/items/nothing/similar")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_item")
    shop.client.delete("/items/item-4")
    response = shop.client.get("/items/item-4/similar")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_item")
    assert "item-4" not in ids(get(shop, "/items/item-3/similar", limit=500))


@pytest.mark.parametrize("how", ["without a place in the model", "before the first model"])
def test_of_an_item_the_model_cannot_place_what_is_popular_is_shown(
    shop: Running, untrained_shop: Running, how: str
) -> None:
    service, item_id = (untrained_shop, "item-4") if how == "before the first model" else (shop, "odd one")
    if service is shop:
        shop.client.put("/items/odd%20one", json={"title": "Odd"})
    popular = ids(get(service, "/popular", limit=500))
    answer = get(service, f"/items/{item_id.replace(' ', '%20')}/similar", limit=500)
    assert answer["source"] == "popular"
    assert ids(answer) == [each for each in popular if each != item_id]
    assert item_id in popular


def test_the_users_of_the_shop_have_seen_what_the_tests_say(shared_shop: Running) -> None:
    for user_id, seen in SEEN.items():
        assert get(shared_shop, f"/users/{user_id}")["items"] == len(seen)
