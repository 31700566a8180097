"""Many rows at once mean what they mean one by one, or nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.clock import DAY_US, MICROSECONDS
from app.db.interactions import NewInteraction
from app.db.new_interactions import NewInteractions
from app.importing import many_rows
from app.importing.files import Format, RecordFile
from app.importing.many_times import times_us
from app.importing.presets import PRESETS
from app.importing.records import OWN, BadFile, BadLine, Columns, Many, Preset, Record, Rows
from app.importing.rows import INTERACTION_COLUMNS, interaction
from app.interaction_rows import timestamp_us

NOW_US = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z
NOW_SECONDS = NOW_US // MICROSECONDS
Header = tuple[str | None, ...]
FIELDS = tuple(INTERACTION_COLUMNS)
MANY = settings(max_examples=300, deadline=None)


class Choppy(io.BytesIO):
    """A stream that brings no more than so many bytes at a time, so that there are many blocks."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size if size is None or size < 0 else min(size, self._size))


def opened(stream: io.BytesIO, form: Format, preset: Preset = OWN) -> RecordFile:
    return RecordFile(stream, "a", format=form, gzipped=False, columns=INTERACTION_COLUMNS, preset=preset)


def rows_of(source: RecordFile, many: Callable[[Many], NewInteractions | None]) -> list[NewInteraction | BadLine]:
    """What the source holds, in order; rows that came together one by one."""
    found: list[NewInteraction | BadLine] = []
    for part in source.parts(many):
        if isinstance(part, Record | BadLine):
            found.append(interaction(part, now_us=NOW_US))
        else:
            found += part
    return found


def at_once(rows: Many) -> NewInteractions | None:
    return many_rows.interactions(rows, now_us=NOW_US)


def row_by_row(data: bytes, form: Format, preset: Preset = OWN) -> NewInteractions | None:
    """The rows of a file as they are read one by one; None where any is bad, or the whole."""
    try:
        rows = rows_of(opened(io.BytesIO(data), form, preset), lambda _: None)
    except BadFile:
        return None
    good = [row for row in rows if isinstance(row, NewInteraction)]
    return NewInteractions.of(good) if len(good) == len(rows) else None


def exactly(rows: NewInteractions | None) -> list[str] | None:
    """The rows as text in which 1 is not 1.0."""
    return None if rows is None else list(map(repr, rows))


def check(rows: Rows, whole: bytes, form: Format) -> NewInteractions | None:
    """What the rows are at once, after a look at what they are one by one."""
    found = at_once(rows)
    if found is not None:
        assert exactly(found) == exactly(row_by_row(whole, form, rows.preset))
        assert_aligned(found)
    return found


def assert_aligned(found: NewInteractions) -> None:
    optional = [found.event_ids, found.recommendation_ids, found.contexts]
    columns = [found.item_ids, found.event_types, found.values, found.occurred_us, *filter(None, optional)]
    assert {len(column) for column in columns} == {len(found)}
    assert {type(value) for value in found.values} == {float}
    assert {type(us) for us in found.occurred_us} == {int}


def json_lines(*rows: Mapping[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_lines(rows: Sequence[Sequence[str]], *, quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator=end).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


# What fields can be, as JSON; what stands first is right.
IDS = ['"ann"', '"7"', "7", '"a b"', '"é"', '"日本"', '"😀"', '"\\u00e9"', '"x\\/y"', "0", "-0", "-5", "9" * 30]
WRONG_IDS = ['""', '" a"', '"a "', '"\\u00a0a"', '"a\\u0000"', '"\\ud800"', '"\\ufffd"', '"a\\u0085"', '"\x7f"', "null"]
WRONG_IDS += ["1.0", "1e2", "-0.0", "true", "[]", "{}", json.dumps("x" * 257), "9" * 257, "-" + "9" * 256, "9" * 4400]
EDGE_IDS = [
    '"a\\"b"',
    '"\\ud83d\\ude00"',
    json.dumps("x" * 256),
    "9" * 256,
    '"a,b"',
    '"}"',
    '"{"',
    '"a\\\\"',
    '"\ufeffa"',
]
TYPES = ['"click"', '"purchase"', '"a.b-c_9"', '"x"', json.dumps("x" * 64)]
WRONG_TYPES = [
    '"Click"',
    '"add to cart"',
    '""',
    '"é"',
    "null",
    "1",
    "true",
    json.dumps("x" * 65),
    '"click\\n"',
    '"cl\\"k"',
]
VALUES = ["1", "2.5", "1e6", "1000000", "5e-324", "0.1", "1e-9", "1E2", "999999.9999999999", "3.0000000000000004"]
WRONG_VALUES = ["0", "-1", "1e7", "1000001", "-0", "-0.0", "NaN", "Infinity", "-Infinity", "1e999", "1e-999", "null"]
WRONG_VALUES += ["true", '"1"', "[1]", "9" * 400, "01", ".5", "+1", "1000000.0000000001"]
TIMES = ["1600000000", "1600000000.25", "0", '"2021-03-04T05:06:07Z"', '"2021-03-04T05:06:07.5Z"', "0.0000005", "1.5e9"]
TIMES += [
    '"2024-02-29t00:00:00z"',
    '"2021-03-04 05:06:07.123456789Z"',
    '"2021-03-04T05:06:07+01:30"',
    "1600000000.1234567",
]
TIMES += [
    '"1969-12-31T23:59:59-00:01"',
    '"1998-12-31T23:59:60Z"',
    '"2021-03-04T05:06:07-23:59"',
    f"{NOW_SECONDS + 86_400}",
]
WRONG_TIMES = ['"2021-02-31T00:00:00Z"', '"2023-02-29T00:00:00Z"', '"1969-12-31T23:59:59Z"', '"9999-12-31T23:59:59Z"']
WRONG_TIMES += ['"2021-03-04T05:06:07"', '"2021-03-04T05:06:61Z"', '"2021-13-04T05:06:07Z"', '"2021-03-04T24:06:07Z"']
WRONG_TIMES += [
    "-1",
    "1600000000000",
    "1e999",
    "NaN",
    "null",
    "true",
    '""',
    '"yesterday"',
    '"2021-03-04"',
    "-0.5",
    "1e11",
]
WRONG_TIMES += [f"{NOW_SECONDS + 86_401}", f"{NOW_SECONDS + 86_400}.5", '"2025-02-01T12:00:00.000001Z"', "9" * 30]
WRONG_TIMES += [
    '"0000-01-01T00:00:00Z"',
    '"1600000000"',
    '"2021-03-04T05:06:07.Z"',
    '"２021-03-04T05:06:07Z"',
    '"\\u0660"',
]
EDGE_TIMES = ["-0", "-0.0", '"2025-02-01T12:00:00Z"', '"2021-03-04T05:06:07\\u005a"']
CONTEXTS = ['{"page":3}', "{}", '{"a":"b","c":1.5,"d":true,"e":null}', '{ "a" : "b" }', '{"é":"😀"}', '{"a":"x\\"y"}']
CONTEXTS += ['{"a":"\\\\N"}', '{"a":"}\\n{"}', '{"a":1e5}', '{"a":"\\t"}', json.dumps({"a": "x" * 2040})]
WRONG_CONTEXTS = ['{"a":1,"a":2}', '{"a":{}}', '{"a":[1]}', json.dumps({"a": "x" * 2041}), "[1]", '"x"', "1", '"{}"']
WRONG_CONTEXTS += [
    '{"a":NaN}',
    '{"a":1e999}',
    '{"a":"\\ud800"}',
    '{"a":' + "9" * 4400 + "}",
    '{"a":1',
    "true",
    '{"a":\t"\t"}',
]
WRONG_CONTEXTS += ['{"' + "é" * 1025 + '":1}', '{"a":' * 40 + "1" + "}" * 40]


def fragments(right: list[str], wrong: list[str], edge: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    return right, [*wrong, *edge]


JSON_FIELDS: dict[str, tuple[list[str], list[str]]] = {
    "user_id": fragments(IDS, WRONG_IDS, EDGE_IDS),
    "item_id": fragments(IDS, WRONG_IDS, EDGE_IDS),
    "event_type": fragments(TYPES, WRONG_TYPES),
    "value": fragments(VALUES, WRONG_VALUES),
    "timestamp": fragments(TIMES, WRONG_TIMES, EDGE_TIMES),
    "event_id": fragments([*IDS, "null"], [one for one in WRONG_IDS if one != "null"], EDGE_IDS),
    "recommendation_id": fragments([*IDS, "null"], [one for one in WRONG_IDS if one != "null"], EDGE_IDS),
    "context": fragments([*CONTEXTS, "null"], WRONG_CONTEXTS),
}
ODD_NAMES = [
    '"user_id"',
    '"value"',
    '"context"',
    '"user\\u005fid"',
    '"conte\\u0078t"',
    '"other"',
    '""',
    '"User_id"',
    '"\\""',
]
SPACES = st.sampled_from(["", "", "", " ", "\t", "\n", "\r\n", "\r", "  ", "\x0b", "\ufeff", "\x00"])


@st.composite
def json_pairs(draw: st.DrawFn, nasty: bool) -> list[tuple[str, str]]:
    """The names and values of an object, as JSON."""
    names = ["user_id", "item_id"]
    names += draw(st.lists(st.sampled_from(FIELDS[2:]), unique=True, max_size=6))
    odd = draw(st.sampled_from(names)) if nasty and draw(st.booleans()) else None
    pairs = [(f'"{name}"', draw(st.sampled_from(JSON_FIELDS[name][name == odd]))) for name in names]
    if nasty and draw(st.integers(0, 3)) == 0:
        every = [one for right, wrong in JSON_FIELDS.values() for one in [*right, *wrong]]
        pairs.append((draw(st.sampled_from(ODD_NAMES)), draw(st.sampled_from(every))))
    if nasty and draw(st.integers(0, 7)) == 0:
        del pairs[draw(st.integers(0, len(pairs) - 1))]
    return draw(st.permutations(pairs)) if draw(st.booleans()) else pairs


@st.composite
def json_line(draw: st.DrawFn, nasty: bool) -> str:
    pairs = draw(json_pairs(nasty))
    spaces = [draw(SPACES) for _ in range(5)] if nasty and draw(st.booleans()) else [""] * 5
    inside = f",{spaces[0]}".join(f"{name}{spaces[1]}:{spaces[2]}{value}" for name, value in pairs)
    return f"{spaces[3]}{{{inside}}}{spaces[4]}"


BETWEEN = st.sampled_from(
    ["\n", "\n", "\n", "\r\n", "", " ", "\r", "\n\n", "\n\r\n", ",\n", "\n \n", "\n[]\n", "\nnull\n"]
)
ENDS = st.sampled_from(["", "\n", "\r\n", "\n\n", "\r", " ", "}", "\n{", "\x00", "\n\n\n"])
STARTS = st.sampled_from(["", "", "", "\ufeff", "\n", " ", "[", "\r\n"])


def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes, or those with one of them another one, or none."""
    what = draw(st.integers(0, 11))
    if what > 1 or not data:
        return data
    place = draw(st.integers(0, len(data) - 1))
    new = draw(st.sampled_from([b"", b'"', b"\\", b"\xff", b"\n", b"{", b"}", b",", b"\x00", b"\r", b":", b"9", b" "]))
    return data[:place] + new + data[place + what :]


@st.composite
def json_blocks(draw: st.DrawFn) -> bytes:
    nasty = draw(st.booleans())
    lines = draw(st.lists(json_line(nasty), min_size=1, max_size=4))
    text = lines[0]
    for line in lines[1:]:
        text += (draw(BETWEEN) if nasty and draw(st.integers(0, 3)) == 0 else "\n") + line
    if nasty and draw(st.booleans()):
        text = draw(STARTS) + text + draw(ENDS)
    else:
        text += draw(st.sampled_from(["", "\n"]))
    data = text.encode()
    if draw(st.integers(0, 7)) == 0:
        data = data.replace(b"\n", b"\r\n")
    return spoiled(draw, data) if nasty else data


@MANY
@given(json_blocks())
@example(b'{"user_id":"a","item_id":"b","context":null}')
@example(b'{"user_id":"a","item_id":"b"}{"user_id":"c",\n"item_id":"d"}\n{"user_id":"e","item_id":"f"}')
@example(b'{"user_id":"a","item_id":"b"}{"user_id":"c","item_id":"d"}\n{"user_id":"e","item_id":"f"}')
@example(b'{"user_id":"a","user_id":"b","item_id":"c"}')
@example(b'{"user_id":"a","item_id":"b","context":{"a":1},"context":{"a":2}}')
@example(b'{"user_id":"a","item_id":"b","conte\\u0078t":{"a":1}}')
@example(b'{"user_id":"a","item_id":"b","context":{"a":1,"a":2}}')
@example(b'{"user_id":"a","item_id":"b","value":1,"value":2}')
@example(b'{"user_id":1,"user_id":2,"item_id":3}')
@example(b'{"user_id":"\xff","item_id":"b"}')
@example(b'{"user_id":"a","item_id":"b","context":{"a":"\xff"}}')
@example(b'{"user_id":"\xed\xa0\x80","item_id":"b"}')
def test_json_lines_at_once_are_what_they_are_one_by_one(data: bytes) -> None:
    check(Rows(data, None), data, "ndjson")


@settings(max_examples=120, deadline=None)
@given(json_blocks(), st.integers(3, 200))
def test_a_json_file_read_in_blocks_has_the_rows_and_the_bad_lines_of_one_read_row_by_row(
    data: bytes, size: int
) -> None:
    assume(not data.startswith((b"\xff\xfe", b"\xfe\xff")))
    quick = rows_of(opened(Choppy(data, size), "ndjson"), at_once)
    assert quick == rows_of(opened(io.BytesIO(data), "ndjson"), lambda _: None)


def text_of(fragment: str) -> str:
    """What CSV says where JSON says this."""
    if not fragment.startswith('"'):
        return fragment
    try:
        return str(json.loads(fragment))
    except ValueError:
        return fragment


CSV_CELLS: dict[str, tuple[list[str], list[str]]] = {
    name: (
        [*map(text_of, right), *([] if name in FIELDS[:2] else [""])],
        ["", *map(text_of, wrong), *([text_of(one) for one in right] if name != "context" else [])],
    )
    for name, (right, wrong) in JSON_FIELDS.items()
}
CSV_CELLS["event_id"][0].remove("null")
CSV_CELLS["value"][1].extend([" 1", "1 ", "1_0", "nan", "inf", "0x1", "٣", "1" * 19, "1" * 70, "1e5", "'1'", "1,5"])
CSV_CELLS["timestamp"][1].extend([" 0", "1_0", "nan", "٣٣", "0" * 18 + "1", "1600000000."])
CSV_CELLS["context"][1].extend(["a", "{'a':1}", " ", '{"a":\n1}', "null", " null "])


@st.composite
def csv_blocks(draw: st.DrawFn, preset: Preset = OWN) -> tuple[Header, bytes, bytes]:
    """The header's columns, the lines after it, and all of it."""
    theirs = {ours: name for name, ours in preset.names.items()}
    fields = tuple(theirs) if theirs else FIELDS
    columns = draw(st.permutations([*fields[:2], *draw(st.lists(st.sampled_from(fields[2:]), unique=True))]))
    header: list[str | None] = list(columns)
    if theirs and draw(st.booleans()):
        header.insert(draw(st.integers(0, len(header))), None)
    nasty = draw(st.booleans())
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        odd = draw(st.sampled_from(header)) if nasty and draw(st.booleans()) else ""
        cells = [
            draw(st.sampled_from(["", "x", "é", '"', "a,b"] if name is None else CSV_CELLS[name][name == odd]))
            for name in header
        ]
        if nasty and draw(st.integers(0, 15)) == 0:
            cells.append("")
        rows.append(cells)
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    data = csv_lines(rows, quoting=quoting, end=draw(st.sampled_from(["\n", "\n", "\r\n"])))
    if nasty and draw(st.integers(0, 3)) == 0:
        place = draw(st.sampled_from([0, *(n + 1 for n, one in enumerate(data) if one == 10)]))
        data = data[:place] + draw(st.sampled_from([b"\n", b"\r\n", b'"', b"\r", b"\xef\xbb\xbf", b" "])) + data[place:]
    if draw(st.booleans()):
        data = data.removesuffix(b"\n").removesuffix(b"\r") if draw(st.booleans()) else data.removesuffix(b"\n")
    data = spoiled(draw, data) if nasty else data
    assume(data)
    names = ["other" if name is None else theirs.get(name, name) for name in header]
    return tuple(header), data, ",".join(names).encode() + b"\n" + data


@MANY
@given(csv_blocks())
@example((("user_id", "item_id", "context"), b"a,b,null\n", b"user_id,item_id,context\na,b,null\n"))
@example((("user_id", "item_id"), b'"a\nb",c\n', b'user_id,item_id\n"a\nb",c\n'))
@example((("user_id", "item_id"), b'"a",b\n\nc,d', b'user_id,item_id\n"a",b\n\nc,d'))
@example((("user_id", "item_id"), b'a,"b', b'user_id,item_id\na,"b'))
@example((("user_id", "item_id"), b"a,b\rc,d", b"user_id,item_id\na,b\rc,d"))
@example((("user_id", "item_id"), b"a,b,\n", b"user_id,item_id\na,b,\n"))
@example((("user_id", "item_id", "value"), "a,b,٣\n".encode(), "user_id,item_id,value\na,b,٣\n".encode()))
def test_csv_lines_at_once_are_what_they_are_one_by_one(drawn: tuple[Header, bytes, bytes]) -> None:
    header, data, whole = drawn
    check(Rows(data, header), whole, "csv")


@settings(max_examples=120, deadline=None)
@given(csv_blocks(), st.integers(3, 200))
def test_a_csv_file_read_in_blocks_has_the_rows_and_the_bad_lines_of_one_read_row_by_row(
    drawn: tuple[Header, bytes, bytes], size: int
) -> None:
    quick = rows_of(opened(Choppy(drawn[2], size), "csv"), at_once)
    assert quick == rows_of(opened(io.BytesIO(drawn[2]), "csv"), lambda _: None)


@pytest.mark.parametrize("field", FIELDS)
def test_one_json_value_makes_a_row_at_once_what_it_makes_it_one_by_one(field: str) -> None:
    right, other = JSON_FIELDS[field]
    for value in [*right, *other]:
        pairs = {"user_id": '"ann"', "item_id": '"film"', field: value}
        inside = ",".join(f'"{name}":{one}' for name, one in pairs.items())
        line = f"{{{inside}}}\n".encode()
        plain = b'{"user_id":"bob","item_id":"play"}\n'
        same = line.replace(b"ann", b"cid").replace(b"film", b"song")
        for data in (line, plain + line, line + plain, line + same):
            check(Rows(data, None), data, "ndjson")


@pytest.mark.parametrize("field", FIELDS)
def test_one_cell_makes_a_row_at_once_what_it_makes_it_one_by_one(field: str) -> None:
    right, other = CSV_CELLS[field]
    header = tuple(dict.fromkeys(("user_id", "item_id", field)))
    for cell in [*right, *other]:
        for rows in ([cell], [cell, cell], [right[0], cell], [cell, ""], ["", cell]):
            cells = [[*("ann", "film")[: len(header) - 1], one] for one in rows]
            if field in FIELDS[:2]:
                cells = [["film", one] if field == "item_id" else [one, "film"] for one in rows]
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
                data = csv_lines(cells, quoting=quoting)
                check(Rows(data, header), ",".join(header).encode() + b"\n" + data, "csv")


def test_lines_that_an_open_quote_swallowed_come_before_those_after_it() -> None:
    begin, rest = b'user_id,item_id\n"ann,1\nbob,2\n', b'c"d,3\ndan,4\neve,5\n'
    found = rows_of(opened(Choppy(begin + rest, len(begin)), "csv"), at_once)
    bad, *good = found
    assert isinstance(bad, BadLine)
    assert bad.line == 2
    assert [row.user_id for row in good if isinstance(row, NewInteraction)] == ["bob", 'c"d', "dan", "eve"]


@pytest.mark.parametrize(
    ("form", "data"), [("ndjson", b"x\n" * 100), ("csv", b"user_id,item_id\n" + b",\n" * 100)], ids=["json", "csv"]
)
def test_lines_that_cannot_be_read_at_once_are_only_tried_once(form: Format, data: bytes) -> None:
    asked: list[Many] = []
    found = rows_of(opened(io.BytesIO(data), form), asked.append)
    assert (len(found), len(asked)) == (100, 1)


GORSE = PRESETS["gorse"].interactions
GORSE_CELLS = [
    "Add To Cart",
    "READ",
    "",
    " ",
    "like",
    "İ",
    "0001-01-01 00:00:00 +0000 UTC",
    "2021-03-04 05:06:07 +0000 UTC",
]
GORSE_CELLS += [
    "2021-03-04 05:06:07.000000001 -0130 MST",
    "2021-02-31 05:06:07 +0000 UTC",
    "2021-03-04T05:06:07Z",
    "nan",
]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(GORSE_CELLS)] * 2, st.sampled_from(["a", "b c"])), min_size=1, max_size=3))
def test_lines_in_another_programs_words_at_once_are_what_they_are_one_by_one(rows: list[tuple[str, str, str]]) -> None:
    data = csv_lines([[kind, user, "film", "x", time] for kind, time, user in rows])
    header = ("event_type", "user_id", "item_id", None, "timestamp")
    names = b"FeedbackType,user_id,item_id,comment,time_stamp\n"
    found = check(Rows(data, header, GORSE), names + data, "csv")
    if all(kind in ("READ", "like") and time.startswith("2021-03-04 ") for kind, time, _ in rows):
        assert found is not None


# What is ordinary: it must not only be right, but quick.
SIMPLE_IDS = st.one_of(st.text("abcxyz019_-.:/é日", min_size=1, max_size=8), st.integers(0, 2**63))
SECONDS = st.integers(0, NOW_SECONDS)
ORDINARY = st.fixed_dictionaries(
    {"user_id": SIMPLE_IDS, "item_id": SIMPLE_IDS},
    optional={
        "event_type": st.sampled_from(["click", "view"]),
        "value": st.floats(1e-9, 1e6) | st.integers(1, 1_000_000),
        "timestamp": SECONDS | SECONDS.map(lambda second: f"{np.datetime64(second, 's')}Z") | st.floats(0, NOW_SECONDS),
        "event_id": SIMPLE_IDS | st.none(),
        "recommendation_id": SIMPLE_IDS,
        "context": st.dictionaries(st.text("abé", max_size=3), st.none() | st.booleans() | st.floats(0, 1), max_size=3),
    },
)


@settings(max_examples=120, deadline=None)
@given(st.lists(ORDINARY, min_size=1, max_size=5))
def test_ordinary_json_lines_are_read_at_once(rows: list[dict[str, object]]) -> None:
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    assert check(Rows(data, None), data, "ndjson") is not None


@settings(max_examples=120, deadline=None)
@given(st.lists(ORDINARY, min_size=1, max_size=5), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_ordinary_csv_lines_are_read_at_once(rows: list[dict[str, object]], quoted: bool, end: str) -> None:
    def cell(value: object) -> str:
        if value is None:
            return ""
        return json.dumps(value) if isinstance(value, dict) else str(value)

    cells = [[cell(row.get(name)) for name in FIELDS] for row in rows]
    data = csv_lines(cells, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, end=end)
    assert check(Rows(data, FIELDS), ",".join(FIELDS).encode() + b"\n" + data, "csv") is not None


FULL: dict[str, object] = {
    "user_id": "ann",
    "item_id": 7,
    "event_type": "purchase",
    "value": 2,
    "timestamp": "2023-11-01T12:00:00.25Z",
    "event_id": "e1",
    "recommendation_id": 9,
    "context": {"page": 3, "é": None},
}
FULL_ROW = NewInteraction("ann", "7", "purchase", 2.0, 1_698_840_000_250_000, "e1", "9", '{"page":3,"é":null}')


def test_json_lines_with_every_field_are_read_at_once() -> None:
    found = at_once(Rows(json_lines(FULL, FULL), None))
    assert found == NewInteractions.of([FULL_ROW, FULL_ROW])


def test_json_lines_with_the_needed_fields_alone_are_read_at_once() -> None:
    data = json_lines({"user_id": "a", "item_id": "b"}, {"item_id": "c", "user_id": 5})
    expected = NewInteractions(["a", "5"], ["b", "c"], ["interaction"] * 2, [1.0, 1.0], [NOW_US, NOW_US])
    assert at_once(Rows(data, None)) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["line feed", "carriage return", "no end"])
def test_the_end_of_the_last_line_does_not_matter(end: bytes) -> None:
    line = b'{"user_id":"a","item_id":"b"}'
    found = at_once(Rows(line + (end or b"\n") + line + end, None))
    assert found is not None
    assert len(found) == 2


CSV_FULL = 'ann,7,purchase,2,2023-11-01T12:00:00.25Z,e1,9,"{""page"": 3, ""é"": null}"\n'.encode()


def test_csv_with_every_column_is_read_at_once() -> None:
    assert at_once(Rows(CSV_FULL + CSV_FULL, FIELDS)) == NewInteractions.of([FULL_ROW, FULL_ROW])


def test_csv_with_empty_cells_is_read_at_once() -> None:
    bare = NewInteraction("a", "b", "interaction", 1.0, NOW_US)
    assert at_once(Rows(CSV_FULL + b"a,b,,,,,,\n", FIELDS)) == NewInteractions.of([FULL_ROW, bare])


@pytest.mark.parametrize("line", [b"ann,film,5\n", b'"ann","film","5"\n', b"ann,film,5\r\n"])
def test_csv_of_three_columns_is_read_at_once(line: bytes) -> None:
    found = at_once(Rows(line * 3, ("user_id", "item_id", "value")))
    assert found == NewInteractions(["ann"] * 3, ["film"] * 3, ["interaction"] * 3, [5.0] * 3, [NOW_US] * 3)


def test_columns_that_are_passed_over_do_not_make_csv_slow() -> None:
    found = at_once(Rows(b"x,ann,,film\n", (None, "user_id", None, "item_id"), GORSE))
    assert found == NewInteractions(["ann"], ["film"], ["interaction"], [1.0], [NOW_US])


@pytest.mark.parametrize(
    "line",
    [b"\x00,ann,film\n", b"a\rb,ann,film\n", b"\xff,ann,film\n", b"x" * 131_073 + b",ann,film\n", b'"a"b,ann,film\n'],
)
def test_what_breaks_a_row_does_so_also_in_a_column_that_is_passed_over(line: bytes) -> None:
    assert row_by_row(b"comment,user_id,item_id\n" + line, "csv", GORSE) is None
    assert at_once(Rows(line, (None, "user_id", "item_id"), GORSE)) is None


def test_json_lines_in_another_programs_words_are_not_taken_for_ours() -> None:
    data = b'{"user_id":"ann","item_id":"film","value":5}\n'
    found = row_by_row(data, "ndjson", GORSE)
    assert found is not None
    assert found.values == [1.0]
    assert at_once(Rows(data, None, GORSE)) is None


@pytest.mark.parametrize("time", ['"2025-02-01T12:00:00Z"', f"{NOW_SECONDS + 86_400}", f"{NOW_SECONDS + 86_400}.0"])
def test_times_up_to_a_day_ahead_are_read_at_once(time: str) -> None:
    found = at_once(Rows(f'{{"user_id":"a","item_id":"b","timestamp":{time}}}'.encode(), None))
    assert found is not None
    assert found.occurred_us == [NOW_US + DAY_US]


def test_event_ids_that_are_all_null_are_no_column() -> None:
    data = b'{"user_id":"a","item_id":"b","event_id":null,"recommendation_id":null}'
    assert at_once(Rows(data, None)) == NewInteractions(["a"], ["b"], ["interaction"], [1.0], [NOW_US])


def test_columns_with_every_field_are_read_at_once() -> None:
    fields = {name: [value, value] for name, value in FULL.items()}
    assert at_once(Columns(fields, microseconds=False)) == NewInteractions.of([FULL_ROW, FULL_ROW])


def test_columns_with_times_in_microseconds_are_read_at_once() -> None:
    fields = {
        "user_id": ["a", 5],
        "item_id": [1, "b"],
        "timestamp": [1_600_000_000_000_001, None],
        "event_id": [None, 3],
    }
    expected = NewInteractions(
        *(["a", "5"], ["1", "b"], ["interaction"] * 2, [1.0, 1.0], [1_600_000_000_000_001, NOW_US]),
        event_ids=[None, "3"],
    )
    assert at_once(Columns(fields, microseconds=True)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", None),
        ("user_id", 1.5),
        ("user_id", True),
        ("user_id", b"a"),
        ("user_id", ["a"]),
        ("user_id", ""),
        ("event_type", "Click"),
        ("event_type", 1),
        ("value", "1"),
        ("value", True),
        ("value", 0),
        ("value", float("nan")),
        ("timestamp", -1),
        ("timestamp", True),
        ("timestamp", NOW_US + DAY_US + 1),
        ("event_id", 1.0),
        ("event_id", ""),
        ("context", "x"),
        ("context", {"a": []}),
        ("context", {"a": 2**20_000}),
    ],
)
def test_columns_with_anything_wrong_are_not_read_at_once(name: str, value: object) -> None:
    fields: dict[str, list[Any]] = {"user_id": ["a", "b"], "item_id": ["c", "d"]}
    assert at_once(Columns(fields, microseconds=True)) is not None
    good = fields.get(name, [None, None])[0]
    assert at_once(Columns(fields | {name: [good, value]}, microseconds=True)) is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"user_id":"a","item_id":"b"} \n{"user_id":"a","item_id":"b"}\n',
        b'{"user_id":"a","item_id":"b"}\n\n{"user_id":"a","item_id":"b"}\n',
        b'{"user_id":"a\\"","item_id":"b"}\n',
    ],
)
def test_unusual_json_lines_that_are_right_are_left_to_be_read_one_by_one(data: bytes) -> None:
    assert row_by_row(data, "ndjson") is not None
    assert at_once(Rows(data, None)) is None


@pytest.mark.parametrize(
    "rows",
    [
        Rows(b'{"user_id":"a","item_id":"b","context":null}\n', None),
        Rows(b"a,b,null\n", ("user_id", "item_id", "context")),
    ],
    ids=["json", "csv"],
)
def test_a_column_of_which_no_row_has_anything_is_none(rows: Rows) -> None:
    found = at_once(rows)
    assert found is not None
    assert found.contexts is None


TWO = st.integers(0, 61).map("{:02}".format)
YEARS = st.one_of(st.integers(1969, 2030), st.sampled_from([0, 1, 1900, 2000, 2100, 9999])).map("{:04}".format)
MONTHS = st.integers(0, 13).map("{:02}".format)
DAYS = st.sampled_from([0, 1, 15, 28, 28, 29, 30, 31, 32]).map("{:02}".format)
HOURS = st.integers(0, 24).map("{:02}".format)
ZONES = st.sampled_from(["Z", "Z", "z", "+00:00", "-01:30", "+23:59", "+24:00", "", "+0100"])
ANY_TIMES = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    *(YEARS, MONTHS, DAYS, st.sampled_from("Tt _"), HOURS, TWO, TWO),
    st.sampled_from(["", "", ".0", ".5", ".", ".123456", ".1234567890", ",5"]),
    ZONES,
)


@st.composite
def like_times(draw: st.DrawFn) -> str:
    """A text of which one character is another one."""
    text: str = draw(ANY_TIMES)
    place = draw(st.integers(0, len(text) - 1))
    return text[:place] + draw(st.sampled_from(["0", "9", "/", ":", "-", "Z", " ", "é", "٣", "\n"])) + text[place + 1 :]


@st.composite
def right_times(draw: st.DrawFn) -> list[str]:
    """Times of one form."""
    digits = draw(st.integers(0, 10))
    zone = draw(st.sampled_from(["Z", "Z", "z", "+00:00", "-01:30"]))
    seconds = draw(st.lists(st.integers(86_400, 253_402_300_799 - 86_400), min_size=1, max_size=5))
    fractions = draw(st.lists(st.integers(0, 10**digits - 1), min_size=len(seconds), max_size=len(seconds)))
    texts = []
    for second, fraction in zip(seconds, fractions, strict=True):
        point = f".{fraction:0{digits}d}" if digits else ""
        texts.append(f"{np.datetime64(second, 's')}{point}{zone}")
    return texts


@settings(max_examples=150, deadline=None)
@given(right_times())
def test_many_times_are_what_they_are_one_by_one(texts: list[str]) -> None:
    found = times_us(texts)
    assert (found.dtype, found.tolist()) == (np.int64, list(map(timestamp_us, texts)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(ANY_TIMES, like_times(), right_times().map(lambda some: some[0])), min_size=1, max_size=3))
@example(["2021-02-31T00:00:00Z"])
@example(["2021-03-04T05:06:07.Z"])
@example(["1969-12-31T23:59:59Z"])
def test_many_times_of_which_any_is_none_are_refused(texts: list[str]) -> None:
    try:
        expected = list(map(timestamp_us, texts))
    except ValueError:
        with pytest.raises(ValueError):
            times_us(texts)
        return
    try:
        assert times_us(texts).tolist() == expected
    except ValueError:
        assert any(":60" in text for text in texts)  # of leap seconds it may say that it does not know


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2025-01-31T12:00:00Z", "1970-01-01T00:00:00Z"], [NOW_US, 0]),
        (["2024-02-29t23:59:59.999999999z"], [1_709_251_199_999_999]),
        (["2025-01-31 12:00:00.000001Z", "2025-01-31T12:00:00.100000Z"], [NOW_US + 1, NOW_US + 100_000]),
        (["9999-12-31T23:59:59Z"], [253_402_300_799_000_000]),
        (["2025-01-31T13:00:00+01:00", "2025-01-31T12:00:00Z"], [NOW_US, NOW_US]),
    ],
)
def test_many_times_are_in_microseconds(texts: list[str], expected: list[int]) -> None:
    assert times_us(texts).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-31T24:00:00Z",
        "2025-01-31T12:60:00Z",
        "2025-01-31T12:00:61Z",
        "2025-13-31T12:00:00Z",
        "2025-00-31T12:00:00Z",
        "2025-01-00T12:00:00Z",
        "2025-04-31T12:00:00Z",
        "2023-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2o25-01-31T12:00:00Z",
        "2025-01-31T1:200:00Z",
        "2025-01-31T12:00:0/Z",
        "2025-01-31_12:00:00Z",
        "2025/01/31T12:00:00Z",
        "2025-01-31T12:00:00.1x3Z",
        "2025-01-31T12:00:00.1:3Z",
        "2025-01-31T12:00:00,123Z",
        "2025-01-31T12:00:00.Z",
        "2025-01-31T12:00:00.123",
        "2025-01-31T12:00:00ZZ",
        "2025-01-31T12:00:00",
        "２025-01-31T12:00:00Z",
        "",
    ],
)
def test_a_text_that_is_no_time_is_refused_also_beside_others(text: str) -> None:
    right = "2025-01-31T12:00:00.123456789"[: len(text) - 1] + "Z"
    for texts in (
        [text],
        [text, text],
        [right, text],
        [text, "2025-01-31T12:00:00Z"],
        ["2025-01-31T12:00:00+01:00", text],
    ):
        with pytest.raises(ValueError):
            times_us(texts)
