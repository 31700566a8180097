"""How many requests a second one caller may make: a bucket of tokens each, in the memory of this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from app.errors import ApiError

# Callers remembered at once; whoever was heard of longest ago is forgotten first, and starts with a full bucket again.
MOST_CALLERS = 10_000


class RateLimiter:
    """Lets each caller make `per_second` requests a second, and a second's worth (at least one) at once.

    For one event loop: it takes no lock.

    Args:
        per_second: requests a second of one caller; None for no limit.
        clock: seconds that only grow.
    """

    def __init__(self, per_second: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        # Caller -> tokens left and when that was; the one heard of last stands at the end.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, caller: str) -> None:
        """Count a request. Raises: ApiError 429 with Retry-After."""
        rate = self._per_second
        if rate is None:
            return
        now = self._clock()
        most = max(rate, 1.0)
        tokens, at = self._buckets.get(caller, (most, now))
        tokens = min(most, tokens + (now - at) * rate)
        if tokens < 1.0:
            wait = math.ceil((1.0 - tokens) / rate)
            raise ApiError(
                429,
                "too_many_requests",
                f"over {rate:g} requests a second; try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )
        self._buckets[caller] = (tokens - 1.0, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
