"""What a training says while it runs, how long it may take, and how it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

OnProgress = Callable[[str, int, int, float | None, float | None], None]
"""Called with the phase, epoch and epochs of its fit (0 outside one), the loss and the seconds left, if known."""


class TrainingStopped(Exception):
    """The training was told to stop; the message says by whom."""


def no_progress(phase: str, epoch: int, epochs: int, loss: float | None, eta_seconds: float | None) -> None:
    """An `OnProgress` that says nothing."""


@dataclass
class Progress:
    """Reports the phases and epochs of one training and looks for a reason to stop.

    Args:
        on_progress: told at every change.
        should_stop: returns why to stop, or None; called after every batch, so it must be quick.
        budget_seconds: how long the training may take; only its fits shorten themselves to keep it.
        fits: fits still to come, for the estimate of the seconds left.
    """

    on_progress: OnProgress = no_progress
    should_stop: Callable[[], str | None] = lambda: None
    budget_seconds: float = float("inf")
    fits: int = 3
    _seconds: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _phase: str = ""
    _phase_started: float = 0.0
    _epochs: int = 0
    _epochs_done: int = 0
    _fit_started: float = 0.0
    _fit_seconds: float = 0.0

    def check(self) -> None:
        """Raises: TrainingStopped when there is a reason."""
        reason = self.should_stop()
        if reason is not None:
            raise TrainingStopped(reason)

    def phase(self, name: str) -> None:
        """A new phase begins; the one before it ends, and its seconds are noted."""
        self.check()
        now = time.monotonic()
        if self._phase:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._phase_started
        self._phase, self._phase_started = name, now
        self.on_progress(name, 0, 0, None, None)

    def so_far(self) -> dict[str, float]:
        """Seconds of each phase, the current one included, and of them all."""
        spent = dict(self._seconds)
        spent[self._phase] = spent.get(self._phase, 0.0) + time.monotonic() - self._phase_started
        return {**{name: round(seconds, 3) for name, seconds in spent.items()}, "total": round(self.elapsed(), 3)}

    def fit(self, epochs: int) -> float:
        """A fit of that many epochs begins. Returns: the seconds it may take, an equal share of what is left."""
        self._epochs, self._fit_started = epochs, time.monotonic()
        share = (self.budget_seconds - self.elapsed()) / max(self.fits, 1)
        self.fits -= 1
        return max(share, 0.0)

    def epoch(self, epoch: int, loss: float) -> None:
        """An epoch of the current fit ended."""
        self._epochs_done += 1
        now = time.monotonic()
        self._fit_seconds, self._fit_started = self._fit_seconds + now - self._fit_started, now
        left = self._epochs - epoch + max(self.fits, 0) * self._epochs
        self.on_progress(self._phase, epoch, self._epochs, loss, left * self._fit_seconds / self._epochs_done)

    def elapsed(self) -> float:
        """Seconds since the training began."""
        return time.monotonic() - self._started
