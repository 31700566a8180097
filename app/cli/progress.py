"""Progress on stderr: bars where a terminal is watching, a line per step where the output goes to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from app.cli.output import console, counted

_PHASES = {
    "read": "Reading interactions",
    "choose": "Choosing the policy",
    "judge": "Judging it on later ones",
    "refit": "Fitting on all of them",
    "save": "Writing the model",
    "publish": "Putting it live",
}


class TrainingBars:
    """One bar per phase of a training; usable as the `on_progress` of `app.training`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._phase = ""

    def __call__(self, phase: str, epoch: int, epochs: int, loss: float | None, eta_seconds: float | None) -> None:
        if phase != self._phase:
            self.finish()
            self._phase = phase
            self._task = self._progress.add_task(_PHASES.get(phase, phase), total=None, note="")
        if self._task is not None and epochs:
            note = "" if loss is None else f"loss {loss:.4f}"
            if eta_seconds is not None and epoch < epochs:
                note += f", about {eta_seconds:.0f} s left"
            self._progress.update(self._task, completed=epoch, total=epochs, note=note)

    def finish(self) -> None:
        """The current phase is over."""
        if self._task is not None:
            task = self._progress.tasks[-1]
            total = task.total or 1
            self._progress.update(self._task, completed=total, total=total)
            self._progress.stop_task(self._task)
            self._task = None
            if self._progress.disable:
                self._progress.console.print(f"{task.description} ... {task.elapsed or 0:.1f} s")


@contextmanager
def training_bars() -> Iterator[TrainingBars]:
    """Bars for one training."""
    target = console(stderr=True)
    with Progress(
        TextColumn("{task.description:26}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=target,
        disable=not target.is_terminal,
    ) as progress:
        bars = TrainingBars(progress)
        yield bars
        bars.finish()


class LoadingBars:
    """A bar per phase of an import, with rows a second; usable as the `on_progress` of `app.importing`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, phase: str, done: int, size: int, rows: int) -> None:
        if phase not in self._tasks:
            task = self._progress.add_task(phase.capitalize(), total=size or 1, note="")
            self._tasks[phase] = (task, self._progress.get_time())
        task, started = self._tasks[phase]
        seconds = max(self._progress.get_time() - started, 1e-3)
        note = f"{counted(rows, 'row')}, {rows / seconds:,.0f} rows/s"
        self._progress.update(task, completed=done if size else 1, note=note)


@contextmanager
def loading_bars() -> Iterator[LoadingBars]:
    """Bars for one file."""
    with Progress(
        TextColumn("{task.description:26}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console(stderr=True),
    ) as progress:
        yield LoadingBars(progress)


@contextmanager
def counting_bar(label: str, *, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """One bar for a count that is known beforehand; call it with how many are done."""
    with Progress(
        TextColumn("{task.description:26}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console(stderr=True),
    ) as progress:
        task = progress.add_task(label, total=total, note="")
        started = progress.get_time()

        def done(count: int) -> None:
            rate = count / max(progress.get_time() - started, 1e-3)
            progress.update(task, completed=count, note=f"{count:,} {unit}, {rate:,.0f} {unit}/s")

        yield done
