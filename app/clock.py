"""Time inside the service: whole microseconds since the epoch, UTC. Text and aware datetimes only at the edges."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS

Clock = Callable[[], int]
"""Returns the present moment in microseconds since the epoch; passed as an argument wherever the time matters."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """The present moment in microseconds since the epoch."""
    return time.time_ns() // 1_000


def to_rfc3339(us: int) -> str:
    """Microseconds since the epoch as RFC 3339 in UTC with `Z`; the fraction only where there is one.

    Raises: OverflowError outside the years 1 to 9999.
    """
    second, fraction = divmod(us, MICROSECONDS)
    text = _to_the_second(second)
    return f"{text}.{fraction:06d}Z" if fraction else f"{text}Z"


@lru_cache(maxsize=64)
def _to_the_second(second: int) -> str:
    """Kept: what is told of now is of the same second over and over."""
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat(timespec="seconds")
