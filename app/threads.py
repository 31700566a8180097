"""Threads that give way to those that answer."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

_PAUSE_SECONDS = 0.0002
# Of the processor's time, where all of it is wanted, such a thread gets about a tenth.
_NICE = int(os.environ.get("XNICE", "10"))


def give_way() -> None:
    """Let this thread run after the process's others where they compete; on Linux, elsewhere nothing happens.

    Reading and checking a new version takes some ten milliseconds of a processor; on a machine with one, each request
    that came meanwhile waited for as long.
    """
    with suppress(AttributeError, OSError):
        # Linux takes the number of a thread for that of a process.
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def pause() -> None:
    """Let others run for a moment, in the middle of long work: the system alone lets a thread run for milliseconds."""
    time.sleep(_PAUSE_SECONDS)
