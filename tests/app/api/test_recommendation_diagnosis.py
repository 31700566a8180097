"""`/users/{id}/recommendations/diagnosis`: why a list is as it is, in numbers that agree with the list."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.api.running import Running
from tests.app.api.shop import ITEMS, get, ids

FIELDS = ["user_id", "source", "reason", "sentence", "interactions_used", "candidates", "filters", "model_version"]
FIELDS += ["model_age_seconds"]


def diagnosis(service: Running, user_id: str, **asked: Any) -> dict[str, Any]:
    return get(service, f"/users/{user_id}/recommendations/diagnosis", **asked)


def test_it_has_the_fields_of_the_contract(shared_shop: Running) -> None:
    answer = diagnosis(shared_shop, "ann")
    assert list(answer) == FIELDS
    assert (answer["user_id"], answer["source"], answer["reason"]) == ("ann", "model", "known_to_model")
    assert (answer["interactions_used"], answer["candidates"], answer["model_version"]) == (2, len(ITEMS), 1)
    assert answer["sentence"] == (
        "The list is made of 2 interactions of this user that the training knew. "
        "28 of 30 items are left to choose from."
    )


def test_each_filter_goes_on_from_what_the_one_before_left(shop: Running) -> None:
    shop.client.put("/items/item-2", json={"hidden": True, "categories": ["even"]})
    asked: dict[str, Any] = {"exclude_item": ["item-3", "item-4", "item-2", "unknown"], "exclude_category": ["third"]}
    answer = diagnosis(shop, "ann", **asked)
    assert answer["filters"] == [
        {"name": "unavailable", "before": 30, "after": 29},
        {"name": "seen", "before": 29, "after": 27},
        {"name": "exclude_item", "before": 27, "after": 25},
        {"name": "category", "before": 25, "after": 17},
    ]
    assert len(ids(get(shop, "/users/ann/recommendations", limit=500, **asked))) == 17
    assert "17 of 30 items are left" in answer["sentence"]


@pytest.mark.parametrize("user_id", ["ann", "everything", "nobody"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"category": ["even", "third"]},
        {"category_any": ["never heard of"]},
        {"include_seen": "true", "exclude_item": ITEMS[:10]},
    ],
    ids=str,
)
def test_what_is_left_is_what_the_list_has_to_choose_from(
    shared_shop: Running, user_id: str, asked: dict[str, Any]
) -> None:
    answer = diagnosis(shared_shop, user_id, **asked)
    listed = get(shared_shop, f"/users/{user_id}/recommendations", limit=500, **asked)
    assert answer["filters"][-1]["after"] == len(ids(listed))
    assert answer["source"] == listed["source"]


def test_what_a_user_disliked_stays_out_when_seen_items_come_back(shop: Running) -> None:
    shop.client.post("/interactions", json={"user_id": "ann", "item_id": "item-9", "event_type": "dislike"})
    answer = diagnosis(shop, "ann", include_seen="true")
    assert answer["filters"][-1] == {"name": "disliked", "before": 30, "after": 29}


def test_reasons_and_sentences_follow_what_is_known(shop: Running) -> None:
    rows = [("late", "item-3", "e1"), ("ann", "item-9", "e2"), ("stranger", "odd one", "e3"), ("gone", "item-1", "e4")]
    shop.client.post(
        "/interactions",
        json=[{"user_id": user_id, "item_id": item_id, "event_id": event} for user_id, item_id, event in rows],
    )
    shop.client.delete("/interactions/e4")
    users = ["bob", "ann", "late", "stranger", "gone", "nobody"]
    found = {user_id: diagnosis(shop, user_id) for user_id in users}
    assert {
        user_id: (each["reason"], each["source"], each["interactions_used"]) for user_id, each in found.items()
    } == {
        "bob": ("known_to_model", "model", 2),
        "ann": ("later_interactions", "fold_in", 3),
        "late": ("later_interactions", "fold_in", 1),
        "stranger": ("only_unknown_items", "popular", 0),
        "gone": ("no_interactions", "popular", 0),
        "nobody": ("unknown_user", "popular", 0),
    }
    assert len({each["sentence"].partition(".")[0] for each in found.values()}) == len(users)


def test_the_age_of_the_model_counts_from_its_publication(shop: Running) -> None:
    shop.clock.us += 90_500_000
    assert diagnosis(shop, "ann")["model_age_seconds"] == 90.5
    shop.clock.us -= 10**9
    assert diagnosis(shop, "ann")["model_age_seconds"] == 0


@pytest.mark.parametrize(("user_id", "words"), [("ann", "without what this user has seen"), ("nobody", "everybody")])
def test_before_the_first_model_it_says_so(untrained_shop: Running, user_id: str, words: str) -> None:
    answer = diagnosis(untrained_shop, user_id)
    assert list(answer) == FIELDS
    assert (answer["source"], answer["reason"], answer["candidates"]) == ("popular", "no_model", len(ITEMS))
    assert (answer["model_version"], answer["model_age_seconds"]) == (None, None)
    assert words in answer["sentence"]
