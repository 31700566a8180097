"""What a training hands to whoever serves: a fitted policy as the arrays and rules of a version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.training.dataset import Events, Pairs, Positives
from model.policy import FittedPolicy, Learnt
from model.popularity import settled_now
from model.positives import EventWeights
from model.served import ServedModel, ServedPolicy


def served_model(
    fitted: FittedPolicy,
    learnt: Learnt,
    numbered: Pairs,
    *,
    rows: Positives,
    events: Events,
    event_weights: EventWeights,
) -> ServedModel:
    """The version to be published.

    Args:
        fitted, learnt, numbered: of the last fit.
        rows, events: what it was fitted on, and everything that it was taken from.
    """
    fold_in, policy = fitted.fold_in, fitted.policy
    # The most popular ones first, and among equals the smaller key.
    order = np.argsort(-fitted.popularity, kind="stable")
    return ServedModel(
        user_keys=numbered.user_keys,
        item_keys=numbered.item_keys[order],
        items_by_key=np.argsort(order),
        user_vectors=fitted.user_vectors,
        user_groups=fitted.groups,
        history_sizes=_counts(events.user_keys, of=numbered.user_keys),
        item_vectors=learnt.item_vectors[order],
        item_biases=learnt.item_biases[order],
        popularity=fitted.popularity[order],
        betas=np.array(policy.betas),
        fold_in_matrices=fold_in.matrices.reshape(-1, fold_in.matrices.shape[-1]),
        fold_in_offsets=fold_in.offsets,
        policy=ServedPolicy(
            popularity_now_us=float(settled_now(rows.times_us)),
            popularity_half_life_us=policy.half_life,
            fold_in_length=fold_in.length,
            fold_in_half_life_us=fold_in.half_life,
            repeats=policy.repeats,
            event_weights=event_weights,
            value_caps=rows.value_caps,
        ),
    )


def _counts(user_keys: NDArray[np.int64], *, of: NDArray[np.int64]) -> NDArray[np.int32]:
    """How often each key of `of`, ascending, stands among `user_keys`."""
    found, counts = np.unique(user_keys, return_counts=True)
    return counts[np.searchsorted(found, of)].astype(np.int32)
