from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import interactions, items
from app.db.engine import Store
from app.db.items import NewItem
from app.db.new_interactions import NewInteractions
from app.importing import many_rows
from app.importing.files import RecordFile
from app.importing.items import item
from app.importing.kinds import INTERACTIONS, ITEMS
from app.importing.load import ImportReport, load
from app.importing.parquet import ROWS_AT_ONCE, ParquetRecords
from app.importing.presets import PRESETS
from app.importing.records import OWN, BadFile, BadLine, Many, Preset, Record
from app.importing.rows import interaction
from app.interaction_rows import MAX_CONTEXT_BYTES

NOW_US = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z
NOW = datetime(2025, 1, 31, 12, tzinfo=UTC)
Ask = Callable[[Many], NewInteractions | None]
Row = tuple[object, ...]


def at_once(rows: Many) -> NewInteractions | None:
    return many_rows.interactions(rows, now_us=NOW_US)


def one_by_one(_: Many) -> None:
    return None


def written(folder: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(dict(columns)), path, **options)
    return path


def opened(path: Path, preset: Preset = OWN) -> ParquetRecords:
    return ParquetRecords(path, columns=INTERACTIONS.columns, required=INTERACTIONS.required, preset=preset)


def read(path: Path, many: Ask = at_once, preset: Preset = OWN) -> list[Row | BadLine]:
    """The rows as tuples, and what is wrong with the others."""
    found: list[Row | BadLine] = []
    with opened(path, preset) as source:
        for part in source.parts(many):
            if isinstance(part, Record | BadLine):
                row = interaction(part, now_us=NOW_US)
                found += [row] if isinstance(row, BadLine) else list(map(shown, [row]))
            else:
                found += map(shown, part)
    return found


def shown(row: Any) -> Row:
    fields = (row.user_id, row.item_id, row.event_type, row.value, row.occurred_us)
    return (*fields, row.event_id, row.recommendation_id, row.context)


def users_of(found: list[Row | BadLine]) -> list[object]:
    return [row[0] if isinstance(row, tuple) else row.code for row in found]


def pair(**columns: Any) -> dict[str, Any]:
    """Columns with a user and an item in each row besides."""
    rows = len(next(iter(columns.values())))
    return {"user_id": [f"u{n}" for n in range(rows)], "item_id": ["film"] * rows, **columns}


EVERY = {
    "user_id": ["ann", "bob"],
    "item_id": ["a b", "é"],
    "event_type": ["purchase", None],
    "value": [2.5, None],
    "timestamp": pa.array([1_600_000_000_000_001, None], pa.timestamp("us", tz="UTC")),
    "event_id": ["e1", None],
    "recommendation_id": [None, "r1"],
    "context": [None, '{"page": 3}'],
}
EVERY_ROW: list[Row] = [
    ("ann", "a b", "purchase", 2.5, 1_600_000_000_000_001, "e1", None, None),
    ("bob", "é", "interaction", 1.0, NOW_US, None, "r1", '{"page":3}'),
]


@pytest.mark.parametrize("many", [at_once, one_by_one])
def test_all_columns_are_read(tmp_path: Path, many: Ask) -> None:
    assert read(written(tmp_path, EVERY), many) == EVERY_ROW


def test_all_columns_are_stored(store: Store, tmp_path: Path) -> None:
    with opened(written(tmp_path, EVERY)) as source:
        spool = tmp_path / "spool"
        report = load(source, store, INTERACTIONS, on_error="abort", spool_folder=spool, clock=lambda: NOW_US)
        assert source.position == source.size == 2
    assert report == ImportReport(accepted=2)
    with store.read() as connection:
        rows = interactions.page(connection, limit=9)
    names = ("user_id", "item_id", "event_type", "value", "occurred_us", "event_id", "recommendation_id", "context")
    assert [tuple(row[name] for name in names) for row in reversed(rows)] == EVERY_ROW


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["7", "é"], pa.string()),
        pa.array(["7", "é"], pa.large_string()),
        pa.array(["7", "é"], pa.string_view()),
        pa.array(["7", "é"]).dictionary_encode(),
        pa.chunked_array([["7"], ["é"]]),
    ],
    ids=["string", "large_string", "string_view", "dictionary", "chunks"],
)
def test_ids_are_texts_of_any_kind(tmp_path: Path, ids: pa.Array) -> None:
    columns = {"user_id": ids, "item_id": ids, "event_id": ids}
    expected = [(one, one, "interaction", 1.0, NOW_US, one, None, None) for one in ("7", "é")]
    assert read(written(tmp_path, columns), lambda rows: at_once(rows) or pytest.fail("slow")) == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()])
def test_ids_can_be_integers(tmp_path: Path, kind: pa.DataType) -> None:
    ids = pa.array([0, 127], kind)
    found = read(written(tmp_path, {"user_id": ids, "item_id": ids}), lambda rows: at_once(rows) or pytest.fail("slow"))
    assert [row[:2] for row in found if isinstance(row, tuple)] == [("0", "0"), ("127", "127")]


@pytest.mark.parametrize("many", [at_once, one_by_one])
@pytest.mark.parametrize("largest", [2**64 - 1, 2**63])
def test_the_largest_integers_keep_all_their_digits(tmp_path: Path, many: Ask, largest: int) -> None:
    path = written(tmp_path, {"user_id": pa.array([largest], pa.uint64()), "item_id": [1]})
    assert users_of(read(path, many)) == [str(largest)]


@pytest.mark.parametrize("many", [at_once, one_by_one])
@pytest.mark.parametrize(
    ("times", "us"),
    [
        (pa.array([1_600_000_000_001], pa.timestamp("ms", tz="UTC")), 1_600_000_000_001_000),
        (pa.array([1_600_000_000_000_001], pa.timestamp("us", tz="UTC")), 1_600_000_000_000_001),
        (pa.array([1_600_000_000_000_001_999], pa.timestamp("ns", tz="UTC")), 1_600_000_000_000_001),
        (pa.array([1_600_000_000_000_000], pa.timestamp("us", tz="Europe/Berlin")), 1_600_000_000_000_000),
        (pa.array([1_600_000_000_000_000], pa.timestamp("us", tz="+02:00")), 1_600_000_000_000_000),
        (pa.array([1_600_000_000], pa.int64()), 1_600_000_000_000_000),
        (pa.array([1_600_000_000], pa.uint32()), 1_600_000_000_000_000),
        (pa.array([1_600_000_000.25], pa.float64()), 1_600_000_000_250_000),
        (pa.array(["2020-09-13T12:26:40Z"]), 1_600_000_000_000_000),
        (pa.array(["2020-09-13T14:26:40.5+02:00"]).dictionary_encode(), 1_600_000_000_500_000),
        (pa.array([Decimal("1600000000.250000")]), 1_600_000_000_250_000),
        (pa.array([0], pa.timestamp("us", tz="UTC")), 0),
        (pa.array([NOW + timedelta(days=1)], pa.timestamp("us", tz="UTC")), NOW_US + 86_400_000_000),
    ],
    ids=str,
)
def test_times_are_read_from_any_type_that_says_its_moment(tmp_path: Path, times: pa.Array, us: int, many: Ask) -> None:
    (row,) = read(written(tmp_path, pair(timestamp=times)), many)
    assert isinstance(row, tuple)
    assert row[4] == us


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_without_a_zone_are_refused_in_words(tmp_path: Path, unit: str) -> None:
    path = written(tmp_path, pair(timestamp=pa.array([1], pa.timestamp(unit))))
    with pytest.raises(BadFile, match=r"^a\.parquet: the times of timestamp have no time zone; write them with one"):
        opened(path)


@pytest.mark.parametrize(
    ("times", "codes"),
    [
        (pa.array([-1, 0], pa.timestamp("us", tz="UTC")), ["timestamp_past"]),
        (pa.array([NOW + timedelta(days=1, microseconds=1), NOW], pa.timestamp("us", tz="UTC")), ["timestamp_future"]),
        (pa.array([1_600_000_000_000, 1], pa.int64()), ["timestamp_range"]),
        (pa.array([math.nan, 1.0]), ["timestamp_format"]),
        (pa.array([True, None]), ["timestamp_type"]),
        (pa.array([date(2020, 1, 1), None]), ["timestamp_type"]),
        (pa.array(["yesterday", "2020-01-01T00:00:00Z"]), ["timestamp_format"]),
        (pa.array(["2020-01-01T00:00:00", "2020-01-01T00:00:00Z"]), ["timestamp_offset"]),
    ],
    ids=str,
)
def test_times_that_break_the_rules_are_bad_rows(tmp_path: Path, times: pa.Array, codes: list[str]) -> None:
    bad, good = read(written(tmp_path, pair(timestamp=times)))
    assert isinstance(bad, BadLine)
    assert (bad.line, [bad.code]) == (1, codes)
    assert bad.detail.startswith("timestamp: ")
    assert isinstance(good, tuple)


@pytest.mark.parametrize("us", [2**62, -(2**62), 253_402_300_800_000_000])
def test_a_time_beyond_the_calendar_is_a_bad_row(tmp_path: Path, us: int) -> None:
    path = written(tmp_path, pair(timestamp=pa.array([us, 0], pa.timestamp("us", tz="UTC"))))
    bad, good = read(path)
    assert isinstance(bad, BadLine)
    assert bad.line == 1
    assert isinstance(good, tuple)


def test_a_time_in_milliseconds_that_microseconds_cannot_hold_is_a_bad_row(tmp_path: Path) -> None:
    far = 2**64 // 1000 + 1_600_000_000_001
    path = written(tmp_path, pair(timestamp=pa.array([far], pa.timestamp("ms", tz="UTC"))))
    (bad,) = read(path)
    assert isinstance(bad, BadLine)


def test_null_cells_are_fields_that_are_not_there(tmp_path: Path) -> None:
    columns = pair(
        event_type=pa.array([None, "click"]),
        value=pa.array([None, 2], pa.int64()),
        timestamp=pa.array([None, 5.0]),
        event_id=pa.nulls(2),
        recommendation_id=pa.array([None, 7], pa.int32()),
        context=pa.nulls(2, pa.string()),
    )
    assert read(written(tmp_path, columns)) == [
        ("u0", "film", "interaction", 1.0, NOW_US, None, None, None),
        ("u1", "film", "click", 2.0, 5_000_000, None, "7", None),
    ]


@pytest.mark.parametrize("name", ["user_id", "item_id"])
def test_a_null_where_an_id_is_needed_is_a_bad_row(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, pair(value=[1.0, 2.0]) | {name: ["x", None]})
    good, bad = read(path)
    assert isinstance(good, tuple)
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.code) == (2, "missing")


@pytest.mark.parametrize(
    ("name", "column", "code"),
    [
        ("user_id", pa.array([1.5, 2.0]), "id_type"),
        ("item_id", pa.array([True, False]), "id_type"),
        ("user_id", pa.array([b"a", b"b"]), "id_type"),
        ("user_id", pa.array([["a"], ["b"]]), "id_type"),
        ("user_id", pa.array([Decimal("1"), Decimal("2")]), "id_type"),
        ("event_id", pa.array([1.0, 2.0]), "id_type"),
        ("value", pa.array([True, True]), "value_type"),
        ("value", pa.array(["1", "2"]), "value_type"),
        ("value", pa.array([date(2020, 1, 1)] * 2), "value_type"),
        ("event_type", pa.array([1, 2]), "event_type"),
        ("event_type", pa.array(["Click", "View"]), "event_type"),
        ("context", pa.array([1, 2]), "context_type"),
        ("context", pa.array([["a"], []]), "context_type"),
        ("context", pa.array(["a", "[1]"]), "context_type"),
        ("context", pa.array([{"a": [1]}, {"a": []}]), "context_nested"),
        ("context", pa.array([{"a": date(2020, 1, 1)}] * 2), "context_nested"),
        ("context", pa.array(['{"a":1,"a":2}'] * 2), "duplicate_name"),
        ("context", pa.array(['{"a":"' + "x" * MAX_CONTEXT_BYTES + '"}'] * 2), "context_too_large"),
    ],
    ids=str,
)
def test_a_column_of_a_wrong_type_is_bad_rows(tmp_path: Path, name: str, column: pa.Array, code: str) -> None:
    found = read(written(tmp_path, pair(value=[1.0, 2.0]) | {name: column}))
    assert [(bad.line, bad.code) for bad in found if isinstance(bad, BadLine)] == [(1, code), (2, code)]


@pytest.mark.parametrize(
    "values", [pa.array([1.5], pa.float32()), pa.array([1.5], pa.float16()), pa.array([Decimal("1.5")])]
)
def test_values_are_numbers_of_any_kind(tmp_path: Path, values: pa.Array) -> None:
    (row,) = read(written(tmp_path, pair(value=values)))
    assert isinstance(row, tuple)
    assert row[3] == 1.5


def test_bad_rows_are_named_by_their_number_in_the_whole_file(tmp_path: Path) -> None:
    rows = 2 * ROWS_AT_ONCE + 3
    values = [1.0] * rows
    for bad in (1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, rows):
        values[bad - 1] = 0.0
    path = written(tmp_path, pair(value=values), row_group_size=ROWS_AT_ONCE + 77)
    found = read(path)
    assert [bad.line for bad in found if isinstance(bad, BadLine)] == [1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, rows]
    assert len(found) == rows
    assert [row[0] for row in found if isinstance(row, tuple)] == [f"u{n}" for n in range(rows) if values[n]]


def test_good_rows_are_read_a_lot_at_a_time_also_after_bad_ones(tmp_path: Path) -> None:
    rows = 3 * ROWS_AT_ONCE
    values = [1.0] * rows
    values[ROWS_AT_ONCE] = 0.0
    with opened(written(tmp_path, pair(value=values))) as source:
        parts = list(source.parts(at_once))
    lots = [len(part) for part in parts if isinstance(part, NewInteractions)]
    assert lots == [ROWS_AT_ONCE, ROWS_AT_ONCE]
    assert len(parts) == 2 + ROWS_AT_ONCE


def test_an_unknown_column_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"^a\.parquet: the column 'rating' is not known; columns are user_id, item_id"):
        opened(written(tmp_path, pair(rating=[1])))


@pytest.mark.parametrize("name", ["user_id", "item_id"])
def test_a_missing_column_refuses_the_file(tmp_path: Path, name: str) -> None:
    columns = pair(value=[1])
    del columns[name]
    with pytest.raises(BadFile, match=rf"^a\.parquet: the column {name} is missing$"):
        opened(written(tmp_path, columns))


def test_a_column_that_stands_twice_refuses_the_file(tmp_path: Path) -> None:
    names = ["user_id", "item_id", "item_id"]
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 3, names=names), tmp_path / "a.parquet")
    with pytest.raises(BadFile, match="two columns stand for item_id"):
        opened(tmp_path / "a.parquet")


def test_columns_in_another_programs_words(tmp_path: Path) -> None:
    columns = {"movieId": [31], "userId": [1], "rating": [4.5], "timestamp": [1_260_759_144], "other": [[1, 2]]}
    found = read(written(tmp_path, columns), preset=PRESETS["movielens"].interactions)
    assert found == [("1", "31", "interaction", 4.5, 1_260_759_144_000_000, None, None, None)]


@pytest.mark.parametrize("many", [at_once, one_by_one])
def test_cells_in_another_programs_words(tmp_path: Path, many: Ask) -> None:
    columns = {
        "user_id": ["ann", "bob"],
        "ItemId": ["film"] * 2,
        "feedback_type": ["Add To Cart", ""],
        "time_stamp": ["2020-01-01 01:01:01.5 +0000 UTC", "0001-01-01 00:00:00 +0000 UTC"],
    }
    assert read(written(tmp_path, columns), many, PRESETS["gorse"].interactions) == [
        ("ann", "film", "add_to_cart", 1.0, 1_577_840_461_500_000, None, None, None),
        ("bob", "film", "interaction", 1.0, NOW_US, None, None, None),
    ]


def test_a_missing_column_of_another_program_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="the column userId is missing"):
        opened(written(tmp_path, {"movieId": [31]}), PRESETS["movielens"].interactions)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"user_id,item_id\nann,film\n", b"PAR1" + b"\x00" * 100 + b"PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"^a\.parquet: it is not a Parquet file$"):
        opened(path)


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"^a\.parquet: No such file or directory$"):
        opened(tmp_path / "a.parquet")


@pytest.mark.parametrize("kept", [0.1, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path, pair(value=[float(n + 1) for n in range(2000)]))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadFile, match="it is not a Parquet file"):
        opened(path)


def test_damage_in_the_middle_of_a_file_is_told_with_where_it_is(tmp_path: Path) -> None:
    path = written(
        tmp_path, pair(value=[float(n + 1) for n in range(30_000)]), row_group_size=20_000, compression="zstd"
    )
    place = pq.ParquetFile(path).metadata.row_group(1).column(2).data_page_offset
    content = bytearray(path.read_bytes())
    content[place : place + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    with opened(path) as source, pytest.raises(BadFile, match=r"^a\.parquet: a row from 20001 on cannot be read"):
        list(source.parts(at_once))


def test_nothing_is_stored_of_a_file_that_is_damaged_in_the_middle(sqlite_store: Store, tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    users = pa.chunked_array([[f"u{n}" for n in range(20_000)], text])
    path = written(tmp_path, {"user_id": users, "item_id": range(20_001)})
    with opened(path) as source, pytest.raises(BadFile, match=r"a row from \d+ on cannot be read"):
        load(source, sqlite_store, INTERACTIONS, on_error="skip", spool_folder=tmp_path, clock=lambda: NOW_US)
    with sqlite_store.read() as connection:
        assert interactions.count(connection) == 0


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    path = written(tmp_path, {"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})
    with opened(path) as source:
        assert (source.size, list(source.parts(at_once))) == (0, [])


def equal_rows(path: Path, rows: int, groups: int) -> None:
    """Write rows that are all the same, and so take next to no bytes."""
    numbers = pa.array(memoryview(bytes(4 * (rows // groups))).cast("i"), pa.int32())
    one = pa.DictionaryArray.from_arrays(numbers, pa.array(["x"]))
    table = pa.table({"user_id": one, "item_id": one})
    with pq.ParquetWriter(path, table.schema, store_schema=False) as writer:
        for _ in range(groups):
            writer.write_table(table, row_group_size=rows)


def test_millions_of_rows_in_a_file_that_cannot_hold_them_are_refused_before_any_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    equal_rows(path, 20_000_000, groups=20)
    size = path.stat().st_size
    assert size < 100_000
    with pytest.raises(BadFile, match=rf"^a\.parquet: it claims 20000000 rows in {size} bytes"):
        opened(path)


def test_a_thousand_equal_rows_are_no_more_than_a_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    equal_rows(path, 1000, groups=1)
    assert users_of(read(path)) == ["x"] * 1000


@pytest.mark.parametrize("many", [at_once, one_by_one])
def test_contexts_are_json_text_or_structs(tmp_path: Path, many: Ask) -> None:
    text = written(tmp_path, pair(context=['{"page": 3, "é": "x"}', "null", None]))
    from_text = [row[7] for row in read(text, many) if isinstance(row, tuple)]
    struct = written(tmp_path, pair(context=[{"page": 3, "é": "x"}, None, {"page": None, "é": "y"}]))
    from_struct = [row[7] for row in read(struct, many) if isinstance(row, tuple)]
    assert from_text == ['{"page":3,"é":"x"}', None, None]
    assert from_struct == ['{"page":3,"é":"x"}', None, '{"page":null,"é":"y"}']


# What a column can hold in rows of which any may be bad.
IDS = st.sampled_from(["ann", "7", "é", " a", "", "x" * 257, "\ufffd", "a b", None])
WHOLE_IDS = st.sampled_from([0, 7, -5, 2**63 - 1, None])
SECONDS = st.sampled_from([0, 1_600_000_000, 1_600_000_000_000, -1, NOW_US // 10**6 + 86_400, NOW_US // 10**6 + 86_401])
MOMENTS = st.sampled_from([0, 1_600_000_000_000_001, -1, NOW_US + 86_400_000_000, NOW_US + 86_400_000_001, 2**53])
OPTIONAL: dict[str, list[tuple[st.SearchStrategy[Any], pa.DataType]]] = {
    "event_type": [(st.sampled_from(["click", "Click", "", None]), pa.string())],
    "value": [
        (st.sampled_from([1.0, 0.1, 0.0, -1.0, 1e6, 1e7, math.nan, math.inf, None]), pa.float64()),
        (st.sampled_from([1, 0, 10**6, 10**6 + 1, None]), pa.int64()),
        (st.sampled_from(["1", None]), pa.string()),
    ],
    "timestamp": [
        (MOMENTS | st.none(), pa.timestamp("us", tz="UTC")),
        (SECONDS | st.none(), pa.int64()),
        (SECONDS.map(lambda second: second + 0.1234565) | st.just(math.nan), pa.float64()),
        (st.sampled_from(["2021-03-04T05:06:07Z", "2021-02-31T05:06:07Z", "2016-12-31T23:59:60Z", None]), pa.string()),
    ],
    "event_id": [(IDS, pa.string()), (WHOLE_IDS, pa.int64()), (st.just(1.0), pa.float64())],
    "recommendation_id": [(IDS, pa.large_string())],
    "context": [
        (st.sampled_from(['{"a":1}', '{"a":1,"a":2}', "[]", "x", "null", '{"a":NaN}', None]), pa.string()),
        (st.sampled_from([{"a": 1.5}, {"a": math.nan}, {"a": None}, None]), pa.struct([("a", pa.float64())])),
    ],
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 3))
    columns = {
        name: draw(st.sampled_from([(IDS, pa.string()), (WHOLE_IDS, pa.int64())])) for name in INTERACTIONS.required
    }
    for name in draw(st.lists(st.sampled_from(list(OPTIONAL)), unique=True, max_size=3)):
        columns[name] = draw(st.sampled_from(OPTIONAL[name]))
    drawn = {name: (draw(st.lists(some, min_size=rows, max_size=rows)), kind) for name, (some, kind) in columns.items()}
    return pa.table({name: pa.array(cells, kind) for name, (cells, kind) in drawn.items()})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_rows_at_once_are_what_they_are_one_by_one(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "a.parquet", compression="none")
    assert repr(read(tmp_path / "a.parquet")) == repr(read(tmp_path / "a.parquet", one_by_one))


def from_json(rows: list[dict[str, Any]]) -> list[Row | BadLine]:
    data = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())
    source = RecordFile(data, "a", format="ndjson", gzipped=False, columns=INTERACTIONS.columns)
    found = (interaction(record, now_us=NOW_US) for record in source)
    return [row if isinstance(row, BadLine) else shown(row) for row in found]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_a_parquet_file_means_what_the_same_rows_mean_as_json(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "a.parquet", compression="none")
    rows = []
    for row in table.to_pylist():
        fields = {name: value for name, value in row.items() if value is not None}
        if isinstance(moment := fields.get("timestamp"), datetime):
            fields["timestamp"] = moment.isoformat()
        if isinstance(context := fields.get("context"), str):
            try:
                fields["context"] = json.loads(
                    context, object_pairs_hook=lambda pairs: dict(pairs) if len(pairs) < 2 else 0
                )
            except ValueError:
                fields["context"] = 0
        rows.append(fields)
    of_file, of_json = read(tmp_path / "a.parquet"), from_json(rows)
    assert [row if isinstance(row, tuple) else row.line for row in of_file] == [
        row if isinstance(row, tuple) else row.line for row in of_json
    ]


def read_items(path: Path, preset: Preset = OWN) -> list[NewItem | BadLine]:
    with ParquetRecords(path, columns=ITEMS.columns, required=ITEMS.required, preset=preset) as source:
        parts = list(source.parts(one_by_one))
    return [item(part) for part in parts if isinstance(part, Record | BadLine)]


def test_items_with_lists_and_structs(tmp_path: Path) -> None:
    columns = {
        "item_id": ["a", "b"],
        "title": ["Alien (1979)", None],
        "categories": pa.array([["Horror", "Sci-Fi"], None], pa.list_(pa.string())),
        "metadata": [{"year": 1979, "cast": [{"name": "é"}]}, None],
        "hidden": [False, True],
        "available_from": pa.array([1_600_000_000_500_000, None], pa.timestamp("us", tz="UTC")),
        "available_until": pa.array([None, 1_600_000_000], pa.int64()),
    }
    metadata = {"year": 1979, "cast": [{"name": "é"}]}
    assert read_items(written(tmp_path, columns)) == [
        NewItem(
            "a",
            title="Alien (1979)",
            categories=["Horror", "Sci-Fi"],
            metadata=metadata,
            available_from_us=1_600_000_000_500_000,
        ),
        NewItem("b", hidden=True, available_until_us=1_600_000_000_000_000),
    ]


def test_items_with_metadata_as_json_text(tmp_path: Path) -> None:
    columns = {"item_id": [1, 2, 3], "metadata": ['{"year": 1979}', "null", "1979"]}
    first, second, third = read_items(written(tmp_path, columns))
    assert first == NewItem("1", metadata={"year": 1979})
    assert second == NewItem("2")
    assert isinstance(third, BadLine)
    assert (third.line, third.detail.split(":")[0]) == (3, "metadata")


def test_items_are_stored(store: Store, tmp_path: Path) -> None:
    columns = {"item_id": ["a", "b", "a"], "categories": pa.array([["x"], [], ["y", "z"]], pa.large_list(pa.string()))}
    path = written(tmp_path, columns)
    with ParquetRecords(path, columns=ITEMS.columns, required=ITEMS.required) as source:
        report = load(source, store, ITEMS, on_error="abort", spool_folder=tmp_path, clock=lambda: NOW_US)
    assert report == ImportReport(accepted=3)
    with store.read() as connection:
        found = {record.item_id: record.categories for record in items.records(connection)}
    assert found == {"a": ("y", "z"), "b": ()}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("item_id", pa.array([1.5])),
        ("title", pa.array([5])),
        ("title", pa.array([b"Alien"])),
        ("categories", pa.array(["Horror|Sci-Fi"])),
        ("categories", pa.array([[1, 2]])),
        ("categories", pa.array([["x", None]])),
        ("hidden", pa.array([1])),
        ("hidden", pa.array(["true"])),
        ("metadata", pa.array([[1]])),
    ],
    ids=str,
)
def test_a_wrong_item_is_a_bad_row(tmp_path: Path, name: str, column: pa.Array) -> None:
    (bad,) = read_items(written(tmp_path, {"item_id": ["a"]} | {name: column}))
    assert isinstance(bad, BadLine)
    assert bad.line == 1
    assert bad.detail.startswith(f"{name}")


@pytest.mark.parametrize("value", [date(2020, 1, 1), b"x", Decimal("1.5")], ids=["date", "bytes", "decimal"])
def test_metadata_with_what_json_does_not_have_is_a_bad_row(tmp_path: Path, value: object) -> None:
    (bad,) = read_items(written(tmp_path, {"item_id": ["a"], "metadata": [{"x": value}]}))
    assert isinstance(bad, BadLine)
