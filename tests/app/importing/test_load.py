from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.db import interactions, items
from app.db.engine import Store
from app.importing.files import RecordFile
from app.importing.kinds import INTERACTIONS, ITEMS
from app.importing.load import LISTED_ERRORS, ImportReport, OnError, Phase, RowKind
from app.importing.load import load as load_source
from app.importing.records import BadFile

NOW_US = 1_700_000_000_000_000


def load(path: Path, store: Store, on_error: OnError = "abort", **options: Any) -> ImportReport:
    return load_kind(path, store, INTERACTIONS, on_error, **options)


def load_items(path: Path, store: Store, on_error: OnError = "abort") -> ImportReport:
    return load_kind(path, store, ITEMS, on_error)


def load_kind(path: Path, store: Store, kind: RowKind[Any, Any], on_error: OnError, **options: Any) -> ImportReport:
    with RecordFile.open(path, columns=kind.columns, required=kind.required) as source:
        spool = path.parent / "spool"
        return load_source(source, store, kind, on_error=on_error, spool_folder=spool, clock=lambda: NOW_US, **options)


def stored(store: Store) -> list[dict[str, object]]:
    with store.read() as connection:
        return interactions.page(connection, limit=500)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_column_arrives(store: Store, tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        "user_id,item_id,event_type,value,timestamp,event_id,recommendation_id,context\n"
        'ann,"a, b",purchase,2.5,2023-11-01T12:00:00+01:00,e1,r1,"{""page"": 3}"\n'
        "7,9,,,1698836400.25,,,\n",
    )
    assert load(path, store).accepted == 2
    second, first = stored(store)
    del first["id"], second["id"]
    assert first == {
        "user_id": "ann",
        "item_id": "a, b",
        "event_type": "purchase",
        "value": 2.5,
        "occurred_us": 1_698_836_400_000_000,
        "received_us": NOW_US,
        "event_id": "e1",
        "recommendation_id": "r1",
        "context": '{"page":3}',
    }
    assert (second["user_id"], second["event_type"], second["value"]) == ("7", "interaction", 1.0)
    assert second["occurred_us"] == 1_698_836_400_250_000


def test_csv_and_json_lines_mean_the_same(sqlite_store: Store, tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n}", "item_id": "é", "value": n + 0.5, "timestamp": 1_600_000_000 + n} for n in range(5)]
    load(written(tmp_path / "a.ndjson", "".join(json.dumps(row) + "\n" for row in rows)), sqlite_store)
    from_json = stored(sqlite_store)
    head = ",".join(rows[0])
    lines = [head, *(",".join(map(str, row.values())) for row in rows)]
    load(written(tmp_path / "a.csv", "\n".join(lines)), sqlite_store)
    both = stored(sqlite_store)
    assert len(both) == 2 * len(from_json)
    for row in both:
        del row["id"]
    assert both[::2] == both[1::2]


def test_a_bad_row_stores_nothing_and_is_named(store: Store, tmp_path: Path) -> None:
    good = "".join(f"u{n},i{n},1\n" for n in range(20_000))
    report = load(written(tmp_path / "a.csv", f"user_id,item_id,value\n{good}ann,x,-1\n,y,1\n"), store)
    assert [(error.line, error.code) for error in report.errors] == [(20_002, "value_range"), (20_003, "missing")]
    assert report.errors[0].detail.startswith("value: ")
    assert (report.accepted, report.rejected) == (0, 2)
    assert stored(store) == []


def test_the_rules_are_told_in_words_that_suit_a_cell(sqlite_store: Store, tmp_path: Path) -> None:
    (error,) = load(written(tmp_path / "a.csv", "user_id,item_id,value\na,b,two\n"), sqlite_store).errors
    assert (error.code, error.detail) == ("value_type", "value: a value is a number")


def test_a_bad_row_over_several_lines_names_them_all(sqlite_store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'user_id,item_id\nann,"x\nbob,y\ncid,z"\n')
    (error,) = load(path, sqlite_store).errors
    assert error.line == 2
    assert error.detail.startswith("lines 2 to 4: item_id: ")


def test_skip_stores_the_good_rows(sqlite_store: Store, tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.ndjson", '{"user_id":"a","item_id":"b"}\nnot json\n{"user_id":"a","item_id":"c","x":1}\n'
    )
    report = load(path, sqlite_store, "skip")
    assert (report.accepted, report.rejected) == (1, 2)
    assert [error.line for error in report.errors] == [2, 3]
    assert [row["item_id"] for row in stored(sqlite_store)] == ["b"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", '"1"', "true", "0", "1000001"])
def test_the_rules_are_those_of_the_upload(sqlite_store: Store, tmp_path: Path, value: str) -> None:
    path = written(tmp_path / "a.ndjson", f'{{"user_id":"a","item_id":"b","value":{value}}}')
    assert load(path, sqlite_store).rejected == 1
    assert stored(sqlite_store) == []


def test_the_same_file_twice_changes_nothing_when_rows_have_event_ids(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "user_id,item_id,event_id\n" + "".join(f"u,i{n},e{n}\n" for n in range(300)))
    assert load(path, store) == ImportReport(accepted=300)
    assert load(path, store) == ImportReport(duplicates=300)
    assert len(stored(store)) == 300


def test_a_hundred_errors_are_listed_and_all_are_counted(sqlite_store: Store, tmp_path: Path) -> None:
    report = load(written(tmp_path / "a.ndjson", "x\n" * 250), sqlite_store)
    assert (len(report.errors), report.rejected) == (LISTED_ERRORS, 250)


def test_nothing_is_stored_of_a_file_that_breaks_off(sqlite_store: Store, tmp_path: Path) -> None:
    rows = b"user_id,item_id\nx\n" + b"".join(b"u%d,i%d\n" % (n, n * 7919 % 1000) for n in range(30_000))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(rows, mtime=0)[:-1000])
    with pytest.raises(BadFile, match="ends in the middle"):
        load(path, sqlite_store, "skip")
    assert stored(sqlite_store) == []


def test_an_unknown_column_refuses_the_file_whatever_on_error_says(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="'rating' is not known"):
        load(written(tmp_path / "a.csv", "user_id,item_id,rating\na,b,5\n"), sqlite_store, "skip")


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_a_missing_column_refuses_the_file_instead_of_each_row(
    sqlite_store: Store, tmp_path: Path, column: str
) -> None:
    other = {"user_id": "item_id", "item_id": "user_id"}[column]
    with pytest.raises(BadFile, match=f"a.csv: line 1: the column {column} is missing"):
        load(written(tmp_path / "a.csv", f"{other}\na\nb\n"), sqlite_store, "skip")
    with pytest.raises(BadFile, match="the column item_id is missing"):
        load_items(written(tmp_path / "a.csv", "title\na\n"), sqlite_store, "skip")


def test_progress_reaches_the_end_of_the_file(sqlite_store: Store, tmp_path: Path) -> None:
    rows = "".join(f"user-of-some-length-{n},an-item-of-some-length\n" for n in range(25_000))
    path = written(tmp_path / "a.csv", f"user_id,item_id\n{rows}")
    told: list[tuple[Phase, int, int, int]] = []
    load(path, sqlite_store, on_progress=lambda *each: told.append(each))
    size = path.stat().st_size
    assert told[-1] == ("storing", 25_000, 25_000, 25_000)
    assert ("checking", size, size, 25_000) in told
    assert len([phase for phase, *_ in told if phase == "checking"]) > 2


def test_items_are_put_with_their_titles_and_categories(store: Store, tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        "item_id,title,categories,metadata,hidden\n"
        '1,"Alien (1979)",Horror|Sci-Fi,"{""year"": 1979}",false\n'
        "2,Heat,,,true\n",
    )
    assert load_items(path, store).accepted == 2
    with store.read() as connection:
        first, second = items.records(connection)
    assert (first.title, first.categories, first.metadata) == ("Alien (1979)", ("Horror", "Sci-Fi"), {"year": 1979})
    assert (second.title, second.categories, second.hidden) == ("Heat", (), True)


@pytest.mark.parametrize(
    "fields",
    [
        {"item_id": ""},
        {"item_id": "a", "title": "x" * 513},
        {"item_id": "a", "title": "a\nb"},
        {"item_id": "a", "title": 5},
        {"item_id": "a", "categories": [""]},
        {"item_id": "a", "categories": [1]},
        {"item_id": "a", "metadata": [1]},
        {"item_id": "a", "metadata": {"a": "x" * 20_000}},
        {"item_id": "a", "hidden": "yes"},
        {"item_id": "a", "unknown": 1},
        {"title": "no id"},
    ],
)
def test_a_bad_item_is_refused(sqlite_store: Store, tmp_path: Path, fields: dict[str, object]) -> None:
    report = load_items(written(tmp_path / "a.ndjson", json.dumps(fields)), sqlite_store)
    assert (report.accepted, report.rejected) == (0, 1)
    with sqlite_store.read() as connection:
        assert items.count(connection) == 0
