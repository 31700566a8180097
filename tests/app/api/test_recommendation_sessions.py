"""`POST /recommendations`: a list for a visitor of whom nothing is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.db import tables
from model.candidates import Candidates
from tests.app.api.running import Running
from tests.app.api.shop import ITEMS, get, ids, poll, post
from tests.app.published import served_policy


def asked(*item_ids: str, **changed: Any) -> dict[str, Any]:
    return {"interactions": [{"item_id": item_id} for item_id in item_ids], **changed}


def counts(service: Running) -> list[int]:
    with service.state.store.read() as connection:
        return [
            connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in tables.metadata.sorted_tables
        ]


def test_a_sessions_list_is_of_nobody_and_leaves_out_what_the_session_had(shared_shop: Running) -> None:
    answer = post(shared_shop, "/recommendations", asked("item-3", "item-5", limit=500))
    assert (answer["user_id"], answer["source"], answer["model_version"]) == (None, "fold_in", 1)
    assert set(ids(answer)) == set(ITEMS) - {"item-3", "item-5"}
    assert {item["source"] for item in answer["items"]} == {"fold_in"}


def test_different_sessions_get_different_lists(shared_shop: Running) -> None:
    lists = {tuple(ids(post(shared_shop, "/recommendations", asked(item_id)))) for item_id in ITEMS[:6]}
    assert len(lists) == 6


def test_a_session_is_scored_as_a_user_who_did_the_same(shop: Running) -> None:
    rows = [
        {"item_id": "item-3", "event_type": "click", "value": 2.0},
        {"item_id": "item-9", "event_type": "purchase"},
        {"item_id": "item-3"},
    ]
    shop.client.post("/interactions", json=[{"user_id": "dan", **row} for row in rows])
    of_user = get(shop, "/users/dan/recommendations", limit=500)
    of_session = post(shop, "/recommendations", {"interactions": rows, "limit": 500})
    assert of_session["items"] == of_user["items"]
    assert (of_user["source"], of_user["user_id"]) == ("fold_in", "dan")


def test_the_types_and_values_of_a_session_count(shop: Running) -> None:
    model = shop.state.live.current()
    assert model is not None
    weighing = replace(model.served, policy=served_policy(event_weights={"purchase": 4.0}))
    shop.state.live.swap(replace(model, candidates=Candidates.as_trained(weighing)))

    def listed(**of_first: Any) -> list[dict[str, Any]]:
        rows = [{"item_id": "item-3", **of_first}, {"item_id": "item-9"}]
        items: list[dict[str, Any]] = post(shop, "/recommendations", {"interactions": rows})["items"]
        return items

    plain = listed()
    assert listed(value=1.0, event_type="click") == plain
    assert listed(value=4.0) == listed(event_type="purchase") == listed(value=1, event_type="purchase") != plain
    assert listed(value=2.0, event_type="purchase") == listed(value=8.0) != listed(value=4.0)


def test_a_session_that_dislikes_an_item_is_not_shown_it(shared_shop: Running) -> None:
    rows = [{"item_id": "item-3"}, {"item_id": "item-9", "event_type": "dislike"}]
    answer = post(shared_shop, "/recommendations", {"interactions": rows, "limit": 500, "include_seen": True})
    assert "item-3" in ids(answer)
    assert "item-9" not in ids(answer)


@pytest.mark.parametrize("session", [("x",), ("x", "y", "x"), tuple(f"x{number}" for number in range(1_000))])
def test_a_session_of_unknown_items_gets_what_is_popular(shared_shop: Running, session: tuple[str, ...]) -> None:
    popular = get(shared_shop, "/popular")
    answer = post(shared_shop, "/recommendations", asked(*session))
    assert (answer["source"], answer["user_id"], answer["model_version"]) == ("popular", None, 1)
    assert answer["items"] == popular["items"]


def test_unknown_items_beside_known_ones_change_nothing(shared_shop: Running) -> None:
    known = post(shared_shop, "/recommendations", asked("item-3", limit=500))
    both = post(shared_shop, "/recommendations", asked("x", "item-3", "y", limit=500))
    assert both["items"] == known["items"]


def test_a_thousand_rows_are_taken(shared_shop: Running) -> None:
    answer = post(shared_shop, "/recommendations", asked(*(ITEMS[:10] * 100), limit=500))
    assert set(ids(answer)) == set(ITEMS[10:])


def test_nothing_of_a_session_is_stored_or_remembered(shop: Running) -> None:
    before, stats = counts(shop), get(shop, "/stats")
    rows = [{"item_id": "item-3", "event_type": "never.heard.of"}, {"item_id": "nobody knows it"}]
    for _ in range(3):
        post(shop, "/recommendations", {"interactions": rows})
    poll(shop)
    assert counts(shop) == before
    assert get(shop, "/stats") == stats
    assert "never.heard.of" not in shop.state.history.types.names
    assert shop.client.get("/items/nobody%20knows%20it").status_code == 404


def test_before_the_first_model_a_session_gets_what_is_popular_without_what_it_had(untrained_shop: Running) -> None:
    answer = post(untrained_shop, "/recommendations", asked("item-0", "never heard of", limit=500))
    assert (answer["source"], answer["user_id"], answer["model_version"]) == ("popular", None, None)
    assert set(ids(answer)) == set(ITEMS[1:])
