"""`POST /predict` beside every list: the same score for the same user, item and state, bit for bit."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import ITEMS, WAYS, get, post

USERS = ["ann", "bob", "everything", "late", "nobody"]


@pytest.fixture
def busy(shop: Running) -> Running:
    """A shop in which ann has done more since the training, late has come and an item has been added."""
    rows = [("ann", "item-9"), ("ann", "item-12"), ("late", "item-3"), ("late", "item-4")]
    shop.client.post("/interactions", json=[{"user_id": user_id, "item_id": item_id} for user_id, item_id in rows])
    shop.client.put("/items/latest", json={"categories": ["third"]})
    return shop


def bits(answer: dict[str, Any], lines: str = "scores") -> dict[str, bytes | None]:
    """What each item's score is made of."""
    return {
        line["item_id"]: None if line["score"] is None else struct.pack("<d", line["score"]) for line in answer[lines]
    }


@pytest.mark.parametrize("user_id", USERS)
def test_both_forms_and_every_list_agree(busy: Running, user_id: str) -> None:
    item_ids = [*ITEMS, "latest"]
    alone = bits(post(busy, "/predict", {"user_id": user_id, "item_ids": item_ids}))
    pairs = [{"user_id": user_id, "item_id": item_id} for item_id in item_ids]
    assert bits(post(busy, "/predict", {"pairs": pairs})) == alone
    one_by_one = [post(busy, "/predict", {"user_id": user_id, "item_ids": [item_id]}) for item_id in item_ids]
    assert {item_id: score for answer in one_by_one for item_id, score in bits(answer).items()} == alone
    asked = {"limit": 500, "include_seen": True}
    path = f"/users/{user_id}/recommendations"
    (in_batch,) = post(busy, "/recommendations/batch", {"user_ids": [user_id], **asked})["results"]
    few = get(busy, path, category="third", include_seen="true")
    for answer in (get(busy, path, **asked), post(busy, path, asked), in_batch, few):
        listed = bits(answer, "items")
        assert listed == {item_id: alone[item_id] for item_id in listed}
    assert len(bits(in_batch, "items")) == 31
    assert len(bits(few, "items")) == 10


def test_pairs_of_many_users_are_scored_each_for_its_own(busy: Running) -> None:
    pairs = [{"user_id": user_id, "item_id": item_id} for item_id in ITEMS[:7] for user_id in USERS]
    answer = post(busy, "/predict", {"pairs": pairs})
    assert list(answer) == ["model_version", "scores"]
    assert [{name: line[name] for name in ("user_id", "item_id")} for line in answer["scores"]] == pairs
    for user_id in USERS:
        alone = post(busy, "/predict", {"user_id": user_id, "item_ids": ITEMS[:7]})
        of_user = [line for line in answer["scores"] if line["user_id"] == user_id]
        assert bits({"scores": of_user}) == bits(alone)


def test_scores_come_in_the_order_asked_with_their_source(busy: Running) -> None:
    asked = ["item-5", "never heard of", "item-2", "item-5"]
    for user_id, source in (("bob", "model"), ("ann", "fold_in"), ("late", "fold_in"), ("nobody", "popular")):
        answer = post(busy, "/predict", {"user_id": user_id, "item_ids": asked})
        assert list(answer) == ["user_id", "model_version", "source", "scores"]
        assert (answer["user_id"], answer["model_version"], answer["source"]) == (user_id, 1, source)
        assert [line["item_id"] for line in answer["scores"]] == asked
        assert [line["score"] is None for line in answer["scores"]] == [False, True, False, False]
        assert answer["scores"][0] == answer["scores"][3]


def test_an_unknown_user_has_the_scores_of_what_is_popular(busy: Running) -> None:
    popular = bits(get(busy, "/popular", limit=500), "items")
    answer = post(busy, "/predict", {"user_id": "nobody", "item_ids": list(popular)})
    assert bits(answer) == popular


def test_an_item_has_its_score_whatever_keeps_it_out_of_lists(busy: Running) -> None:
    before = post(busy, "/predict", {"user_id": "ann", "item_ids": ["item-0", "item-20"]})
    busy.client.put("/items/item-20", json={"hidden": True})
    assert post(busy, "/predict", {"user_id": "ann", "item_ids": ["item-0", "item-20"]}) == before


def test_without_items_every_item_of_the_model_is_scored(busy: Running) -> None:
    every = post(busy, "/predict", {"user_id": "late"})
    assert sorted(bits(every)) == sorted(ITEMS)
    assert bits(post(busy, "/predict", {"user_id": "late", "item_ids": ITEMS})) == bits(every)
    assert post(busy, "/predict", {"user_id": "late", "item_ids": None}) == every


def test_ten_thousand_pairs_are_scored(shared_shop: Running) -> None:
    pairs = [{"user_id": f"u{number % 7}", "item_id": ITEMS[number % 30]} for number in range(10_000)]
    assert len(post(shared_shop, "/predict", {"pairs": pairs})["scores"]) == 10_000


@pytest.mark.parametrize("body", [{"user_id": "ann"}, {"pairs": [{"user_id": "ann", "item_id": "item-1"}]}], ids=str)
def test_without_a_model_there_is_no_score(untrained_shop: Running, body: object) -> None:
    response = untrained_shop.client.post("/predict", json=body)
    assert (response.status_code, response.json()["code"]) == (503, "no_model")
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["Retry-After"]) > 0


def test_a_wrong_request_is_told_so_even_without_a_model(untrained_shop: Running) -> None:
    response = untrained_shop.client.post("/predict", json={"user_id": "", "item_ids": ["a"]})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/user_id"]


def test_lists_of_every_kind_hold_no_score_that_is_not_finite(busy: Running) -> None:
    for way, ask in WAYS.items():
        scores = [item["score"] for item in ask(busy, {"limit": 500})["items"]]
        assert all(abs(score) < 1e9 for score in scores), way
        assert scores == sorted(scores, reverse=True), way
