"""Exports of other programs, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.db import interactions, items
from app.db.engine import Store
from app.db.items import ItemRecord
from app.importing.files import RecordFile
from app.importing.kinds import INTERACTIONS, ITEMS
from app.importing.load import ImportReport, OnError, RowKind, load
from app.importing.presets import PRESETS
from app.importing.records import BadFile, BadLine, Preset

NOW_US = 1_700_000_000_000_000
KINDS: dict[str, RowKind[Any, Any]] = {"interactions": INTERACTIONS, "items": ITEMS}
# user, item, event type, value, time
Brief = tuple[str, str, str, float, int]


def loaded(
    store: Store, folder: Path, content: str | bytes, of: str, *, kind: str = "interactions", name: str = "a.csv"
) -> ImportReport:
    """What became of an export of `of`; bad rows are left out."""
    preset: Preset = getattr(PRESETS[of], kind)
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = KINDS[kind]
    skip: OnError = "skip"
    with RecordFile.open(path, columns=rows.columns, required=rows.required, preset=preset) as source:
        return load(source, store, rows, on_error=skip, spool_folder=folder / "spool", clock=lambda: NOW_US)


def logged(store: Store) -> list[Brief]:
    """The log, in the order of its times; what is of one time in that of its users."""
    names = ("user_id", "item_id", "event_type", "value", "occurred_us")
    with store.read() as connection:
        rows: list[Any] = [tuple(row[name] for name in names) for row in interactions.page(connection, limit=100)]
    return sorted(rows, key=lambda row: (row[4], row[0]))


def catalogue(store: Store) -> list[ItemRecord]:
    with store.read() as connection:
        return list(items.records(connection))


RATINGS = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,3.0,1260759179\n7,31,4.0,1260759200\n"


def test_ratings_of_movielens(sqlite_store: Store, tmp_path: Path) -> None:
    assert loaded(sqlite_store, tmp_path, RATINGS, "movielens") == ImportReport(accepted=3)
    assert logged(sqlite_store) == [
        ("1", "31", "interaction", 2.5, 1_260_759_144_000_000),
        ("1", "1029", "interaction", 3.0, 1_260_759_179_000_000),
        ("7", "31", "interaction", 4.0, 1_260_759_200_000_000),
    ]


def test_a_bad_rating_of_movielens_is_named_by_its_line_and_our_field(sqlite_store: Store, tmp_path: Path) -> None:
    report = loaded(sqlite_store, tmp_path, RATINGS + "8,31,0,1260759200\n", "movielens")
    assert (report.accepted, report.rejected) == (3, 1)
    assert (report.errors[0].line, report.errors[0].code) == (5, "value_range")
    assert report.errors[0].detail.startswith("value: ")


def test_movies_of_movielens(sqlite_store: Store, tmp_path: Path) -> None:
    movies = (
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Animation|Children\n"
        '11,"American President, The (1995)",Comedy\n'
        '6,"Misérables, Les (1995) ""uncut""",(no genres listed)\n'
    )
    assert loaded(sqlite_store, tmp_path, movies, "movielens", kind="items") == ImportReport(accepted=3)
    by_id = {item.item_id: (item.title, item.categories) for item in catalogue(sqlite_store)}
    assert by_id == {
        "1": ("Toy Story (1995)", ("Adventure", "Animation", "Children")),
        "11": ("American President, The (1995)", ("Comedy",)),
        "6": ('Misérables, Les (1995) "uncut"', ()),
    }


FEEDBACK = (
    "feedback_type,user_id,item_id,value,time_stamp,comment\n"
    "star,ann,repo:1,1,2020-01-01 01:01:01.000001999 +0000 UTC,\n"
    'Read Later,bob,repo:2,1,2020-01-01 01:01:02 +0000 UTC,"so, so"\n'
    "star,bob,repo:1,0,2020-01-01 04:01:03.5 +0300 MSK,\n"
    "star,cid,repo:1,1,0001-01-01 00:00:00 +0000 UTC,\n"
)


def test_feedback_of_gorse(sqlite_store: Store, tmp_path: Path) -> None:
    assert loaded(sqlite_store, tmp_path, FEEDBACK, "gorse") == ImportReport(accepted=4)
    assert logged(sqlite_store) == [
        ("ann", "repo:1", "star", 1.0, 1_577_840_461_000_001),
        ("bob", "repo:2", "read_later", 1.0, 1_577_840_462_000_000),
        ("bob", "repo:1", "star", 1.0, 1_577_840_463_500_000),
        ("cid", "repo:1", "star", 1.0, NOW_US),
    ]


@pytest.mark.parametrize(
    ("time", "us"),
    [
        ("2020-01-01 01:01:01.000000001 +0000 UTC", 1_577_840_461_000_000),
        ("2020-01-01 01:01:01.123456789 +0000 UTC", 1_577_840_461_123_456),
        ("2020-01-01 01:01:01 +0000 +0000", 1_577_840_461_000_000),
        ("2020-01-01 01:01:01 -0130 -0130", 1_577_845_861_000_000),
        ("2020-01-01 01:01:01 +0000", 1_577_840_461_000_000),
        ("2020-01-01T01:01:01Z", 1_577_840_461_000_000),
        ("0001-01-01 00:00:00 +0000 UTC", NOW_US),
        ("0001-01-01T00:00:00Z", NOW_US),
        ("", NOW_US),
    ],
)
def test_times_of_gorse(sqlite_store: Store, tmp_path: Path, time: str, us: int) -> None:
    content = f"feedback_type,user_id,item_id,time_stamp\nread,ann,film,{time}\n"
    assert loaded(sqlite_store, tmp_path, content, "gorse").accepted == 1
    assert logged(sqlite_store) == [("ann", "film", "read", 1.0, us)]


@pytest.mark.parametrize(
    ("time", "code"),
    [
        ("2020-02-31 01:01:01 +0000 UTC", "timestamp_format"),
        ("2020-01-01 01:01:01", "timestamp_offset"),
        ("2020-01-01 01:01:01.0000000001 +0000 UTC", "timestamp_format"),
        ("1960-01-01 01:01:01 +0000 UTC", "timestamp_past"),
        ("yesterday", "timestamp_format"),
    ],
)
def test_other_times_of_gorse_are_refused_by_our_rules(
    sqlite_store: Store, tmp_path: Path, time: str, code: str
) -> None:
    content = f"feedback_type,user_id,item_id,time_stamp\nread,ann,film,{time}\nread,ann,film,\n"
    report = loaded(sqlite_store, tmp_path, content, "gorse")
    assert [(error.line, error.code) for error in report.errors] == [(2, code)]
    assert report.accepted == 1


def test_feedback_of_gorse_from_its_rest_api(sqlite_store: Store, tmp_path: Path) -> None:
    rows = [
        {"FeedbackType": "star", "UserId": "ann", "ItemId": "film", "Timestamp": "2020-01-01T01:01:01Z", "Comment": ""},
        {"FeedbackType": "", "UserId": "bob", "ItemId": "film", "Timestamp": "0001-01-01T00:00:00Z", "Value": 0},
        {"FeedbackType": "Add To Cart", "UserId": 7, "ItemId": "film", "Timestamp": None},
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    assert loaded(sqlite_store, tmp_path, content, "gorse", name="a.jsonl") == ImportReport(accepted=3)
    assert logged(sqlite_store) == [
        ("ann", "film", "star", 1.0, 1_577_840_461_000_000),
        ("7", "film", "add_to_cart", 1.0, NOW_US),
        ("bob", "film", "interaction", 1.0, NOW_US),
    ]


def test_items_of_gorse(sqlite_store: Store, tmp_path: Path) -> None:
    content = (
        "item_id,is_hidden,categories,time_stamp,labels,description\n"
        'repo:1,false,python|web,2020-01-01 01:01:01 +0000 UTC,"{""topics"":[""a"",""b""]}","A text, that\n'
        'goes on"\n'
        "repo:2,true,,0001-01-01 00:00:00 +0000 UTC,,\n"
    )
    assert loaded(sqlite_store, tmp_path, content, "gorse", kind="items") == ImportReport(accepted=2)
    first, second = catalogue(sqlite_store)
    assert (first.item_id, first.hidden, first.categories) == ("repo:1", False, ("python", "web"))
    assert (first.title, first.metadata, first.available_from_us) == (None, {}, None)
    assert (second.item_id, second.hidden, second.categories) == ("repo:2", True, ())


def test_items_of_gorse_from_its_rest_api(sqlite_store: Store, tmp_path: Path) -> None:
    rows = [
        {"ItemId": "a", "IsHidden": True, "Categories": ["x", "y"], "Labels": {"a": [1]}, "Timestamp": "0001-01-01"},
        {"ItemId": "b", "IsHidden": False, "Categories": None, "Comment": "c"},
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    assert loaded(sqlite_store, tmp_path, content, "gorse", kind="items", name="a.ndjson").accepted == 2
    found = [(item.item_id, item.hidden, item.categories) for item in catalogue(sqlite_store)]
    assert found == [("a", True, ("x", "y")), ("b", False, ())]


PERSONALIZE = (
    "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP,RECOMMENDATION_ID,IMPRESSION,DEVICE\n"
    "u1,i1,Watch,0.5,1586731606,r1,i1|i2|i3,phone\n"
    "u1,i2,  Add To   Cart ,,1586731607,,,\n"
    "u2,i1,CLICK,3,,,,Desktop Computer\n"
)


def test_interactions_of_personalize(sqlite_store: Store, tmp_path: Path) -> None:
    assert loaded(sqlite_store, tmp_path, PERSONALIZE, "personalize") == ImportReport(accepted=3)
    assert logged(sqlite_store) == [
        ("u1", "i1", "watch", 0.5, 1_586_731_606_000_000),
        ("u1", "i2", "add_to_cart", 1.0, 1_586_731_607_000_000),
        ("u2", "i1", "click", 3.0, NOW_US),
    ]
    with sqlite_store.read() as connection:
        found = [(row["recommendation_id"], row["context"]) for row in interactions.page(connection, limit=9)]
    assert found == [(None, None), (None, None), ("r1", None)]


def test_an_event_type_of_personalize_that_cannot_be_one_of_ours_is_a_bad_row(
    sqlite_store: Store, tmp_path: Path
) -> None:
    content = "USER_ID,ITEM_ID,EVENT_TYPE\nu,i,Watch!\nu,i,Watch\n"
    report = loaded(sqlite_store, tmp_path, content, "personalize")
    assert [(error.line, error.code) for error in report.errors] == [(2, "event_type")]
    assert report.accepted == 1


@pytest.mark.parametrize("column", ["GENRES", "CATEGORY_L1"])
def test_items_of_personalize(sqlite_store: Store, tmp_path: Path, column: str) -> None:
    content = f"ITEM_ID,{column},CREATION_TIMESTAMP,PRICE\ni1,Action|Drama,1586731606,9.99\ni2,,,\n"
    assert loaded(sqlite_store, tmp_path, content, "personalize", kind="items") == ImportReport(accepted=2)
    found = [(item.item_id, item.categories, item.title) for item in catalogue(sqlite_store)]
    assert found == [("i1", ("Action", "Drama"), None), ("i2", (), None)]


@pytest.mark.parametrize(
    ("of", "kind", "header", "missing"),
    [
        ("movielens", "interactions", "movieId,rating", "userId"),
        ("movielens", "interactions", "userId,rating", "movieId"),
        ("movielens", "items", "title,genres", "movieId"),
        ("movielens", "interactions", "user_id,item_id", "userId"),
        ("gorse", "interactions", "user_id,feedback_type", "item_id"),
        ("gorse", "items", "is_hidden,labels", "item_id"),
        ("personalize", "interactions", "USER_ID,TIMESTAMP", "ITEM_ID"),
        ("personalize", "interactions", "user_id,item_id", "USER_ID"),
    ],
)
def test_a_missing_column_is_called_by_their_name(
    sqlite_store: Store, tmp_path: Path, of: str, kind: str, header: str, missing: str
) -> None:
    with pytest.raises(BadFile, match=f"^a.csv: line 1: the column {missing} is missing$"):
        loaded(sqlite_store, tmp_path, f"{header}\n1,2\n", of, kind=kind)


def test_two_columns_that_mean_the_same_refuse_the_file(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="two columns stand for user_id"):
        loaded(sqlite_store, tmp_path, "user_id,UserId,item_id\n1,2,3\n", "gorse")


def test_a_broken_row_of_a_preset_is_named_as_any_other(sqlite_store: Store, tmp_path: Path) -> None:
    report = loaded(sqlite_store, tmp_path, b"userId,movieId,x\n1,31\n1,31,\xff\n1,32,y\n", "movielens")
    assert report.errors == [
        BadLine(2, "csv_invalid", "the row has 2 cells, the header 3"),
        BadLine(3, "encoding", "the row is not valid UTF-8"),
    ]
    assert [row[:2] for row in logged(sqlite_store)] == [("1", "32")]


@pytest.mark.parametrize("of", PRESETS)
def test_what_a_preset_makes_of_columns_are_columns_of_ours(of: str) -> None:
    assert set(PRESETS[of].interactions.names.values()) <= set(INTERACTIONS.columns)
    assert set(PRESETS[of].items.names.values()) <= set(ITEMS.columns)
    assert set(PRESETS[of].interactions.cells) <= set(PRESETS[of].interactions.names.values())
    assert set(PRESETS[of].items.cells) <= set(PRESETS[of].items.names.values())
