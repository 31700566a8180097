"""The quick way to one interaction gives what the thorough one gives, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import ApiError
from app.interaction_rows import read_rows
from app.quick_rows import quick_row
from app.strict_json import decode_json

NOW_US = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z

IDS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["a", "é", " a", "a ", "a b", 'say "hi"', "\\", "\x7f", "x" * 256, "x" * 257, 7, -0, 10**300, 1.0, True]
    ),
    st.none(),
)
VALUES = st.sampled_from([1, 1.0, 0, -1, 1e6, 1e6 + 1, 5e-324, True, "1", None])
TIMES = st.one_of(
    st.sampled_from([0, 1_700_000_000, 1_700_000_000.25, 1e11, 1e11 + 1, -1, 1_738_411_200, 1_738_411_201]),
    st.sampled_from(["2025-01-31T12:00:00Z", "2025-01-31T12:00:00.123456789+02:00", "2025-02-30T00:00:00Z", "2025"]),
    st.sampled_from([True, None]),
)
TYPES = st.sampled_from(["click", "Click", "", "x" * 64, "x" * 65, None, 1])
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": IDS,
        "item_id": IDS,
        "event_type": TYPES,
        "value": VALUES,
        "timestamp": TIMES,
        "event_id": IDS,
        "recommendation_id": IDS,
        "context": st.sampled_from([None, {}, {"a": 1}, {"a": [1]}]),
        "more": st.just(1),
    },
)


def thoroughly(body: bytes) -> Any:
    """The row, or None where it is refused."""
    try:
        read = read_rows(decode_json(body, keep_repeated=True), now_us=NOW_US)
    except ApiError:
        return None
    return read.rows[0] if len(read.rows) == 1 and not read.rejected else None


@given(ROWS, st.booleans())
def test_a_row_is_the_same_or_left_to_the_thorough_way(row: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    quick = quick_row(body, now_us=NOW_US)
    assert quick is None or quick == thoroughly(body)


@given(st.binary(max_size=60))
@example(b'{"user_id":"a","item_id":"b","user_id":"c"}')
@example(b'{"user_id":"a","item_id":"b","user\\u005fid":"c"}')
@example(b'{"user_id":"a","item_id":"b"} ')
@example(b'{"user_id":"a","item_id":"b"}{}')
@example(b'\xef\xbb\xbf{"user_id":"a","item_id":"b"}')
@example(b'{"user_id":"a","item_id":"\xff"}')
@example(b'{"user_id":"a","item_id":"\\ud800"}')
@example(b'{"user_id":"a","item_id":"b","value":1e999}')
@example(b'[{"user_id":"a","item_id":"b"}]')
def test_other_bodies_too(body: bytes) -> None:
    quick = quick_row(body, now_us=NOW_US)
    assert quick is None or quick == thoroughly(body)


@pytest.mark.parametrize(
    "row",
    [
        {"user_id": "a", "item_id": "b"},
        {"user_id": 1, "item_id": "é", "event_type": "click", "value": 2, "timestamp": 1.5, "event_id": "e"},
        {"user_id": "a", "item_id": "b", "timestamp": "2025-01-31T12:00:00Z", "recommendation_id": None},
    ],
)
def test_usual_rows_go_the_quick_way(row: dict[str, Any]) -> None:
    body = json.dumps(row, ensure_ascii=False).encode()
    assert quick_row(body, now_us=NOW_US) == thoroughly(body) is not None
