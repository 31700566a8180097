"""`explain`: what of a score comes from which item of the history."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import SEEN, get, ids, post


def check_sums(answer: dict[str, Any], history: set[str]) -> None:
    """Shares of items of the history, the largest first, which with the rest make up the score."""
    assert answer["items"]
    for item in answer["items"]:
        shares = [share["contribution"] for share in item["because"]]
        assert sum(shares) + item["because_remainder"] == pytest.approx(item["score"], abs=1e-4)
        assert shares == sorted(shares, reverse=True)
        assert all(share > 0 for share in shares)
        assert len(shares) <= 5
        named = [share["item_id"] for share in item["because"]]
        assert len(named) == len(set(named))
        assert set(named) <= history


@pytest.mark.parametrize("user_id", SEEN)
def test_shares_of_the_users_items_sum_to_the_score(shared_shop: Running, user_id: str) -> None:
    answer = get(shared_shop, f"/users/{user_id}/recommendations", limit=500, explain="true")
    check_sums(answer, SEEN[user_id])
    assert any(item["because"] for item in answer["items"])


def test_of_a_long_history_the_five_that_say_most_are_named(shop: Running) -> None:
    history = {f"item-{number}" for number in range(1, 20)}
    shop.client.post("/interactions", json=[{"user_id": "dan", "item_id": item_id} for item_id in sorted(history)])
    answer = get(shop, "/users/dan/recommendations", limit=500, explain="true")
    check_sums(answer, history)
    assert max(len(item["because"]) for item in answer["items"]) == 5


def test_what_is_not_due_to_the_history_is_in_the_remainder(shared_shop: Running) -> None:
    """The shop's model adds half of what an item is popular by, and nothing else."""
    popular = {item["item_id"]: item["score"] for item in get(shared_shop, "/popular", limit=500)["items"]}
    body = {"interactions": [{"item_id": "item-3"}], "limit": 500, "explain": True}
    answer = post(shared_shop, "/recommendations", body)
    check_sums(answer, {"item-3"})
    for item in answer["items"]:
        half = popular[item["item_id"]] / 2
        # What speaks against an item is not told as a reason for it.
        speaks = item["score"] - half > 0
        assert [share["item_id"] for share in item["because"]] == ["item-3"] * speaks
        assert item["because_remainder"] == pytest.approx(half if speaks else item["score"], abs=1e-5)
    assert {bool(item["because"]) for item in answer["items"]} == {True, False}


def test_an_explained_list_is_the_list(shared_shop: Running) -> None:
    plain = get(shared_shop, "/users/bob/recommendations", limit=500)
    told = get(shared_shop, "/users/bob/recommendations", limit=500, explain="true")
    assert not any("because" in item or "because_remainder" in item for item in plain["items"])
    for item in told["items"]:
        del item["because"], item["because_remainder"]
    assert told["items"] == plain["items"]


def test_repeats_are_explained_too(shared_shop: Running) -> None:
    answer = get(shared_shop, "/users/bob/recommendations", limit=500, explain="true", include_seen="true")
    check_sums(answer, SEEN["bob"])
    of_itself = {item["item_id"]: item["because"][0]["item_id"] for item in answer["items"] if item["because"]}
    assert {item_id for item_id in SEEN["bob"] if of_itself.get(item_id) == item_id}


def test_lists_of_a_batch_are_explained_each_by_its_own_history(shared_shop: Running) -> None:
    body = {"user_ids": [*SEEN, "nobody"], "limit": 500, "explain": True}
    for answer in post(shared_shop, "/recommendations/batch", body)["results"]:
        check_sums(answer, SEEN.get(answer["user_id"], set()))


@pytest.mark.parametrize("fixture", ["shared_shop", "untrained_shop"])
def test_what_is_popular_is_due_to_no_history(request: pytest.FixtureRequest, fixture: str) -> None:
    service: Running = request.getfixturevalue(fixture)
    answer = get(service, "/users/nobody/recommendations", limit=500, explain="true")
    assert {item["source"] for item in answer["items"]} == {"popular"}
    for item in answer["items"]:
        assert (item["because"], item["because_remainder"]) == ([], item["score"])


def test_what_came_after_the_training_is_explained_as_well(shop: Running) -> None:
    shop.client.put("/items/new", json={"title": "New", "categories": ["even"]})
    shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-9"})
    answer = get(shop, "/users/ann/recommendations", limit=500, explain="true")
    assert answer["source"] == "fold_in"
    check_sums(answer, SEEN["ann"] | {"item-9"})
    assert "new" in ids(answer)
