from __future__ import annotations

import time

import pytest

from app.clock import now_us, to_rfc3339


def test_now_is_in_microseconds() -> None:
    assert abs(now_us() / 1e6 - time.time()) < 5


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_738_324_800_000_000, "2025-01-31T12:00:00Z"),
        (1_738_324_800_000_001, "2025-01-31T12:00:00.000001Z"),
        (1_738_324_800_500_000, "2025-01-31T12:00:00.500000Z"),
    ],
)
def test_times_leave_as_rfc3339_with_a_fraction_only_where_there_is_one(us: int, text: str) -> None:
    assert to_rfc3339(us) == text
