"""The served policy and its parts, fitted on what lies before a cut as a training of the service fits it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.clock import DAY_US, MICROSECONDS
from app.db.watermark import START
from app.training import recipe, trial
from app.training.config import TrainingConfig
from app.training.dataset import Events, Positives, pairs, positives
from app.training.progress import Progress
from app.training.window import by_number, split
from bench.methods import Method, for_everyone
from model.interactions import Interactions
from model.policy import FittedPolicy, Policy
from model.policy_choice import UNCHOSEN


def fitted(earlier: Interactions, *, seed: int, changed: Mapping[str, Any]) -> list[dict[bool, Method]]:
    """The policy and its parts, for new items only (False) and with repeats allowed (True): users folded in, users as
    trained, and recent popularity, which strangers get.

    Args:
        earlier: numbered without gaps, timestamps in seconds; every choice is made on the newest of these rows.
        changed: constants of the recipe that differ from the service's.
    """
    rows, config = rows_of_service(earlier), TrainingConfig(**changed, seed=seed)
    generator, numbered = np.random.default_rng(seed), pairs(rows)
    epochs = recipe.epochs(len(numbered), config)
    progress, policy = Progress(), UNCHOSEN
    started = time.perf_counter()
    held_out = split(rows, generator=generator)
    if held_out is not None:
        policy, epochs = trial.choose(
            held_out,
            config,
            epochs,
            half_life_us=None,
            device="cpu",
            progress=progress,
            fit=recipe.fit,
            generator=generator,
        )
    learnt = recipe.fit(
        numbered,
        config,
        epochs=epochs,
        device="cpu",
        seconds=math.inf,
        on_epoch=lambda epoch, loss: None,  # noqa: ARG005 - nobody watches
        check=progress.check,
    ).learnt
    served = FittedPolicy(policy, learnt, by_number(rows, numbered))
    seconds = time.perf_counter() - started
    popular_I = served.popularity.astype(np.float32)

    def personal(users: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = served.user_vectors[users] @ learnt.item_vectors.T
        return scores + learnt.item_biases

    def trained(users: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = learnt.user_vectors[users] @ learnt.item_vectors.T
        return scores + learnt.item_biases

    def alike(users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.broadcast_to(popular_I, (len(users), len(popular_I)))

    parts = {"folded in": personal, "as trained": trained}
    return [
        {
            repeats: Method(
                f"policy, seed {seed}",
                for_everyone(partial(served.scores, repeats=repeats), popular_I),
                f"{in_words(policy)}, epochs={epochs}, {seconds:.0f} s",
            )
            for repeats in (False, True)
        },
        *(
            dict.fromkeys((False, True), Method(f"{name}, seed {seed}", for_everyone(scores, popular_I)))
            for name, scores in parts.items()
        ),
        dict.fromkeys((False, True), Method(f"its popularity, seed {seed}", alike)),
    ]


def in_words(policy: Policy) -> str:
    """What was chosen, half-lives in days."""

    def days(half_life_us: float | None) -> str:
        return "none" if half_life_us is None else f"{half_life_us / DAY_US:.1f} d"

    betas = "/".join(f"{beta:g}" for beta in policy.betas)
    fold_in, repeats = policy.fold_in, policy.repeats
    told = f"betas={betas}, half_life={days(policy.half_life)}, {fold_in.kind}"
    told += f" {fold_in.shrinkage:g}" if fold_in.kind == "whitened" else ""
    told += f" of {days(fold_in.half_life)}"
    return told if repeats is None else f"{told}, repeats={repeats.weight:g} of {days(repeats.half_life)}"


def rows_of_service(earlier: Interactions) -> Positives:
    """The rows as the service would train on them; a value of 0, which it would refuse, counts as 0.5."""
    if earlier.timestamps is None:
        raise ValueError("the service knows the time of every row, and these have none")
    values = np.ones(len(earlier)) if earlier.ratings is None else earlier.ratings
    events = Events(
        user_keys=earlier.user_ids.astype(np.int64),
        item_keys=earlier.item_ids.astype(np.int64),
        event_codes=np.zeros(len(earlier), dtype=np.int32),
        event_types=("interaction",),
        values=np.maximum(values, 0.5).astype(np.float32),
        times_us=earlier.timestamps.astype(np.int64) * MICROSECONDS,
        watermark=START,
    )
    return positives(events, {})
