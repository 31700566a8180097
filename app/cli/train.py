"""`likewise train`: one training now, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.exits import CommandFailed
from app.cli.needs import check_device, check_model_dir, make_model_dir
from app.cli.output import JsonOption, console, counted, print_json, say, table
from app.cli.signals import told_to_stop
from app.cli.stores import opened_store, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings
    from app.training.run import TrainingOutcome

_POLICIES = {
    "policy": "served policy",
    "popular_recent": "popular lately",
    "popular_all_time": "popular of all time",
}


def train(as_json: JsonOption = False) -> None:
    """Train one model now and put it live; shows how it did on later interactions, beside plain popularity."""
    settings = read_settings()
    outcome = train_with_bars(settings)
    if as_json:
        print_json(
            {
                "training_id": outcome.training_id,
                "status": outcome.status,
                "model_version": outcome.version,
                "metrics": outcome.metrics,
                "reason": outcome.reason,
                "error": outcome.error,
            }
        )
    if outcome.status in ("failed", "cancelled"):
        raise CommandFailed(summary_of(outcome))
    if not as_json:
        say(summary_of(outcome))
    if not as_json and outcome.version is not None:
        print_metrics(outcome.metrics)


def train_with_bars(settings: Settings) -> TrainingOutcome:
    """Carry out a training with progress on stderr.

    Raises: CommandFailed if one is queued or running already; ConfigurationError for a model folder or a device that
        cannot be used, and what `opened_store` raises.
    """
    from app.cli.progress import training_bars
    from app.db.trainings import TrainingActive

    check_model_dir(settings, written=True)
    check_device(settings)
    with opened_store(settings):
        pass  # migrated, and a clear line where that must be done by hand
    make_model_dir(settings)
    from app.training.loop import train_now

    try:
        with told_to_stop() as stop, training_bars() as bars:
            return train_now(settings, on_progress=bars, stop=stop)
    except TrainingActive as error:
        raise CommandFailed(f"{error}; wait for it, or cancel it") from error


def summary_of(outcome: TrainingOutcome) -> str:
    """One sentence: what came of the training."""
    if outcome.status == "succeeded":
        return f"Model version {outcome.version} is live."
    how = "failed" if outcome.status == "failed" else f"was {outcome.status}"
    return f"Training {outcome.training_id} {how}: {outcome.error or outcome.reason}"


def print_metrics(metrics: Mapping[str, Any] | None) -> None:
    """The honest table of a training's metrics; says why where there is none."""
    if not metrics or "ndcg@20" not in metrics:
        say("There is too little data to judge the policy on interactions it has not seen.")
        return
    gains = metrics.get("gain_over", {})
    rows = []
    for name, label in _POLICIES.items():
        gain = gains.get(name)
        shown = f"{gain['mean']:+.4f}  [{gain['low']:+.4f}, {gain['high']:+.4f}]" if gain else ""
        rows.append([label, f"{metrics['ndcg@20'][name]:.4f}", shown])
    how = "later than" if metrics.get("held_out_by") == "time" else "held out at random, cut at"
    say(
        f"Interactions of {counted(metrics['users'], 'user')} {how} {metrics['cut_at']}, none of them seen in training:"
    )
    columns = ["list", "NDCG@20", "the policy's gain over it (95 %)"]
    console().print(table(columns, rows, right=["NDCG@20"]))
