"""Versions of random items, whose users are folded in from what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.db.append import StoredInteraction
from app.live.seen import EventTypes, SeenRule
from model.served import ServedModel
from model.user_factors import UserEvents, chosen_items, folded_in
from tests.app.published import served_policy

DIMENSIONS = 8


def version(rows: Sequence[StoredInteraction], *, items: int, rule: SeenRule, **changed: Any) -> ServedModel:
    """What a training might make of some rows.

    Args:
        items: it knows the keys 1 to `items`.
        rule: what it hides weighs nothing.
        changed: fields of the version, and `policy` as fields of the policy.
    """
    random = np.random.default_rng(5)
    weights = dict.fromkeys(rule.hidden_types, "hide")
    arrays = {
        "item_keys": np.arange(1, items + 1),
        "item_vectors": random.normal(size=(items, DIMENSIONS)).astype(np.float32),
        "item_biases": random.normal(size=items).astype(np.float32),
        "popularity": random.exponential(size=items),
        "betas": np.array([0.5, 0.4, 0.3, 0.2]),
        "fold_in_matrices": random.normal(size=(DIMENSIONS, DIMENSIONS)).astype(np.float32),
        "fold_in_offsets": random.normal(size=(1, DIMENSIONS)).astype(np.float32),
        "policy": served_policy(**{"event_weights": weights, **changed.pop("policy", {})}),
    }
    arrays |= {name: value for name, value in changed.items() if name in arrays}
    nobody = {
        "user_keys": np.empty(0, dtype=np.int64),
        "user_vectors": np.empty((0, arrays["item_vectors"].shape[1]), dtype=np.float32),
        "user_groups": np.empty(0, dtype=np.uint8),
        "history_sizes": np.empty(0, dtype=np.int32),
    }
    served = ServedModel(**arrays, **nobody, items_by_key=np.argsort(arrays["item_keys"]))
    users = _users(served, rows, EventTypes(rule))
    return replace(served, **{**users, **{name: value for name, value in changed.items() if name not in arrays}})


def _users(served: ServedModel, rows: Sequence[StoredInteraction], types: EventTypes) -> Mapping[str, Any]:
    """The arrays of those users that chose anything."""
    found = {}
    for user_key in sorted({row.user_key for row in rows}):
        own = [row for row in rows if row.user_key == user_key]
        events = UserEvents(
            np.array([row.item_key for row in own]),
            np.array(types.numbers(row.event_type for row in own)),
            np.array([row.occurred_us for row in own]),
            np.array([row.value for row in own], dtype=np.float32),
        )
        weights = types.weights(served.policy)
        chosen = chosen_items(served, events, types=weights, now_us=served.policy.popularity_now_us)
        if chosen.events:
            found[user_key] = (folded_in(served, chosen), len(own))
    vectors = np.array([made.vector for made, _ in found.values()], dtype=np.float32)
    return {
        "user_keys": np.array(list(found), dtype=np.int64),
        "user_vectors": vectors.reshape(len(found), served.dimensions),
        "user_groups": np.array([made.group for made, _ in found.values()], dtype=np.uint8),
        "history_sizes": np.array([size for _, size in found.values()], dtype=np.int32),
    }
