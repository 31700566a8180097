"""What the policy would have been worth: chosen on one stretch of held out rows, judged on the next."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from app.training import prior, recipe
from app.training.config import TrainingConfig
from app.training.dataset import Positives, pairs
from app.training.prior import UNCHOSEN_BETA, Prior, Verdict
from app.training.progress import Progress
from app.training.recipe import Fit
from app.training.window import Split, open_window, split
from model.evaluation import bootstrap_interval

Device = Literal["auto", "cpu", "cuda"]


class Trial(NamedTuple):
    """The outcome of a trial.

    Attributes:
        prior: chosen on rows before those it was judged on.
        epochs: of a fit, as many as the first one had time for.
        verdict: how policy and rivals did; None where there are too few users to tell.
        cut_at_us, by: the time of the oldest row judged on, and how these rows were held out.
    """

    prior: Prior
    epochs: int
    verdict: Verdict | None
    cut_at_us: int | None
    by: Literal["time", "random"] | None


def try_policy(
    rows: Positives,
    config: TrainingConfig,
    *,
    half_life_us: float | None,
    device: Device,
    progress: Progress,
    fit: Fit = recipe.fit,
) -> Trial:
    """Choose the prior and judge the policy, each on rows the fit has not seen.

    Args:
        rows: every positive there is.
        half_life_us: a half-life that is given and not chosen, or None.
    Raises: TrainingStopped, and what `fit` raises.
    """
    generator = np.random.default_rng(config.seed)
    epochs = recipe.epochs(len(pairs(rows)), config)
    judged = split(rows, generator=generator)
    chosen = None if judged is None else split(judged.earlier, generator=generator)
    progress.phase("choose")
    chosen_prior = Prior(UNCHOSEN_BETA, half_life_us)
    if chosen is None:
        progress.fits -= 1
    else:
        chosen_prior, epochs = choose(
            chosen,
            config,
            epochs,
            half_life_us=half_life_us,
            device=device,
            progress=progress,
            fit=fit,
            generator=generator,
        )
    progress.phase("judge")
    if judged is None:
        progress.fits -= 1
        return Trial(chosen_prior, epochs, None, None, None)
    verdict = _judge(
        judged,
        config,
        epochs,
        chosen_prior=chosen_prior,
        device=device,
        progress=progress,
        fit=fit,
        generator=generator,
    )
    return Trial(chosen_prior, epochs, verdict, judged.cut_at_us, judged.by)


def choose(
    divided: Split,
    config: TrainingConfig,
    epochs: int,
    *,
    half_life_us: float | None,
    device: Device,
    progress: Progress,
    fit: Fit,
    generator: np.random.Generator,
) -> tuple[Prior, int]:
    """The prior that the held out rows choose for a fit on those before them, and the epochs that fit had time for."""
    rows, numbered = divided.earlier, pairs(divided.earlier)
    factors = fit(
        numbered,
        config,
        epochs=epochs,
        device=device,
        seconds=progress.fit(epochs),
        on_epoch=progress.epoch,
        check=progress.check,
    )
    num_items = len(numbered.item_keys)
    window = open_window(
        divided, numbered, most_users=min(1_000, max(200, 10_000_000 // num_items)), generator=generator
    )
    candidates = prior.half_lives(rows) if half_life_us is None else [half_life_us]
    return prior.choose(window, factors, rows, numbered, candidates=candidates, check=progress.check), factors.epochs


def _judge(
    divided: Split,
    config: TrainingConfig,
    epochs: int,
    *,
    chosen_prior: Prior,
    device: Device,
    progress: Progress,
    fit: Fit,
    generator: np.random.Generator,
) -> Verdict:
    rows, numbered = divided.earlier, pairs(divided.earlier)
    factors = fit(
        numbered,
        config,
        epochs=epochs,
        device=device,
        seconds=progress.fit(epochs),
        on_epoch=progress.epoch,
        check=progress.check,
    )
    num_items = len(numbered.item_keys)
    window = open_window(
        divided, numbered, most_users=min(10_000, max(500, 50_000_000 // num_items)), generator=generator
    )
    return prior.judge(window, factors, rows, numbered, prior=chosen_prior, check=progress.check)


def summary(verdict: Verdict, *, seed: int) -> dict[str, Any]:
    """A verdict as plain numbers: means, and 95 % intervals of the differences (paired bootstrap over users)."""
    generator = np.random.default_rng(seed)
    rivals = {"popular_recent": verdict.popular_recent, "popular_all_time": verdict.popular_all_time}
    intervals = {name: bootstrap_interval(verdict.policy, ndcg, generator=generator) for name, ndcg in rivals.items()}
    return {
        "ndcg@20": {name: float(ndcg.mean()) for name, ndcg in verdict._asdict().items()},
        "gain_over": {
            name: {"mean": each.mean, "low": each.low, "high": each.high} for name, each in intervals.items()
        },
        "users": len(verdict.policy),
    }
