"""`POST /recommendations/batch`: lists of many users, as each would get them alone."""

from __future__ import annotations

import threading
from typing import Any

from tests.app.api.running import Running
from tests.app.api.shop import SEEN, get, ids, post
from tests.app.published import publish_model


def batch(service: Running, user_ids: list[Any], **asked: Any) -> dict[str, Any]:
    return post(service, "/recommendations/batch", {"user_ids": user_ids, **asked})


def test_results_stand_in_the_order_asked_and_are_what_each_user_gets_alone(shared_shop: Running) -> None:
    user_ids = ["cid", "nobody", "ann", "everything", "bob", "ann"]
    answer = batch(shared_shop, user_ids, limit=7)
    assert list(answer) == ["model_version", "results"]
    assert answer["model_version"] == 1
    assert [result["user_id"] for result in answer["results"]] == user_ids
    for user_id, result in zip(user_ids, answer["results"], strict=True):
        alone = get(shared_shop, f"/users/{user_id}/recommendations", limit=7)
        del alone["recommendation_id"], result["recommendation_id"]
        assert result == alone


def test_every_list_of_a_batch_has_an_id_of_its_own(shared_shop: Running) -> None:
    answer = batch(shared_shop, ["ann"] * 50)
    assert len({result["recommendation_id"] for result in answer["results"]}) == 50


def test_a_number_is_a_user_as_its_digits(shared_shop: Running) -> None:
    assert [result["user_id"] for result in batch(shared_shop, [7, "7"])["results"]] == ["7", "7"]


def test_a_thousand_users_are_answered_and_one_more_is_refused(shared_shop: Running) -> None:
    user_ids = [*SEEN, *(f"u{number}" for number in range(997))]
    answer = batch(shared_shop, user_ids, limit=3)
    assert [result["user_id"] for result in answer["results"]] == user_ids
    assert all(len(ids(result)) == 3 for result in answer["results"])
    response = shared_shop.client.post("/recommendations/batch", json={"user_ids": [*user_ids, "one more"]})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/user_ids"]


def test_before_the_first_model_each_gets_what_is_popular_without_what_was_seen(untrained_shop: Running) -> None:
    answer = batch(untrained_shop, ["ann", "nobody"], limit=500)
    assert answer["model_version"] is None
    ann, nobody = answer["results"]
    assert {ann["source"], nobody["source"]} == {"popular"}
    assert set(ids(nobody)) - set(ids(ann)) == SEEN["ann"]


def test_a_batch_is_of_one_version_while_versions_come(shop: Running) -> None:
    for seed in range(2, 5):
        publish_model(shop.state.store, shop.state.settings.model_dir, seed=seed)
        polling = threading.Thread(target=shop.state.refresher.poll)
        polling.start()
        answer = batch(shop, ["ann", "bob", "cid"] * 50, limit=5)
        polling.join()
        versions = {result["model_version"] for result in answer["results"]}
        assert versions == {answer["model_version"]}
        of_ann = [result["items"] for result in answer["results"] if result["user_id"] == "ann"]
        assert all(items == of_ann[0] for items in of_ann)
    assert get(shop, "/popular")["model_version"] == 4
