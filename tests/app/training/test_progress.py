"""What a training says about itself while it runs."""

from __future__ import annotations

import pytest

from app.training.progress import Progress, TrainingStopped

Said = tuple[str, int, int, float | None]


def test_phases_and_epochs_are_told_as_they_come() -> None:
    said: list[Said] = []
    progress = Progress(lambda phase, epoch, epochs, loss, _eta: said.append((phase, epoch, epochs, loss)))

    progress.phase("choose")
    progress.fit(2)
    progress.epoch(1, 0.5)
    progress.epoch(2, 0.25)
    progress.phase("judge")

    assert said == [("choose", 0, 0, None), ("choose", 1, 2, 0.5), ("choose", 2, 2, 0.25), ("judge", 0, 0, None)]


def test_the_seconds_left_shrink_to_none_with_the_last_epoch() -> None:
    left: list[float] = []
    progress = Progress(lambda *said: left.append(said[4]) if said[4] is not None else None)

    for _ in range(3):
        progress.fit(2)
        progress.epoch(1, 0.5)
        progress.epoch(2, 0.5)

    assert len(left) == 6
    assert left[-1] == 0
    assert all(seconds > 0 for seconds in left[:-1])


def test_fits_share_what_is_left_of_the_budget() -> None:
    progress = Progress(budget_seconds=90)

    assert progress.fit(1) == pytest.approx(30, abs=0.1)
    assert progress.fit(1) == pytest.approx(45, abs=0.1)
    assert progress.fit(1) == pytest.approx(90, abs=0.1)


def test_a_used_up_budget_leaves_no_negative_time() -> None:
    assert Progress(budget_seconds=-5).fit(1) == 0


def test_a_reason_to_stop_is_raised_in_its_words() -> None:
    reasons: list[str | None] = [None, "cancel requested"]
    progress = Progress(should_stop=lambda: reasons.pop(0))

    progress.check()
    with pytest.raises(TrainingStopped, match="cancel requested"):
        progress.phase("judge")


def test_the_seconds_of_all_phases_are_known_at_any_time() -> None:
    progress = Progress()
    progress.phase("read")
    progress.phase("choose")

    spent = progress.so_far()

    assert set(spent) == {"read", "choose", "total"}
    assert all(0 <= seconds < 5 for seconds in spent.values())
