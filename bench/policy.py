"""The served policy and its parts, fitted on what lies before a cut as a training of the service fits it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.clock import DAY_US, MICROSECONDS
from app.db.watermark import START
from app.training import prior, recipe, trial
from app.training.config import TrainingConfig
from app.training.dataset import Events, Positives, pairs, positives
from app.training.prior import UNCHOSEN_BETA, Prior
from app.training.progress import Progress
from app.training.window import split
from bench.methods import Method, for_everyone
from model.interactions import Interactions


def fitted(earlier: Interactions, *, seed: int, changed: Mapping[str, Any]) -> list[Method]:
    """The policy, its personal part alone and its recent popularity alone; strangers get the latter.

    Args:
        earlier: numbered without gaps, timestamps in seconds; every choice is made on the newest of these rows.
        changed: constants of the recipe that differ from the service's.
    """
    rows, config = rows_of_service(earlier), TrainingConfig(**changed, seed=seed)
    generator, numbered = np.random.default_rng(seed), pairs(rows)
    epochs = recipe.epochs(len(numbered), config)
    progress, chosen = Progress(), Prior(UNCHOSEN_BETA, None)
    held_out = split(rows, generator=generator)
    if held_out is not None:
        chosen, epochs = trial.choose(
            held_out,
            config,
            epochs,
            half_life_us=None,
            device="cpu",
            progress=progress,
            fit=recipe.fit,
            generator=generator,
        )
    factors = recipe.fit(
        numbered,
        config,
        epochs=epochs,
        device="cpu",
        seconds=math.inf,
        on_epoch=lambda epoch, loss: None,  # noqa: ARG005 - nobody watches
        check=progress.check,
    )
    recent_I = np.log1p(prior.popularity(rows, numbered, chosen.half_life_us))
    added_I = (chosen.beta * recent_I).astype(np.float32)
    half_life = "none" if chosen.half_life_us is None else f"{chosen.half_life_us / DAY_US:.1f} d"
    return [
        Method(
            f"policy, seed {seed}",
            for_everyone(lambda users: factors.scores(users) + added_I, recent_I),
            f"beta={chosen.beta:g}, half_life={half_life}, epochs={factors.epochs}",
        ),
        Method(f"personal part, seed {seed}", for_everyone(factors.scores, recent_I)),
        Method(f"its popularity, seed {seed}", lambda users: np.broadcast_to(recent_I, (len(users), len(recent_I)))),
    ]


def rows_of_service(earlier: Interactions) -> Positives:
    """The rows as the service would train on them; a value of 0, which it would refuse, counts as 0.5."""
    if earlier.timestamps is None:
        raise ValueError("the service knows the time of every row, and these have none")
    values = np.ones(len(earlier)) if earlier.ratings is None else earlier.ratings
    events = Events(
        user_keys=earlier.user_ids.astype(np.int64),
        item_keys=earlier.item_ids.astype(np.int64),
        event_codes=np.zeros(len(earlier), dtype=np.uint16),
        event_types=("interaction",),
        values=np.maximum(values, 0.5).astype(np.float32),
        times_us=earlier.timestamps.astype(np.int64) * MICROSECONDS,
        watermark=START,
    )
    return positives(events, {})
