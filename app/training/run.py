"""One training, from the rows of the store to a published model version or to the words that say why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.clock import DAY_US, Clock, now_us, to_rfc3339
from app.db.engine import Store
from app.db.leases import ErasedMeanwhile
from app.db.trainings import ClaimedTraining, LeaseLost, Outcome
from app.db.watermark import Watermark
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training import publication, recipe
from app.training.config import TrainingConfig
from app.training.dataset import Events, Pairs, Positives, event_types_in_words, pairs, positives, read_events
from app.training.history import build_histories
from app.training.lease import LOST
from app.training.order_of_ids import ordered
from app.training.progress import OnProgress, Progress, TrainingStopped
from app.training.recipe import Fit
from app.training.served import served_model
from app.training.trial import Trial, summary, try_policy
from app.training.window import by_number
from model.policy import FittedPolicy, Policy
from model.served import ServedModel

# Fewer than these say nothing about anybody's taste.
FEWEST_INTERACTIONS = 100
# Whoever forces a training answers for its worth; with fewer than these there is nothing to fit.
FEWEST_FORCED = 4
FEWEST_USERS = 2
FEWEST_ITEMS = 2

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """How a training ended, in the words of its row in the store."""

    training_id: int
    status: Outcome
    version: int | None = None
    metrics: Mapping[str, Any] | None = None
    reason: str | None = None
    error: str | None = None
    rows: int | None = None
    watermark: Watermark | None = field(default=None, repr=False)

    @property
    def lost(self) -> bool:
        """Whether the training was no longer ours when it ended: its row belongs to whoever ended it."""
        return self.reason == LOST


def run_training(
    settings: Settings,
    store: Store,
    claim: ClaimedTraining,
    *,
    snapshots: SnapshotStore,
    on_progress: OnProgress,
    should_stop: Callable[[], str | None],
    clock: Clock = now_us,
    fit: Fit = recipe.fit,
) -> TrainingOutcome:
    """Read, choose, judge, refit, save, publish. Whatever goes wrong, the old model serves on and the outcome says why.

    A training that is forced begins with 4 interactions instead of 100; 2 users and 2 items are needed either way.
    A success is written to the training's row together with the version; any other outcome is the caller's to write.

    Args:
        on_progress: see `app.training.progress.OnProgress`; phases are read, choose, judge, refit, save, publish.
        should_stop: why to stop, or None; asked after every batch of a fit, so it must be quick.
        fit: how a factorization is fitted.
    """
    progress = Progress(on_progress, should_stop, settings.training_time_budget_seconds)
    run = _Run(settings, store, claim, snapshots=snapshots, progress=progress, clock=clock, fit=fit)
    try:
        return run.carry_out()
    except TrainingStopped as stopped:
        return run.outcome("failed" if str(stopped) == LOST else "cancelled", reason=str(stopped))
    except LeaseLost as error:
        return run.outcome("failed", reason=LOST, error=str(error))
    except Exception as error:  # a training that fails for any reason must leave a row that says so
        _log.exception("training_failed", training=claim.id)
        return run.outcome("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])


class _Run:
    """The state of one training while it is carried out."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        claim: ClaimedTraining,
        *,
        snapshots: SnapshotStore,
        progress: Progress,
        clock: Clock,
        fit: Fit,
    ) -> None:
        self._settings = settings
        self._store = store
        self._claim = claim
        self._snapshots = snapshots
        self._progress = progress
        self._clock = clock
        self._fit = fit
        self._rows: int | None = None
        self._watermark: Watermark | None = None

    def outcome(
        self,
        status: Outcome,
        *,
        version: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        reason: str | None = None,
        error: str | None = None,
    ) -> TrainingOutcome:
        """An outcome, with what was read so far."""
        return TrainingOutcome(self._claim.id, status, version, metrics, reason, error, self._rows, self._watermark)

    def carry_out(self) -> TrainingOutcome:
        config = TrainingConfig(**self._claim.config)
        self._progress.phase("read")
        # Another store may have been put in the place of the one that was there: its replicas would refuse this model.
        self._store.forget_identity()
        in_order = ordered(self._store, read_events(self._store, check=self._progress.check))
        rows = positives(in_order.events, self._settings.event_weights)
        numbered = pairs(rows)
        self._rows, self._watermark = len(rows), in_order.events.watermark
        if (too_little := _too_little(rows, numbered, forced=self._claim.force)) is not None:
            return self.outcome("skipped", reason=too_little)
        half_life_days = self._settings.half_life_days
        trial = try_policy(
            rows,
            config,
            half_life_us=None if half_life_days is None else half_life_days * DAY_US,
            device=self._settings.device,
            progress=self._progress,
            fit=self._fit,
        )
        told = {"event_types": event_types_in_words(in_order.events, rows, self._settings.event_weights)}
        if self._claim.dry_run:
            metrics = self._metrics(config, trial, rows, numbered) | told
            return self.outcome("succeeded", metrics=metrics, reason="dry run: nothing was published")
        served = in_order.with_store_keys(self._refit(config, trial, rows, numbered, in_order.events))
        return self._publish(config, served, self._metrics(config, trial, rows, numbered) | told, in_order.as_stored())

    def _refit(
        self, config: TrainingConfig, trial: Trial, rows: Positives, numbered: Pairs, events: Events
    ) -> ServedModel:
        """The policy of the trial, fitted on all rows."""
        self._progress.phase("refit")
        fitted = self._fit(
            numbered,
            config,
            epochs=trial.epochs,
            device=self._settings.device,
            seconds=self._progress.fit(trial.epochs),
            on_epoch=self._progress.epoch,
            check=self._progress.check,
        )
        recipe.check_finite(fitted.learnt)
        policy = FittedPolicy(trial.policy, fitted.learnt, by_number(rows, numbered))
        return served_model(
            policy,
            fitted.learnt,
            numbered,
            rows=rows,
            events=events,
            event_weights=self._settings.event_weights,
        )

    def _publish(
        self, config: TrainingConfig, served: ServedModel, metrics: dict[str, Any], events: Events
    ) -> TrainingOutcome:
        self._progress.phase("save")
        self._snapshots.sweep()
        moment = self._clock()
        name = publication.name(moment, self._claim.id)
        without: frozenset[int] = frozenset()
        while True:
            try:
                version = self._save(name, events, moment_us=moment, config=config, served=served, metrics=metrics)
                self._progress.phase("publish")
            except BaseException:
                publication.discard(self._snapshots, name)
                raise
            try:
                number = publication.publish(
                    self._store,
                    self._claim,
                    self._snapshots,
                    version._replace(without_users=without),
                    clock=self._clock,
                    should_stop=self._progress.should_stop,
                )
                break
            except ErasedMeanwhile as erased:
                # Their vectors and names must not go live; what others' items have learnt from them goes with the next
                # training.
                without |= erased.user_keys
                served = served.without_users(without)
                self._progress.phase("save")
        publication.prune(self._store, self._snapshots, before=version.folder, models_kept=self._settings.models_kept)
        return self.outcome("succeeded", version=number, metrics=metrics)

    def _save(
        self,
        name: str,
        events: Events,
        *,
        moment_us: int,
        config: TrainingConfig,
        served: ServedModel,
        metrics: dict[str, Any],
    ) -> publication.Version:
        stamp = {"store_id": self._store.store_id(), "created_at": to_rfc3339(moment_us)}
        told = {"watermark": events.watermark.to_json(), "training_id": self._claim.id}
        # The history comes first: whoever sees the new version finds the names of its items.
        histories = build_histories(self._store, events, check=self._progress.check)
        self._snapshots.save("history", name, histories.arrays(), facts=histories.facts() | told, **stamp)
        told |= {"config": config.model_dump(), "metrics": metrics} | served.facts()
        folder, sha256 = self._snapshots.save("model", name, served.arrays(), facts=told, **stamp)
        return publication.Version(
            folder=folder,
            manifest_sha256=sha256,
            metrics=metrics,
            config=config.model_dump(),
            watermark=events.watermark,
            users=served.num_users,
            items=served.num_items,
            rows=metrics["rows"],
            seed=config.seed,
        )

    def _metrics(self, config: TrainingConfig, trial: Trial, rows: Positives, numbered: Pairs) -> dict[str, Any]:
        """The honest table, and what was learnt from; plain finite numbers and words."""
        told: dict[str, Any] = {
            "policy": _in_words(trial.policy),
            "rows": len(rows),
            "pairs": len(numbered),
            "left_out": dict(rows.left_out),
            "epochs": trial.epochs,
            "seconds": self._progress.so_far(),
        }
        if trial.verdict is not None and trial.cut_at_us is not None:
            told |= summary(trial.verdict, seed=config.seed)
            told |= {"cut_at": to_rfc3339(trial.cut_at_us), "held_out_by": trial.by}
        return told


def _in_words(policy: Policy) -> dict[str, Any]:
    """A policy as plain values, half-lives in days."""

    def days(half_life_us: float | None) -> float | None:
        return None if half_life_us is None else half_life_us / DAY_US

    fold_in, repeats = policy.fold_in, policy.repeats
    return {
        "betas": list(policy.betas),
        "half_life_days": days(policy.half_life),
        "fold_in": {
            "kind": fold_in.kind,
            "shrinkage": fold_in.shrinkage,
            "half_life_days": days(fold_in.half_life),
        },
        "repeats": None if repeats is None else {"weight": repeats.weight, "half_life_days": days(repeats.half_life)},
    }


def _too_little(rows: Positives, numbered: Pairs, *, forced: bool) -> str | None:
    found = {
        "interactions": (len(rows), FEWEST_FORCED if forced else FEWEST_INTERACTIONS),
        "users": (len(numbered.user_keys), FEWEST_USERS),
        "items": (len(numbered.item_keys), FEWEST_ITEMS),
    }
    missing = [f"{count} of the {needed} {noun} needed" for noun, (count, needed) in found.items() if count < needed]
    if not missing:
        return None
    # Whoever sent more than that asks where they went.
    left_out = [f"{count} {reason.replace('_', ' ')}" for reason, count in rows.left_out.items() if count]
    told = f" (left out: {', '.join(left_out)})" if left_out else ""
    return f"too little to learn from: {'; '.join(missing)}{told}"
