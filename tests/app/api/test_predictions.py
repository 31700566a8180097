"""`POST /predict` of many items at once."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Sequence

import pytest

from app.api.predictions import MANY_ITEMS
from app.recommend import Scored
from tests.app.api.running import Running
from tests.app.published import publish_model

COUNT = MANY_ITEMS + 150
MANY = [f"item-{number}" for number in range(COUNT)]


@pytest.fixture
def large(service: Running) -> Running:
    """A service whose model has more items than one answers in passing."""
    for start in range(0, COUNT, 1000):
        rows = [{"user_id": f"u{start}", "item_id": item} for item in MANY[start : start + 1000]]
        assert service.client.post("/interactions", json=rows).status_code == 201
    publish_model(service.state.store, service.state.settings.model_dir)
    asyncio.run(service.state.refresher.poll_now())
    return service


def bits(scores: list[dict[str, float]]) -> list[bytes]:
    return [struct.pack("<d", score["score"]) for score in scores]


@pytest.mark.parametrize("user", ["u0", "nobody"])
def test_all_items_many_items_and_many_pairs_have_the_bits_of_the_list(large: Running, user: str) -> None:
    every = large.client.post("/predict", json={"user_id": user}).json()
    assert sorted(score["item_id"] for score in every["scores"]) == sorted(MANY)
    order = [score["item_id"] for score in every["scores"]]
    given = large.client.post("/predict", json={"user_id": user, "item_ids": order}).json()
    assert given == every
    pairs = large.client.post("/predict", json={"pairs": [{"user_id": user, "item_id": item} for item in order]}).json()
    assert bits(pairs["scores"]) == bits(every["scores"])
    listed = large.client.get(f"/users/{user}/recommendations?limit=500&include_seen=true").json()["items"]
    by_item = dict(zip(order, bits(every["scores"]), strict=True))
    assert [by_item[item["item_id"]] for item in listed] == bits(listed)


def test_an_item_the_model_does_not_know_has_no_score_among_many(large: Running) -> None:
    asked = [*MANY[:500], "never heard of", *MANY[500:]]
    scores = large.client.post("/predict", json={"user_id": "u0", "item_ids": asked}).json()["scores"]
    assert [score["item_id"] for score in scores] == asked
    assert [place for place, score in enumerate(scores) if score["score"] is None] == [500]


class Watched:
    """Stands in for the recommender: notes in which thread it is asked."""

    def __init__(self, *, many: bool) -> None:
        self._many = many
        self.threads: list[str] = []

    def items_of_model(self) -> int:
        self.threads.append(threading.current_thread().name)
        return MANY_ITEMS + self._many

    def predict(self, user_id: str, item_ids: Sequence[str] | None) -> Scored:
        self.threads.append(threading.current_thread().name)
        return Scored(1, "popular", item_ids or ["a"], [1.5] * len(item_ids or ["a"]))


@pytest.mark.parametrize(
    ("body", "many", "elsewhere"),
    [
        ({"user_id": "u"}, False, False),
        ({"user_id": "u"}, True, True),
        ({"user_id": "u", "item_ids": MANY[:10]}, True, False),
        ({"user_id": "u", "item_ids": MANY}, False, True),
    ],
)
def test_much_work_is_done_beside_the_loop(
    service: Running, body: dict[str, object], *, many: bool, elsewhere: bool
) -> None:
    watched = Watched(many=many)
    service.state.recommender = watched  # type: ignore[assignment]  # a stand-in
    assert service.client.post("/predict", json=body).json()["scores"][0]["score"] == 1.5
    loop = Watched(many=False)
    service.state.recommender = loop  # type: ignore[assignment]  # a stand-in
    service.client.post("/predict", json={"user_id": "u", "item_ids": ["a"]})
    assert (watched.threads[-1] != loop.threads[-1]) is elsewhere
