"""`/users/{id}/recommendations`, `/popular` and `/predict` over HTTP, with a model published as a trainer does it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.published import publish_model

ITEMS = [f"item-{number}" for number in range(30)]


@pytest.fixture
def trained(service: Running) -> Running:
    """ann, bob and cid have had item-0 and an item each; the model knows them and 30 items."""
    rows = [{"user_id": "filler", "item_id": item} for item in ITEMS]
    rows += [
        {"user_id": user, "item_id": item}
        for user in ("ann", "bob", "cid")
        for item in ("item-0", f"item-{ord(user[0]) % 9}")
    ]
    assert service.client.post("/interactions", json=rows).status_code == 201
    publish_model(service.state.store, service.state.settings.model_dir)
    poll(service)
    return service


def poll(service: Running) -> None:
    asyncio.run(service.state.refresher.poll_now())


def get(service: Running, path: str, **params: Any) -> dict[str, Any]:
    response = service.client.get(path, params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_a_list_has_the_fields_of_the_contract(trained: Running) -> None:
    answer = get(trained, "/users/ann/recommendations", limit=3)
    assert list(answer) == ["recommendation_id", "user_id", "model_version", "source", "generated_at", "items"]
    assert (answer["user_id"], answer["model_version"], answer["source"]) == ("ann", 1, "model")
    assert answer["generated_at"].endswith("Z")
    assert [list(item) for item in answer["items"]] == [["item_id", "rank", "score", "source"]] * 3


def test_each_answer_has_a_recommendation_id_of_its_own_that_interactions_can_carry(trained: Running) -> None:
    first, second = (get(trained, "/users/ann/recommendations") for _ in range(2))
    assert first["recommendation_id"] != second["recommendation_id"]
    row = {"user_id": "ann", "item_id": ids(first)[0], "recommendation_id": first["recommendation_id"]}
    assert trained.client.post("/interactions", json=row).status_code == 201


def test_an_acknowledged_interaction_is_left_out_of_the_very_next_list(trained: Running) -> None:
    for _ in range(5):
        best = ids(get(trained, "/users/ann/recommendations"))[0]
        trained.client.post("/interactions", json={"user_id": "ann", "item_id": best})
        assert best not in ids(get(trained, "/users/ann/recommendations", limit=500))


def test_a_deleted_interaction_is_back_in_the_very_next_list(service: Running) -> None:
    service.client.post("/interactions", json={"user_id": "bob", "item_id": "tea"})
    service.client.post("/interactions", json={"user_id": "ann", "item_id": "tea", "event_id": "e1"})
    assert ids(get(service, "/users/ann/recommendations")) == []
    assert service.client.delete("/interactions/e1").status_code == 204
    assert ids(get(service, "/users/ann/recommendations")) == ["tea"]


def test_a_list_is_full_whatever_is_left_out_while_there_are_candidates(trained: Running) -> None:
    excluded = ids(get(trained, "/users/ann/recommendations", limit=15))
    answer = get(trained, "/users/ann/recommendations", limit=10, exclude_item=excluded)
    assert len(ids(answer)) == 10
    assert set(excluded).isdisjoint(ids(answer))


def test_seen_items_are_there_when_asked_for(trained: Running) -> None:
    assert "item-0" not in ids(get(trained, "/users/ann/recommendations", limit=500))
    assert "item-0" in ids(get(trained, "/users/ann/recommendations", limit=500, include_seen="true"))


def test_an_unknown_user_gets_what_is_popular_and_404_when_strict(trained: Running) -> None:
    answer = get(trained, "/users/nobody/recommendations", limit=500)
    assert (answer["source"], answer["model_version"]) == ("popular", 1)
    assert ids(answer) == ids(get(trained, "/popular", limit=500))
    response = trained.client.get("/users/nobody/recommendations", params={"strict": "true"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_user")
    assert get(trained, "/users/ann/recommendations", strict="true")["source"] == "model"


@pytest.mark.parametrize("path", ["/users/ann/recommendations", "/popular"])
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=501", "/query/limit"),
        ("categry=x", "/query/categry"),
        ("exclude_item=", "/query/exclude_item/0"),
        ("exclude_item=a%00", "/query/exclude_item/0"),
    ],
)
def test_a_wrong_parameter_is_named(trained: Running, path: str, query: str, pointer: str) -> None:
    response = trained.client.get(f"{path}?{query}")
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_lists_and_both_forms_of_predict_agree_to_the_bit(trained: Running) -> None:
    for user in ("ann", "bob", "nobody"):
        listed = [
            (i["item_id"], i["score"]) for i in get(trained, f"/users/{user}/recommendations", limit=500)["items"]
        ]
        asked = [item for item, _ in listed]
        alone = trained.client.post("/predict", json={"user_id": user, "item_ids": asked}).json()
        pairs = trained.client.post("/predict", json={"pairs": [{"user_id": user, "item_id": i} for i in asked]}).json()
        assert [(s["item_id"], s["score"]) for s in alone["scores"]] == listed
        assert [(s["item_id"], s["score"]) for s in pairs["scores"]] == listed
        assert list(alone) == ["user_id", "model_version", "source", "scores"]
        assert list(pairs) == ["model_version", "scores"]
        assert list(pairs["scores"][0]) == ["user_id", "item_id", "score"]


def test_predict_without_items_scores_the_whole_model_and_an_unknown_item_has_no_score(trained: Running) -> None:
    every = trained.client.post("/predict", json={"user_id": "ann"}).json()
    assert sorted(score["item_id"] for score in every["scores"]) == sorted(ITEMS)
    unknown = trained.client.post("/predict", json={"user_id": "ann", "item_ids": ["never heard of"]}).json()
    assert unknown["scores"] == [{"item_id": "never heard of", "score": None}]


def test_predict_before_the_first_model_is_refused(service: Running) -> None:
    for body in ({"user_id": "ann"}, {"pairs": [{"user_id": "ann", "item_id": "tea"}]}):
        response = service.client.post("/predict", json=body)
        assert (response.status_code, response.json()["code"]) == (503, "no_model")
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/user_id"),
        ({"user_id": "a", "item_ids": []}, "/item_ids"),
        ({"user_id": "a", "item_ids": ["b", True]}, "/item_ids/1"),
        ({"user_id": "a", "pairs": []}, "/pairs"),
        ({"pairs": [{"user_id": "a"}]}, "/pairs/0/item_id"),
        ({"pairs": [{"user_id": "a", "item_id": "b"}] * 10_001}, "/pairs"),
        ([], ""),
    ],
)
def test_a_wrong_body_is_pointed_at(trained: Running, body: Any, pointer: str) -> None:
    response = trained.client.post("/predict", json=body)
    assert response.status_code == 422
    assert pointer in [error["pointer"] for error in response.json()["errors"]]


def test_popular_before_the_first_model_follows_every_interaction(service: Running) -> None:
    assert get(service, "/popular")["items"] == []
    for user in ("ann", "bob"):
        service.client.post("/interactions", json={"user_id": user, "item_id": "tea"})
    service.client.post("/interactions", json={"user_id": "ann", "item_id": "cup"})
    answer = get(service, "/popular")
    assert (ids(answer), answer["model_version"], answer["user_id"]) == (["tea", "cup"], None, None)
