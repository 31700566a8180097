from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from app.importing.files import RecordFile
from app.importing.lines import MAX_LINE_BYTES
from app.importing.records import BadFile, BadLine, Record
from app.importing.rows import number_or_text

COLUMNS = {"user_id": str, "value": number_or_text}


def read(path: Path) -> list[Record | BadLine]:
    with RecordFile.open(path, columns=COLUMNS) as records:
        return list(records)


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
def test_csv_rows_come_with_the_line_they_began_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b'user_id,value\nann,2\n"two\nlines",0.5\n\nbob,\n'
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    assert read(path) == [
        Record(2, {"user_id": "ann", "value": 2}),
        Record(3, {"user_id": "two\nlines", "value": 0.5}, last=4),
        Record(6, {"user_id": "bob"}),
    ]


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl", "a.ndjson.gz"])
def test_json_lines_come_with_their_line(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, b'{"user_id":"ann"}\r\n\n{"user_id":7}')
    assert read(path) == [Record(1, {"user_id": "ann"}), Record(3, {"user_id": 7})]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"\xef\xbb\xbfuser_id\nann\n")
    assert read(path) == [Record(2, {"user_id": "ann"})]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\xff", "encoding"),
        (b"[1]", "json_invalid"),
        (b'{"user_id":"a","user_id":"b"}', "duplicate_name"),
        (b'{"value":{"a":1,"a":2}}', "duplicate_name"),
        (b"{", "json_invalid"),
        (b"[" * 100_000, "json_invalid"),
        (b'{"value":' + b"9" * 5000 + b"}", "number_too_long"),
        (b'{"user_id":"' + b"x" * MAX_LINE_BYTES + b'"}', "line_too_long"),
    ],
)
def test_a_bad_json_line_is_named_and_the_next_one_read(tmp_path: Path, line: bytes, code: str) -> None:
    path = written(tmp_path, "a.ndjson", b'{"user_id":"a"}\n' + line + b'\n{"user_id":"b"}\n')
    before, bad, after = read(path)
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.code) == (2, code)
    assert before == Record(1, {"user_id": "a"})
    assert after == Record(3, {"user_id": "b"})


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"a\xff,1", "encoding"),
        (b"a", "csv_invalid"),
        (b"a,1,2", "csv_invalid"),
        (b'"a"x,1', "csv_invalid"),
        (b"a\x00,1", "csv_invalid"),
        (b"x" * 200_000 + b",1", "csv_invalid"),
        (b"x" * (2 * MAX_LINE_BYTES) + b",1", "line_too_long"),
    ],
)
def test_a_bad_csv_row_is_named_and_the_next_one_read(tmp_path: Path, row: bytes, code: str) -> None:
    path = written(tmp_path, "a.csv", b"user_id,value\n" + row + b"\nbob,1\n")
    bad, after = read(path)
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.code) == (2, code)
    assert after == Record(3, {"user_id": "bob", "value": 1})


@pytest.mark.parametrize("rows_after", [0, 3, 100_000])
def test_an_open_quote_costs_the_line_it_stands_on(tmp_path: Path, rows_after: int) -> None:
    path = written(tmp_path, "a.csv", b'user_id,value\n"ann,1\n' + b"bob,1\n" * rows_after)
    first, *rest = read(path)
    assert isinstance(first, BadLine)
    assert (first.line, first.code) == (2, "csv_invalid")
    assert "a quote that opens on this line is not closed" in first.detail
    assert rest == [Record(3 + n, {"user_id": "bob", "value": 1}) for n in range(rows_after)]


def test_a_row_over_several_lines_names_them_all(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b'user_id,value\n"a\nb\nc",1,2\nbob,1\n')
    assert read(path) == [
        BadLine(2, "csv_invalid", "lines 2 to 4: the row has 3 cells, the header 2"),
        Record(5, {"user_id": "bob", "value": 1}),
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"", "no header row"),
        (b"user,value\n", "'user' is not known"),
        (b"user_id,user_id\n", "two columns stand for user_id"),
        (b'"user_id\n', "header"),
        (b"user_id,value\rann,1\r", "carriage return"),
        (b'"user_id"x,value\n', "after a closing quote|between a closing quote"),
    ],
)
def test_a_wrong_header_refuses_the_file(tmp_path: Path, header: bytes, said: str) -> None:
    with pytest.raises(BadFile, match=f"^a.csv: line 1: .*{said}"):
        read(written(tmp_path, "a.csv", header))


def test_json_that_breaks_off_is_told_where(tmp_path: Path) -> None:
    (bad,) = read(written(tmp_path, "a.ndjson", b'{"user_id"\n'))
    assert isinstance(bad, BadLine)
    assert (bad.line, "column 11" in bad.detail) == (1, True)


def test_a_pipe_is_refused_in_words(tmp_path: Path) -> None:
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    writing = os.open(pipe, os.O_RDWR)  # so that nobody waits for the other end
    with pytest.raises(BadFile, match="it is a pipe"):
        read(pipe)
    os.close(writing)


@pytest.mark.parametrize("name", ["a.txt", "csv", "a.gz", "a.csv.zip"])
def test_a_name_that_says_no_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(BadFile, match=r"ends in none of"):
        read(tmp_path / name)


def damaged(packed: bytes) -> bytes:
    return packed[:-8] + b"\x00" * 4 + packed[-4:]  # another checksum


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"user_id\nann\n", "it is not a gzip file"),
        (b"\x1f", "it is not a gzip file"),
        (gzip.compress(b"user_id\nann\n", mtime=0)[:-6], "the compressed file ends in the middle"),
        (damaged(gzip.compress(b"user_id\nann\n", mtime=0)), "the compressed data is damaged"),
        (gzip.compress(b"user_id\nann\n", mtime=0) + b"more", "the compressed data is damaged"),
        (gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20, "the compressed data is damaged"),
    ],
    ids=["plain", "one byte", "cut off", "checksum", "more after it", "no deflate"],
)
def test_a_broken_gzip_is_refused_in_words_that_show_nothing_of_it(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"^a\.csv\.gz: {said}$"):
        read(path)


def test_the_position_ends_at_the_size(tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"user_id": f"user {n}"}).encode() + b"\n" for n in range(5000))
    with RecordFile.open(written(tmp_path, "a.ndjson.gz", lines), columns=COLUMNS) as records:
        assert records.position == 0
        assert len(list(records)) == 5000
        assert records.position == records.size


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1_0", "1_0"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("0x1", "0x1"),
    ],
)
def test_only_what_looks_like_a_number_is_one(cell: str, value: object) -> None:
    assert number_or_text(cell) == value
