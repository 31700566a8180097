"""Filters of every kind of list, against the whole list filtered the slow way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import CATEGORIES, ITEMS, SEEN, WAYS, get, ids, post

FILTERS: list[dict[str, Any]] = [
    {"category": ["even"]},
    {"category": ["even", "third"]},
    {"category_any": ["third", "fifth"]},
    {"exclude_category": ["even"]},
    {"exclude_category": ["even", "fifth"]},
    {"category": ["even"], "category_any": ["third", "fifth"], "exclude_category": ["fifth"]},
    {"exclude_item": ITEMS[:12]},
    {"exclude_item": ["item-9", "item-9", "never heard of"], "category": ["third"]},
    {"category": ["even", "never heard of"]},
    {"category_any": ["never heard of"]},
    {"category_any": ["never heard of", "fifth"]},
    {"exclude_category": ["never heard of"]},
    {"max_per_category": 1},
    {"max_per_category": 2, "exclude_category": ["fifth"]},
]


def fits(item_id: str, asked: dict[str, Any]) -> bool:
    has = CATEGORIES[item_id]
    return (
        set(asked.get("category", ())) <= has
        and ("category_any" not in asked or bool(has & set(asked["category_any"])))
        and not has & set(asked.get("exclude_category", ()))
        and item_id not in asked.get("exclude_item", ())
    )


def spread(item_ids: Iterable[str], most: int | None) -> list[str]:
    """Items in their order, without those of a category that has enough."""
    if most is None:
        return list(item_ids)
    kept: list[str] = []
    counts: Counter[str] = Counter()
    for item_id in item_ids:
        if all(counts[name] < most for name in CATEGORIES[item_id]):
            counts.update(CATEGORIES[item_id])
            kept.append(item_id)
    return kept


@pytest.mark.parametrize("asked", FILTERS, ids=str)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fixture", ["shared_shop", "untrained_shop"])
def test_a_filtered_list_is_the_best_of_what_is_left(
    request: pytest.FixtureRequest, fixture: str, way: str, asked: dict[str, Any]
) -> None:
    service: Running = request.getfixturevalue(fixture)
    every = WAYS[way](service, {"limit": 500})["items"]
    score_of = {item["item_id"]: item["score"] for item in every}
    left = spread([item_id for item_id in score_of if fits(item_id, asked)], asked.get("max_per_category"))
    for limit in (4, 500):
        answer = WAYS[way](service, {"limit": limit, **asked})
        assert ids(answer) == left[:limit]
        assert [item["rank"] for item in answer["items"]] == list(range(1, len(ids(answer)) + 1))
        assert [item["score"] for item in answer["items"]] == [score_of[item_id] for item_id in ids(answer)]


def test_the_whole_lists_hold_all_but_what_was_seen(shared_shop: Running) -> None:
    left_out = {"user": SEEN["ann"], "user by POST": SEEN["ann"], "batch": SEEN["ann"], "session": {"item-3"}}
    for way, ask in WAYS.items():
        missing = set(ITEMS) - set(ids(ask(shared_shop, {"limit": 500})))
        assert missing == left_out.get(way, {"item-4"} if way == "similar" else set()), way


def test_a_list_in_a_body_is_the_one_in_a_query(shared_shop: Running) -> None:
    asked = {"limit": 7, "exclude_category": ["fifth"], "include_seen": True, "explain": True, "max_per_category": 3}
    by_get = get(shared_shop, "/users/ann/recommendations", **asked)
    by_post = post(shared_shop, "/users/ann/recommendations", asked)
    (in_batch,) = post(shared_shop, "/recommendations/batch", {"user_ids": ["ann"], **asked})["results"]
    for answer in (by_get, by_post, in_batch):
        del answer["recommendation_id"]
    assert by_get == by_post == in_batch
    assert len(by_get["items"]) == 7


def test_a_body_takes_one_category_as_a_text(shared_shop: Running) -> None:
    path = "/users/ann/recommendations"
    assert ids(post(shared_shop, path, {"category": "third"})) == ids(get(shared_shop, path, category="third"))


def test_an_empty_body_and_empty_arrays_filter_nothing(shared_shop: Running) -> None:
    path = "/users/ann/recommendations"
    every = ids(get(shared_shop, path))
    empty: dict[str, Any] = {"category": [], "category_any": [], "exclude_category": [], "exclude_items": []}
    for body in ({}, {**empty, "max_per_category": None, "include_seen": None}):
        assert ids(post(shared_shop, path, body)) == every
    assert len(every) == 10


@pytest.mark.parametrize(("asked", "there"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_seen_items_are_listed_as_repeats_when_asked_for(shared_shop: Running, asked: str, there: bool) -> None:
    answer = get(shared_shop, "/users/ann/recommendations", limit=500, include_seen=asked)
    repeated = {item["item_id"] for item in answer["items"] if item["source"] == "repeat"}
    assert repeated == (SEEN["ann"] if there else set())
    assert len(ids(answer)) == len(ITEMS) - (0 if there else len(SEEN["ann"]))
    assert {item["source"] for item in answer["items"]} - {"repeat"} == {answer["source"]} == {"model"}


def test_what_a_session_holds_is_listed_when_asked_for(shared_shop: Running) -> None:
    body = {"interactions": [{"item_id": "item-3"}], "limit": 500}
    assert "item-3" not in ids(post(shared_shop, "/recommendations", body))
    assert "item-3" in ids(post(shared_shop, "/recommendations", body | {"include_seen": True}))


def test_fifty_thousand_items_can_be_excluded(shared_shop: Running) -> None:
    excluded = [*ITEMS[:25], *(f"x{number}" for number in range(49_975))]
    answer = post(shared_shop, "/users/cid/recommendations", {"limit": 500, "exclude_items": excluded})
    assert sorted(ids(answer)) == sorted(ITEMS[25:])


def test_numbers_name_items_and_categories_as_their_digits(shop: Running) -> None:
    assert shop.client.put("/items/17", json={"categories": ["5", "even"]}).status_code == 200
    path = "/users/ann/recommendations"
    assert ids(post(shop, path, {"category": [5]})) == ["17"]
    assert ids(post(shop, path, {"category": [5], "exclude_items": [17]})) == []
