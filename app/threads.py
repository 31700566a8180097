"""Threads that give way to those that answer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.0002
# Of the processor's time, where all of it is wanted, such a thread gets about a tenth.
_NICE = 10


def give_way() -> None:
    """Let this thread run after the process's others where they compete; on Linux, elsewhere nothing happens.

    Reading and checking a new version takes some ten milliseconds of a processor; on a machine with one, each request
    that came meanwhile waited for as long.
    """
    with suppress(AttributeError, OSError):
        # Linux takes the number of a thread for that of a process.
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def giving_way(call: Callable[[], T]) -> T:
    """What a call returns that runs in a thread of its own which gives way. Raises: what it raises.

    A thread's priority cannot be raised again, and the caller has other work that must not wait.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="giving-way", initializer=give_way) as pool:
        return pool.submit(call).result()


def pause() -> None:
    """Let others run for a moment, in the middle of long work: the system alone lets a thread run for milliseconds."""
    time.sleep(_PAUSE_SECONDS)
