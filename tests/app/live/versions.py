"""A small version, a replica that rests on the history of its training, and what is listed of each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from app.db.append import StoredInteraction
from app.db.items import ItemRecord
from app.live.freshness import fresh_candidates
from app.live.history import History
from app.live.seen import SeenRule
from model.candidates import Candidates
from model.item_table import ItemTable
from model.served import ServedModel
from tests.app.live.events import base, batch, history, item_id, upto
from tests.app.published import NOW_US, served_model, served_policy

NAME = "model-1"
ITEM_KEYS = (11, 12, 13)
MINUTE_US = 60_000_000

__all__ = ["ITEM_KEYS", "MINUTE_US", "NAME", "NOW_US", "Shown", "fresh", "shown", "started", "version"]


def version(*, half_life_us: float | None = None, event_weights: Mapping[str, Any] | None = None) -> ServedModel:
    """Knows the users 1 to 3 and the items 11 to 13."""
    policy = served_policy(popularity_half_life_us=half_life_us, event_weights=event_weights or {})
    biases = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    return served_model([1, 2, 3], list(ITEM_KEYS), policy=policy, item_biases=biases)


def started(
    *rows: StoredInteraction,
    trained: Sequence[StoredInteraction] = (),
    records: Iterable[ItemRecord] = (),
    categories: Mapping[int, Sequence[str]] | None = None,
    most_since: int = 100,
) -> History:
    """A process that has just started: `trained` and `categories` are in the training's history, the rest is newer."""
    items = ItemTable.build({key: item_id(key) for key in ITEM_KEYS}, categories=categories)
    h = history(SeenRule(), most_since=most_since)
    read = upto(max((r.id for r in trained), default=0))
    last_id = max((r.id for r in (*trained, *rows)), default=0)
    since = batch(*rows, items=records, watermark=upto(last_id))
    h.restart(base(*trained, name=NAME, watermark=read, items=items), since)
    return h


class Shown(NamedTuple):
    """What is listed of an item: its popularity, and where it has a place its vector and bias."""

    popularity: float
    vector: list[float] | None
    bias: float | None


def fresh(served: ServedModel, h: History, name: str = NAME) -> dict[int, Shown]:
    """What is listed now, by item key."""
    return shown(fresh_candidates(served, name, h))


def shown(candidates: Candidates) -> dict[int, Shown]:
    numbers = np.arange(len(candidates))
    placed = candidates.num_scored
    vectors = candidates.vectors(numbers[:placed]).tolist()
    biases = [*candidates.served.item_biases.tolist(), *candidates.new.biases[candidates.new.places].tolist()]
    popularity = [*candidates.popularity.tolist(), *candidates.new.popularity.tolist()]
    return {
        key: Shown(popularity[number], *((vectors[number], biases[number]) if number < placed else (None, None)))
        for number, key in enumerate(candidates.keys(numbers).tolist())
    }
