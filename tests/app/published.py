"""Publishes a model as a trainer does, without training one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.db import items, trainings, users
from app.db.engine import Store
from app.snapshots import SnapshotStore
from app.training.dataset import read_events
from app.training.history import item_table
from model.histories import Histories
from model.served import ServedModel, ServedPolicy

NOW_US = 1_738_324_800_000_000


def served_model(user_keys: list[int], item_keys: list[int], *, seed: int = 1, **changed: Any) -> ServedModel:
    """A model of random numbers, of users who had one interaction each."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "user_keys": np.array(user_keys, dtype=np.int64),
        "item_keys": np.array(item_keys, dtype=np.int64),
        "user_vectors": random.normal(size=(len(user_keys), 4)).astype(np.float32),
        "item_vectors": random.normal(size=(len(item_keys), 4)).astype(np.float32),
        "item_biases": np.zeros(len(item_keys), dtype=np.float32),
        "popularity": random.exponential(size=len(item_keys)),
        "betas": np.full(4, 0.5),
        "user_groups": np.zeros(len(user_keys), dtype=np.uint8),
        "history_sizes": np.ones(len(user_keys), dtype=np.int32),
        "fold_in_matrices": np.eye(4, dtype=np.float32),
        "fold_in_offsets": np.zeros((1, 4), dtype=np.float32),
        "policy": served_policy(),
    }
    arrays |= changed
    return ServedModel(**{"items_by_key": np.argsort(arrays["item_keys"]), **arrays})


def served_policy(**changed: Any) -> ServedPolicy:
    """Popularity and histories that do not age, and no repeats."""
    given: dict[str, Any] = {
        "popularity_now_us": float(NOW_US),
        "popularity_half_life_us": None,
        "fold_in_length": 2.0,
        "fold_in_half_life_us": None,
        "repeats": None,
        "event_weights": {},
    }
    return ServedPolicy(**{**given, **changed})


def publish_model(store: Store, model_dir: Path, *, seed: int = 1, history: bool = True) -> int:
    """A version for the users and items that the store has now; returns its number."""
    snapshots = SnapshotStore(model_dir)
    with store.write() as connection:
        trainings.queue(connection, "cli", now_us=NOW_US)
    with store.write() as connection:
        claim = trainings.claim(connection, "test", now_us=NOW_US, lease_us=10**9)
        assert claim is not None
    events = read_events(store)
    watermark = events.watermark
    with store.read() as connection:
        user_ids = users.ids_of(connection, sorted(set(events.user_keys.tolist())))
        item_ids = items.ids_of(connection, sorted(set(events.item_keys.tolist())))
        records = list(items.records(connection))
    keys, sizes = np.unique(events.user_keys, return_counts=True)
    served = served_model(keys.tolist(), sorted(item_ids), seed=seed, history_sizes=sizes.astype(np.int32))
    name = f"model-{claim.id:06d}"
    stored = {"store_id": store.store_id(), "created_at": "2025-01-31T12:00:00Z"}
    if history:
        histories = Histories.build(
            events.user_keys,
            events.item_keys,
            event_codes=events.event_codes,
            times_us=events.times_us,
            values=events.values,
            event_types=events.event_types,
            user_ids=user_ids,
            items=item_table(records),
        )
        facts = histories.facts() | {"watermark": watermark.to_json()}
        snapshots.save("history", name, histories.arrays(), facts=facts, **stored)
    _, sha256 = snapshots.save("model", name, served.arrays(), facts=served.facts(), **stored)
    with store.write() as connection:
        version = trainings.publish(
            connection,
            claim,
            now_us=NOW_US,
            folder=name,
            manifest_sha256=sha256,
            metrics={"ndcg@20": {"policy": 0.2}},
            config={},
            watermark=watermark,
            users=len(user_ids),
            items=len(item_ids),
            rows=len(events),
            seed=seed,
        )
        trainings.finish(connection, claim, "succeeded", now_us=NOW_US)
    return version
