"""`likewise trainer`: trains when there is something to learn, until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated

import typer

from app.cli.needs import check_device, check_model_dir, make_model_dir
from app.cli.signals import ENDING
from app.cli.stores import read_settings, when_ready


def trainer(
    parent_pipe: Annotated[
        int | None, typer.Option(hidden=True, help="A file descriptor; its end of file means that the parent is gone.")
    ] = None,
) -> None:
    """Run the background trainer.

    Trains on enough new interactions, on an interval and on request; one that fails leaves the old version live.
    Ends on SIGTERM or Ctrl-C.
    """
    settings = read_settings(service=True)
    stop = threading.Event()
    for number in ENDING:
        signal.signal(number, lambda *_: stop.set())
    if parent_pipe is not None:
        threading.Thread(target=_stop_at_end_of, args=(parent_pipe, stop), name="parent-pipe", daemon=True).start()
    check_model_dir(settings, written=True)
    check_device(settings)
    if when_ready(settings, lambda store: store.store_id(), stop=stop) is None:
        return
    make_model_dir(settings)
    from app.training.loop import run_trainer

    run_trainer(settings, stop)


def _stop_at_end_of(pipe: int, stop: threading.Event) -> None:
    """Wait until nobody holds the other end of the pipe: also a parent that was killed lets go of it."""
    try:
        while os.read(pipe, 1024):
            pass
    finally:
        stop.set()
