"""When the next training is due by itself."""

from __future__ import annotations

from collections.abc import Callable

from app.clock import MICROSECONDS
from app.db.trainings import LEASE_EXPIRED, TrainingRow
from app.settings import Settings
from app.training.lease import STOPPED

FIRST_TRAINING_ROWS = 200
SHARE_OF_ROWS = 0.02
REST_FACTOR = 10


def due(
    settings: Settings, last: TrainingRow | None, *, new_rows: Callable[[], int], now_us: int, model_lost: bool = False
) -> str | None:
    """Why a training is due by itself: `rows`, `interval`, `retry`, `lost`, or None.

    The first one at 200 rows, also when one was skipped before for want of rows. Later ones when enough rows came since
    the last one read (the greater of the setting and 2 % of what it read), or when the interval is over and anything
    came; never before ten times the length of the last one has passed since it ended. One that the trainer's end cut
    short is made up for at once, one that crashed after that rest, and one that failed or was cancelled by somebody
    after the interval. Where the model in use is lost, the rest is all that is waited for. After a training that ended
    in the future there is no rest, and the interval is over.

    Args:
        last: the training that ended last, of those that began and were to publish.
        new_rows: counts the rows that it had not read; asked only where the answer matters.
        model_lost: whether the snapshot of the version in use is not there any more.
    """
    if last is None or last.finished_us is None:
        return "rows" if new_rows() >= FIRST_TRAINING_ROWS else None
    if last.status == "cancelled" and last.reason == STOPPED and last.trigger != "cli":
        return "retry"
    started_us = last.finished_us if last.started_us is None else last.started_us
    # A crashed training ended with its last heartbeat, whenever that was found out.
    length_us = max((last.heartbeat_us or last.finished_us) - started_us, 0)
    # Its end lies ahead where the clock was put back: how long ago that was cannot be told, so nothing waits for it.
    put_back = last.finished_us > now_us
    if not put_back and now_us - last.finished_us < REST_FACTOR * length_us:
        return None
    interval_over = put_back or now_us - started_us >= settings.training_interval_seconds * MICROSECONDS
    if last.status in {"failed", "cancelled"}:
        return "retry" if interval_over or last.reason == LEASE_EXPIRED else None
    if model_lost and last.status == "succeeded":
        return "lost"
    return _due_by_rows(settings, last, new_rows(), interval_over=interval_over)


def _due_by_rows(settings: Settings, last: TrainingRow, came: int, *, interval_over: bool) -> str | None:
    read = last.rows or 0
    if last.status == "skipped":
        enough: float = max(FIRST_TRAINING_ROWS - read, FIRST_TRAINING_ROWS // 2)
    else:
        enough = max(settings.training_min_new_interactions, SHARE_OF_ROWS * read)
    if came >= enough:
        return "rows"
    return "interval" if interval_over and came else None
