"""RateLimiter: a second's worth at once, then one by one."""

from __future__ import annotations

import pytest

from app.errors import ApiError
from app.rate_limit import MOST_CALLERS, RateLimiter


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def admitted(limiter: RateLimiter, caller: str, tries: int) -> int:
    """How many of so many requests get through."""
    through = 0
    for _ in range(tries):
        try:
            limiter.admit(caller)
        except ApiError:
            continue
        through += 1
    return through


def test_a_seconds_worth_at_once_and_no_more_than_the_rate_after_it() -> None:
    clock = Clock()
    limiter = RateLimiter(5.0, clock=clock)
    assert admitted(limiter, "a", 20) == 5
    clock.now += 0.4
    assert admitted(limiter, "a", 20) == 2
    clock.now += 3600
    assert admitted(limiter, "a", 20) == 5


def test_callers_do_not_count_for_each_other() -> None:
    limiter = RateLimiter(1.0, clock=Clock())
    assert [admitted(limiter, caller, 2) for caller in ("a", "b")] == [1, 1]


@pytest.mark.parametrize(("rate", "wait"), [(0.1, "10"), (2.0, "1")])
def test_the_refusal_says_when_to_come_back(rate: float, wait: str) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, clock=clock)
    admitted(limiter, "a", 5)
    with pytest.raises(ApiError) as refused:
        limiter.admit("a")
    assert (refused.value.status, refused.value.code) == (429, "too_many_requests")
    assert refused.value.headers == {"Retry-After": wait}
    clock.now += float(wait)
    limiter.admit("a")


def test_without_a_rate_everybody_gets_through() -> None:
    assert admitted(RateLimiter(None), "a", 1000) == 1000


def test_the_callers_remembered_are_bounded_and_the_latest_stay() -> None:
    limiter = RateLimiter(1.0, clock=Clock())
    for number in range(MOST_CALLERS + 1):
        limiter.admit(str(number))
    assert admitted(limiter, str(MOST_CALLERS), 1) == 0
    assert admitted(limiter, "0", 1) == 1
