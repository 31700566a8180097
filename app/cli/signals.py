"""How a command ends that is told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGTERM, signal.SIGINT)


def end_in_order_on_signals() -> None:
    """From here on SIGTERM and Ctrl-C end the process with exit code 0, whatever it waits for.

    For the time before there is anything to stop in order; whoever starts such a thing takes the signals over.
    """
    for number in ENDING:
        signal.signal(number, _end)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Within the block the first SIGTERM or Ctrl-C sets the event, so that a command ends in order; the second one ends
    the process.
    """
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in ENDING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
