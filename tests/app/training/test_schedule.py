"""When a training starts by itself."""

from __future__ import annotations

from typing import Any

import pytest

from app.clock import MICROSECONDS
from app.db.trainings import LEASE_EXPIRED, TrainingRow
from app.db.watermark import Watermark
from app.settings import Settings
from app.training.lease import STOPPED
from app.training.schedule import due

HOUR_US = 3600 * MICROSECONDS
ENDED_US = 1_700_000_000 * MICROSECONDS


def ended(status: str = "succeeded", *, seconds: float = 20, **changed: Any) -> TrainingRow:
    row: dict[str, Any] = dict.fromkeys(TrainingRow.__dataclass_fields__)
    row |= {"id": 1, "status": status, "trigger": "rows", "config": {}, "rows": 10_000}
    row |= {"watermark": Watermark(10_000, 0, None), "created_us": ENDED_US}
    row |= {"started_us": ENDED_US - round(seconds * MICROSECONDS), "finished_us": ENDED_US, "heartbeat_us": ENDED_US}
    return TrainingRow(**{**row, **changed})


def asked(settings: Settings, last: TrainingRow | None, *, rows: int, seconds_later: float = 0) -> str | None:
    return due(settings, last, new_rows=lambda: rows, now_us=ENDED_US + round(seconds_later * MICROSECONDS))


@pytest.mark.parametrize(("rows", "trigger"), [(199, None), (200, "rows")])
def test_the_first_training_starts_at_200_rows(settings: Settings, rows: int, trigger: str | None) -> None:
    assert asked(settings, None, rows=rows) == trigger


@pytest.mark.parametrize(("rows", "trigger"), [(999, None), (1000, "rows")])
def test_a_later_one_starts_when_enough_rows_came(settings: Settings, rows: int, trigger: str | None) -> None:
    assert asked(settings, ended(), rows=rows, seconds_later=300) == trigger


@pytest.mark.parametrize(("rows", "trigger"), [(19_999, None), (20_000, "rows")])
def test_of_many_rows_two_percent_must_be_new(settings: Settings, rows: int, trigger: str | None) -> None:
    assert asked(settings, ended(rows=1_000_000), rows=rows, seconds_later=300) == trigger


@pytest.mark.parametrize(
    ("status", "seconds_later", "trigger"),
    [("succeeded", 199, None), ("succeeded", 200, "lost"), ("skipped", 200, None), ("failed", 200, None)],
)
def test_a_lost_model_is_made_again_after_the_rest_unless_the_last_training_made_none(
    settings: Settings, status: str, seconds_later: float, trigger: str | None
) -> None:
    now_us = ENDED_US + round(seconds_later * MICROSECONDS)
    assert due(settings, ended(status), new_rows=lambda: 0, now_us=now_us, model_lost=True) == trigger


@pytest.mark.parametrize(("seconds_later", "trigger"), [(199, None), (200, "rows")])
def test_it_rests_ten_times_as_long_as_the_last_one_took(
    settings: Settings, seconds_later: float, trigger: str | None
) -> None:
    assert asked(settings, ended(seconds=20), rows=10**6, seconds_later=seconds_later) == trigger


@pytest.mark.parametrize(("rows", "trigger"), [(0, None), (1, "interval")])
def test_after_the_interval_one_new_row_is_enough_and_none_is_not(
    settings: Settings, rows: int, trigger: str | None
) -> None:
    assert asked(settings, ended(), rows=rows, seconds_later=3600) == trigger


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_or_cancelled_one_is_tried_again_after_the_interval_even_without_new_rows(
    settings: Settings, status: str
) -> None:
    assert asked(settings, ended(status), rows=10**6, seconds_later=3500) is None
    assert asked(settings, ended(status), rows=0, seconds_later=3600) == "retry"


def test_one_that_the_end_of_the_trainer_cut_short_is_made_up_for_at_once(settings: Settings) -> None:
    assert asked(settings, ended("cancelled", reason=STOPPED), rows=0) == "retry"
    assert asked(settings, ended("cancelled", reason=STOPPED, trigger="cli"), rows=0) is None


def test_a_crashed_one_rests_by_its_last_sign_of_life_not_by_when_it_was_found_out(settings: Settings) -> None:
    crashed = ended("failed", seconds=24 * 3600, heartbeat_us=ENDED_US - 24 * HOUR_US + 30 * MICROSECONDS)
    found_out = ended("failed", reason=LEASE_EXPIRED, started_us=crashed.started_us, heartbeat_us=crashed.heartbeat_us)

    assert asked(settings, found_out, rows=0, seconds_later=299) is None
    assert asked(settings, found_out, rows=0, seconds_later=300) == "retry"


def test_rows_are_counted_only_where_the_answer_matters(settings: Settings) -> None:
    def never() -> int:
        raise AssertionError("a count of the whole log for nothing")

    assert due(settings, ended(), new_rows=never, now_us=ENDED_US + 1) is None
    assert due(settings, ended("failed"), new_rows=never, now_us=ENDED_US + HOUR_US) == "retry"


@pytest.mark.parametrize(
    ("read", "came", "trigger"), [(80, 119, None), (80, 120, "rows"), (0, 199, None), (0, 200, "rows")]
)
def test_after_one_skipped_for_want_of_rows_the_first_training_still_starts_at_200(
    settings: Settings, read: int, came: int, trigger: str | None
) -> None:
    assert asked(settings, ended("skipped", rows=read, seconds=0), rows=came) == trigger


def test_after_the_clock_was_put_back_nothing_waits_for_the_end_of_the_last_one_to_come_again(
    settings: Settings,
) -> None:
    assert asked(settings, ended(), rows=1, seconds_later=-24 * 3600) == "interval"
    assert asked(settings, ended("failed"), rows=0, seconds_later=-24 * 3600) == "retry"
