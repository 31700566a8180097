"""What the policy would have been worth: chosen on one stretch of held out rows, judged on the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.training import recipe
from app.training.config import TrainingConfig
from app.training.dataset import Positives, pairs
from app.training.progress import Progress
from app.training.recipe import Fit
from app.training.window import Split, open_windows, split, split_by_number
from model.evaluation import bootstrap_interval
from model.policy import FittedPolicy, Policy, popularity
from model.policy_choice import UNCHOSEN, choose_policy

Device = Literal["auto", "cpu", "cuda"]


class Verdict(NamedTuple):
    """NDCG@20 of each user, the same users in each, shape (B,)."""

    policy: NDArray[np.float64]
    popular_recent: NDArray[np.float64]
    popular_all_time: NDArray[np.float64]


class Trial(NamedTuple):
    """The outcome of a trial.

    Attributes:
        policy: chosen on rows before those it was judged on.
        epochs: of a fit, as many as the first one had time for.
        verdict: how policy and rivals did; None where there are too few users to tell.
        cut_at_us, by: the time of the oldest row judged on, and how these rows were held out.
    """

    policy: Policy
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
    """Choose the policy and judge it, each on rows the fit has not seen.

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
    policy = replace(UNCHOSEN, half_life=half_life_us)
    if chosen is None:
        progress.fits -= 1
    else:
        policy, epochs = choose(
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
        return Trial(policy, epochs, None, None, None)
    verdict = _judge(
        judged,
        config,
        epochs,
        policy=policy,
        device=device,
        progress=progress,
        fit=fit,
        generator=generator,
    )
    return Trial(policy, epochs, verdict, judged.cut_at_us, judged.by)


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
) -> tuple[Policy, int]:
    """The policy that the held out rows choose for a fit on those before them, and the epochs that fit had time for."""
    numbered = pairs(divided.earlier)
    fitted = fit(
        numbered,
        config,
        epochs=epochs,
        device=device,
        seconds=progress.fit(epochs),
        on_epoch=progress.epoch,
        check=progress.check,
    )
    most_users = min(1_000, max(200, 10_000_000 // len(numbered.item_keys)))
    by_number = split_by_number(divided, numbered)
    policy = choose_policy(
        fitted.learnt,
        by_number.earlier,
        open_windows(by_number, most_users=most_users, generator=generator),
        candidates=None if half_life_us is None else [half_life_us],
        check=progress.check,
    )
    return policy, fitted.epochs


def _judge(
    divided: Split,
    config: TrainingConfig,
    epochs: int,
    *,
    policy: Policy,
    device: Device,
    progress: Progress,
    fit: Fit,
    generator: np.random.Generator,
) -> Verdict:
    numbered = pairs(divided.earlier)
    fitted = fit(
        numbered,
        config,
        epochs=epochs,
        device=device,
        seconds=progress.fit(epochs),
        on_epoch=progress.epoch,
        check=progress.check,
    )
    most_users = min(10_000, max(500, 50_000_000 // len(numbered.item_keys)))
    by_number = split_by_number(divided, numbered)
    window = by_number.window().drawn(most_users, generator=generator)
    served = FittedPolicy(policy, fitted.learnt, by_number.earlier)

    def same_for_all(scores_I: NDArray[np.float64]) -> NDArray[np.float64]:
        return window.ndcg(lambda users: np.broadcast_to(scores_I, (len(users), len(scores_I))), check=progress.check)

    return Verdict(
        policy=window.ndcg(served.scores, check=progress.check),
        popular_recent=same_for_all(served.popularity),
        popular_all_time=same_for_all(popularity(by_number.earlier, None)),
    )


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
