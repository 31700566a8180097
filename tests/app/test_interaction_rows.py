from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ApiError
from app.interaction_rows import ReadRows, read_rows

NOW_US = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z
ROW: dict[str, Any] = {"user_id": "a", "item_id": "b"}


def read(body: object) -> ReadRows:
    return read_rows(body, now_us=NOW_US)


def codes(**fields: object) -> list[tuple[str, str]]:
    rejected = read([ROW, ROW | fields]).rejected
    return [(error.pointer, error.code) for errors in rejected for error in errors]


def occurred_us(timestamp: object) -> int:
    (row,) = read(ROW | {"timestamp": timestamp}).rows
    return row.occurred_us


@pytest.mark.parametrize("value", [5e-324, 1e-9, 1, 1.0, 999_999.5, 1_000_000, 1e6])
def test_a_value_is_a_number_over_0_and_at_most_a_million(value: float) -> None:
    (row,) = read(ROW | {"value": value}).rows
    assert row.value == value
    assert type(row.value) is float


@pytest.mark.parametrize(
    "value", [0, 0.0, -0.0, -1, 1_000_001, 1e308, 10**400, float("nan"), float("inf"), float("-inf")]
)
def test_a_value_out_of_range_is_refused_where_it_stands(value: float) -> None:
    assert codes(value=value) == [("/1/value", "value_range")]


@pytest.mark.parametrize("value", ["1", True, None, [1], {}])
def test_a_value_that_is_no_number_is_refused(value: object) -> None:
    assert codes(value=value) == [("/1/value", "value_type")]


@pytest.mark.parametrize("event_type", ["click", "a", "a.b-c_9", "x" * 64])
def test_event_types_of_the_small_alphabet_are_taken(event_type: str) -> None:
    assert read(ROW | {"event_type": event_type}).rows[0].event_type == event_type


@pytest.mark.parametrize("event_type", ["", "Click", "a b", "x" * 65, "click\n", "é", 1, None])
def test_other_event_types_are_refused(event_type: object) -> None:
    assert codes(event_type=event_type) == [("/1/event_type", "event_type")]


@pytest.mark.parametrize(
    ("timestamp", "us"),
    [
        ("2025-01-31T12:00:00Z", NOW_US),
        ("2025-01-31t12:00:00z", NOW_US),
        ("2025-01-31 12:00:00Z", NOW_US),
        ("2025-01-31T13:30:00+01:30", NOW_US),
        ("2025-01-31T02:00:00-10:00", NOW_US),
        ("2025-01-31T12:00:00.1234567Z", NOW_US + 123_456),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1998-12-31T23:59:60Z", 915_148_800_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        (0, 0),
        (1_738_324_800, NOW_US),
        (1_738_324_800.25, NOW_US + 250_000),
        ("2025-02-01T12:00:00Z", NOW_US + 86_400_000_000),
    ],
)
def test_timestamps_are_rfc3339_or_seconds(timestamp: object, us: int) -> None:
    assert occurred_us(timestamp) == us


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2025, 1, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_timestamps_agree_with_the_standard_library(naive: datetime, offset_minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert occurred_us(moment.isoformat()) == (moment - epoch) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("timestamp", "code"),
    [
        ("2025-01-31T12:00:00", "timestamp_offset"),
        ("2025-01-31", "timestamp_format"),
        ("0000-01-01T00:00:00Z", "timestamp_format"),
        ("10000-01-01T00:00:00Z", "timestamp_format"),
        ("2025-02-30T00:00:00Z", "timestamp_format"),
        ("2025-01-31T24:00:00Z", "timestamp_format"),
        ("2025-01-31T12:60:00Z", "timestamp_format"),
        ("2025-01-31T12:00:61Z", "timestamp_format"),
        ("2025-01-31T12:00:00+24:00", "timestamp_format"),
        ("2025-01-31T12:00:00+0100", "timestamp_format"),
        ("٢٠٢٥-01-31T12:00:00Z", "timestamp_format"),
        ("1738324800", "timestamp_format"),
        ("yesterday", "timestamp_format"),
        ("", "timestamp_format"),
        ("0001-01-01T00:00:00+23:59", "timestamp_past"),
        ("1969-12-31T23:59:59Z", "timestamp_past"),
        (-1, "timestamp_past"),
        (float("-inf"), "timestamp_past"),
        ("9999-12-31T23:59:59-23:59", "timestamp_future"),
        ("2025-02-01T12:00:00.000001Z", "timestamp_future"),
        (1e11, "timestamp_future"),
        (1_738_324_800_000, "timestamp_range"),
        (float("inf"), "timestamp_range"),
        (10**400, "timestamp_range"),
        (float("nan"), "timestamp_format"),
        (True, "timestamp_type"),
        (None, "timestamp_type"),
        ([], "timestamp_type"),
    ],
)
def test_other_timestamps_are_refused_with_the_reason(timestamp: object, code: str) -> None:
    assert codes(timestamp=timestamp) == [("/1/timestamp", code)]


def test_milliseconds_are_called_by_their_name() -> None:
    (errors,) = read(ROW | {"timestamp": 1_738_324_800_000}).rejected
    assert "milliseconds" in errors[0].detail


@pytest.mark.parametrize("field", ["user_id", "item_id", "event_id", "recommendation_id"])
@pytest.mark.parametrize("value", ["", " a", "a\x00", "x" * 257, chr(0xD800), "\ufffd", True, 1.5, []])
def test_the_id_rules_hold_for_every_id(field: str, value: object) -> None:
    ((pointer, code),) = codes(**{field: value})
    assert pointer == f"/1/{field}"
    assert code.startswith("id_")


@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_who_and_what_are_needed(field: str) -> None:
    row = {name: value for name, value in ROW.items() if name != field}
    (errors,) = read(row).rejected
    assert [(error.pointer, error.code) for error in errors] == [(f"/{field}", "missing")]


@pytest.mark.parametrize("field", ["event_id", "recommendation_id", "context"])
def test_what_may_be_absent_may_be_null(field: str) -> None:
    assert getattr(read(ROW | {field: None}).rows[0], field) is None


def test_a_context_is_kept_as_compact_json_in_its_order() -> None:
    (row,) = read(ROW | {"context": {"b": 1.5, "a": "é", "c": None}}).rows
    assert row.context == '{"b":1.5,"a":"é","c":null}'


def test_a_context_takes_two_kibibytes_and_not_a_byte_more() -> None:
    assert len(read(ROW | {"context": {"k": "x" * 2040}}).rows) == 1
    assert codes(context={"k": "x" * 2041}) == [("/1/context", "context_too_large")]
    assert codes(context={"k": "é" * 1021}) == [("/1/context", "context_too_large")]


@pytest.mark.parametrize(
    ("context", "code"),
    [
        ([], "context_type"),
        ("text", "context_type"),
        ({"a": {}}, "context_nested"),
        ({"a": [1]}, "context_nested"),
        ({"a": float("nan")}, "context_value"),
        ({"a": float("inf")}, "context_value"),
        ({"a": "\ud800"}, "context_value"),
        ({"\udfff": 1}, "context_value"),
    ],
)
def test_other_contexts_are_refused(context: object, code: str) -> None:
    assert codes(context=context) == [("/1/context", code)]


def test_unknown_fields_are_refused_by_name() -> None:
    assert codes(**{"colour/x~": 1}) == [("/1/colour~1x~0", "extra_forbidden")]


def test_a_row_with_very_many_names_gets_one_error() -> None:
    assert codes(**{f"f{number}": 1 for number in range(100_000)}) == [("/1", "too_many_fields")]


@pytest.mark.parametrize("row", [None, 1, "x", [], True])
def test_a_row_that_is_no_object_is_refused_where_it_stands(row: object) -> None:
    (errors,) = read([ROW, row]).rejected
    assert [(error.pointer, error.code) for error in errors] == [("/1", "row_type")]


@pytest.mark.parametrize(
    ("body", "code"),
    [([], "row_count"), ([ROW] * 1001, "row_count"), (None, "body_type"), ("x", "body_type"), (1, "body_type")],
)
def test_a_body_that_is_no_upload_is_refused_as_a_whole(body: object, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(body)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("", code)]
