from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from app.db import interactions, items, tables, users
from app.db.append import NewInteraction
from app.db.bulk import BulkAppend
from app.db.engine import Store, StoreConflict
from app.db.items import NewItem
from app.db.new_interactions import NewInteractions
from app.importing.files import RecordFile
from app.importing.items import SpooledItem
from app.importing.kinds import INTERACTIONS, ITEMS
from app.importing.load import ImportReport, Storing, load
from app.importing.spool import Spool
from app.importing.storing import (
    ITEMS_OF_A_TRANSACTION,
    POSTGRES_ROWS,
    SQLITE_ROWS,
    SQLITE_ROWS_STAGED,
    store_interactions,
    store_items,
)

NOW_US = 1_700_000_000_000_000
Check = Callable[[], None]


class GivenUp(Exception):
    """What a check raises."""


def on_call(number: int, do: Check) -> Check:
    """A check that does something when it is called for the so-manieth time."""
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            do()

    return check


def give_up() -> None:
    raise GivenUp


def nothing() -> None:
    """Checks nothing."""


def put(
    store: Store,
    parts: list[NewInteractions],
    folder: Path,
    *,
    whole: bool,
    check: Check = nothing,
    report: ImportReport | None = None,
) -> ImportReport:
    """Store parts that were checked. The report is for those who need it also where this raises."""
    report = ImportReport() if report is None else report
    with Spool(folder / "spool", NewInteractions) as spool:
        for part in parts:
            spool.add(part)
        store_interactions(Storing(store, spool, NOW_US, whole, report.count, lambda _: None, check))
    return report


def lot(rows: int, event_id: str, user_id: str = "ann", *, item_id: str = "film", at: int = 1) -> NewInteractions:
    """As many rows as are written together, all of one event: one row is stored, and it is quick."""
    return NewInteractions(
        *([user_id] * rows, [item_id] * rows, ["click"] * rows, [1.0] * rows, [at] * rows), event_ids=[event_id] * rows
    )


def with_a_long_log(store: Store, rows: int = 100_000_000) -> Store:
    """An embedded store whose log has had so many rows: the next load is not its first."""
    if store.dialect == "sqlite":
        sequence = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
        with store.write() as connection:
            connection.execute(sa.insert(sequence).values(name="interactions", seq=rows))
    return store


def stored(store: Store) -> list[NewInteraction]:
    """The log in its order."""
    t, names = tables.interactions.c, tables.users.c.user_id
    query = (
        sa.select(names, tables.items.c.item_id, t.event_type, t.value, t.occurred_us)
        .add_columns(t.event_id, t.recommendation_id, t.context)
        .select_from(tables.interactions.join(tables.users).join(tables.items))
        .order_by(t.id)
    )
    with store.read() as connection:
        return [NewInteraction(*row) for row in connection.execute(query)]


def in_any_order(rows: list[NewInteraction]) -> list[NewInteraction]:
    return sorted(rows, key=repr)


def known_users(store: Store) -> int:
    with store.read() as connection:
        return users.count(connection)


def erase(store: Store, user_id: str) -> None:
    """Take a user away with everything that they did."""
    with store.write() as connection:
        key = sa.select(tables.users.c.user_key).where(tables.users.c.user_id == user_id).scalar_subquery()
        connection.execute(sa.delete(tables.interactions).where(tables.interactions.c.user_key == key))
        assert connection.execute(sa.delete(tables.users).where(tables.users.c.user_id == user_id)).rowcount == 1


class Way(NamedTuple):
    """Whether all is to be one transaction, and how many rows are written together."""

    whole: bool
    rows: int


@pytest.fixture(params=["whole", "first load", "in parts"])
def way(request: pytest.FixtureRequest, store: Store) -> Way:
    """Each of the ways that rows are stored in."""
    if request.param == "in parts":
        with_a_long_log(store)
    if store.dialect == "postgresql":
        return Way(request.param == "whole", POSTGRES_ROWS)
    return Way(request.param == "whole", SQLITE_ROWS if request.param == "in parts" else SQLITE_ROWS_STAGED)


def in_parts(store: Store) -> int:
    """Have each lot of the next load be a transaction of its own; how many rows a lot has."""
    return SQLITE_ROWS if with_a_long_log(store).dialect == "sqlite" else POSTGRES_ROWS


def loaded(store: Store, rows: list[dict[str, object]], folder: Path, *, whole: bool) -> ImportReport:
    data = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())
    with RecordFile(data, "a", format="ndjson", gzipped=False, columns=INTERACTIONS.columns) as source:
        return load(
            source, store, INTERACTIONS, on_error="abort", spool_folder=folder, clock=lambda: NOW_US, whole=whole
        )


def test_every_column_comes_back_as_it_was(store: Store, way: Way, tmp_path: Path) -> None:
    full = {"event_type": "buy", "value": 0.1, "timestamp": 5, "event_id": "e", "recommendation_id": "r"}
    rows: list[dict[str, object]] = [
        {"user_id": "ann", "item_id": "film", **full, "context": {"a": 1}},
        {"user_id": "bob", "item_id": "film"},
        {"user_id": "ann", "item_id": "play", "value": 1e6, "timestamp": "2020-01-01T00:00:00.000001Z"},
        {"user_id": "cid", "item_id": 7, "context": {}},
        {"user_id": "cid", "item_id": 7, "value": 5e-324, "event_id": 9},
        {"user_id": "cid", "item_id": 7, "recommendation_id": "r"},
    ]
    assert loaded(store, rows, tmp_path, whole=way.whole) == ImportReport(accepted=6)
    assert in_any_order(stored(store)) == in_any_order(
        [
            NewInteraction("ann", "film", "buy", 0.1, 5_000_000, "e", "r", '{"a":1}'),
            NewInteraction("bob", "film", "interaction", 1.0, NOW_US),
            NewInteraction("ann", "play", "interaction", 1e6, 1_577_836_800_000_001),
            NewInteraction("cid", "7", "interaction", 1.0, NOW_US, context="{}"),
            NewInteraction("cid", "7", "interaction", 5e-324, NOW_US, event_id="9"),
            NewInteraction("cid", "7", "interaction", 1.0, NOW_US, recommendation_id="r"),
        ]
    )
    with store.read() as connection:
        assert {row["received_us"] for row in interactions.page(connection, limit=9)} == {NOW_US}


AWKWARD = [r"\N", r"\n", r"\.", "\\", "\\\\", r"a\tb", r"\x41", r"\101", "NULL", "null", "N", "\\\\N"]
AWKWARD += ['"', "'", "''", '""', "'; --", "{a,b}", "{}", "%s", "%(a)s", "%", ":a", "$1", "?", "a,b", "a b", "[1]"]
AWKWARD += ["😀", "é", "e\u0301", "\u2028", "日本", "\u200b", "\ufeff", "0", "-1", "1e3", "x" * 256, "ä" * 256]


@pytest.mark.parametrize("events", [True, False], ids=["with event ids", "without"])
def test_ids_that_a_database_could_take_for_something_else_come_back_as_they_were(
    store: Store, way: Way, tmp_path: Path, events: bool
) -> None:
    rows = [
        NewInteraction(f"{text}", text, "a.b-c_d", 1.0, n, text if events else None, text, json.dumps({text: text}))
        for n, text in enumerate(AWKWARD)
    ]
    assert put(store, [NewInteractions.of(rows)], tmp_path, whole=way.whole) == ImportReport(accepted=len(rows))
    assert sorted(stored(store), key=lambda row: row.occurred_us) == rows


@pytest.mark.parametrize("events", [True, False], ids=["with event ids", "without"])
def test_contexts_with_controls_quotes_and_backslashes_come_back_as_they_were(
    store: Store, way: Way, tmp_path: Path, events: bool
) -> None:
    texts = [
        "a\tb",
        "a\nb",
        "a\r\nb",
        "\x00",
        "\b\f\x1f",
        "\x7f\x85",
        'a"b',
        "a\\b",
        "\\N",
        "\\.",
        "\n\\.\n",
        "\t\\N\t",
        "😀",
    ]
    rows: list[dict[str, object]] = [
        {"user_id": "ann", "item_id": n, "context": {text: text}} | ({"event_id": n} if events else {})
        for n, text in enumerate(texts)
    ]
    assert loaded(store, rows, tmp_path, whole=way.whole).accepted == len(texts)
    found = {row.item_id: json.loads(row.context or "") for row in stored(store)}
    assert found == {str(n): {text: text} for n, text in enumerate(texts)}


def test_of_rows_with_one_event_id_the_first_of_the_file_is_stored(store: Store, way: Way, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"user_id": "ann", "item_id": "film", "event_id": "e1", "timestamp": 1},
        {"user_id": "bob", "item_id": "film", "event_id": "e2", "timestamp": 2},
        {"user_id": "cid", "item_id": "film", "event_id": "e1", "timestamp": 3},
        {"user_id": "ann", "item_id": "film", "timestamp": 4},
        {"user_id": "ann", "item_id": "film", "timestamp": 4},
        {"user_id": "ann", "item_id": "film", "event_id": "e1", "timestamp": 1},
    ]
    assert loaded(store, rows, tmp_path, whole=way.whole) == ImportReport(accepted=4, duplicates=2)
    found = sorted((row.occurred_us // 1_000_000, row.user_id, row.event_id) for row in stored(store))
    assert found == [(1, "ann", "e1"), (2, "bob", "e2"), (4, "ann", None), (4, "ann", None)]


def test_an_event_id_that_the_store_knows_changes_nothing(store: Store, way: Way, tmp_path: Path) -> None:
    known = NewInteraction("ann", "film", "click", 1.0, 1, "e1", "r", "{}")
    with store.write() as connection:
        interactions.append(connection, [known], received_us=5)
    new = NewInteraction("bob", "play", "buy", 2.0, 2, "e2")
    part = NewInteractions.of([NewInteraction("bob", "play", "buy", 9.0, 9, "e1"), new])
    assert put(store, [part], tmp_path, whole=way.whole) == ImportReport(accepted=1, duplicates=1)
    assert stored(store) == [known, new]


def test_an_event_id_of_a_lot_before_changes_nothing(store: Store, way: Way, tmp_path: Path) -> None:
    parts = [lot(way.rows, "e1", "ann"), lot(1, "e2", "bob"), lot(1, "e1", "cid", item_id="play", at=9)]
    report = put(store, parts, tmp_path, whole=way.whole)
    assert report == ImportReport(accepted=2, duplicates=way.rows)
    found = [(row.user_id, row.item_id, row.event_id, row.occurred_us) for row in stored(store)]
    assert sorted(found) == [("ann", "film", "e1", 1), ("bob", "film", "e2", 1)]


def test_a_check_that_gives_up_in_the_middle_of_a_whole_load_leaves_no_row(store: Store, tmp_path: Path) -> None:
    report = ImportReport()
    parts = [lot(POSTGRES_ROWS, "e1", "ann"), lot(1, "e2", "bob")]
    with pytest.raises(GivenUp):
        put(store, parts, tmp_path, whole=True, check=on_call(2, give_up), report=report)
    assert (stored(store), report) == ([], ImportReport())
    # PostgreSQL gives keys in transactions of their own.
    assert known_users(store) == (0 if store.dialect == "sqlite" else 1)
    assert put(store, parts, tmp_path, whole=True).accepted == 2


def test_the_lots_before_a_check_gives_up_stay_where_each_is_a_transaction(store: Store, tmp_path: Path) -> None:
    rows = in_parts(store)
    report = ImportReport()
    parts = [lot(rows, "e1", "ann"), lot(1, "e2", "bob")]
    with pytest.raises(GivenUp):
        put(store, parts, tmp_path, whole=False, check=on_call(2, give_up), report=report)
    assert [row.event_id for row in stored(store)] == ["e1"]
    assert report == ImportReport(accepted=1, duplicates=rows - 1)
    assert put(store, parts, tmp_path, whole=False) == ImportReport(accepted=1, duplicates=rows)


def test_a_first_load_of_an_embedded_store_is_one_transaction_whatever_was_asked(
    sqlite_store: Store, tmp_path: Path
) -> None:
    report = ImportReport()
    parts = [lot(SQLITE_ROWS_STAGED, "e1"), lot(1, "e2")]
    with pytest.raises(GivenUp):
        put(sqlite_store, parts, tmp_path, whole=False, check=on_call(2, give_up), report=report)
    assert (stored(sqlite_store), report, known_users(sqlite_store)) == ([], ImportReport(), 0)


@pytest.mark.parametrize(("known", "seen"), [(SQLITE_ROWS + 1, [0, 0]), (SQLITE_ROWS + 2, [0, 1])])
def test_a_load_is_the_first_as_long_as_it_has_no_fewer_rows_than_the_log_ever_had(
    sqlite_store: Store, tmp_path: Path, known: int, seen: list[int]
) -> None:
    with_a_long_log(sqlite_store, known)
    found: list[int] = []
    parts = [lot(SQLITE_ROWS, "e1"), lot(1, "e2")]
    put(sqlite_store, parts, tmp_path, whole=False, check=lambda: found.append(len(stored(sqlite_store))))
    assert found == seen


def test_a_user_who_is_erased_between_two_lots_is_known_anew(store: Store, tmp_path: Path) -> None:
    rows = in_parts(store)
    parts = [lot(rows, "e1"), lot(1, "e2")]
    report = put(store, parts, tmp_path, whole=False, check=on_call(2, lambda: erase(store, "ann")))
    assert report == ImportReport(accepted=2, duplicates=rows - 1)
    assert [(row.user_id, row.event_id) for row in stored(store)] == [("ann", "e2")]
    assert known_users(store) == 1


def test_rows_of_others_in_the_lot_of_an_erased_user_are_stored_once(store: Store, tmp_path: Path) -> None:
    rows = in_parts(store)
    others = NewInteractions.of([NewInteraction("bob", f"i{n}", "click", 1.0, n) for n in range(150)])
    parts = [lot(rows, "e1"), others, lot(1, "e2"), others]
    report = put(store, parts, tmp_path, whole=False, check=on_call(2, lambda: erase(store, "ann")))
    assert report == ImportReport(accepted=302, duplicates=rows - 1)
    assert len([row for row in stored(store) if row.user_id == "bob"]) == 300
    assert [row.event_id for row in stored(store) if row.user_id == "ann"] == ["e2"]


@pytest.mark.postgres
def test_a_user_who_is_erased_in_the_middle_of_a_whole_load_undoes_it_all(
    postgres_store: Store, tmp_path: Path
) -> None:
    known = NewInteraction("zoe", "film", "click", 1.0, 1, "e1")
    with postgres_store.write() as connection:
        interactions.append(connection, [known], received_us=1)
    # Of ann's first event nothing is stored, so nothing holds her.
    parts = [lot(1, "e2", "bob"), lot(POSTGRES_ROWS, "e1"), lot(1, "e3")]
    with pytest.raises(StoreConflict, match="a user of this upload was erased while it was stored"):
        put(postgres_store, parts, tmp_path, whole=True, check=on_call(2, lambda: erase(postgres_store, "ann")))
    assert stored(postgres_store) == [known]
    assert put(postgres_store, parts, tmp_path, whole=True).accepted == 2


def items_by_user(rows: list[NewInteraction]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.user_id, []).append(row.item_id)
    return found


def test_the_rows_of_a_user_keep_the_order_of_the_file(store: Store, way: Way, tmp_path: Path) -> None:
    rows = [NewInteraction(f"u{n * 7 % 5}", f"i{n * 31 % 997}", "click", 1.0, 1) for n in range(1_000)]
    put(store, [NewInteractions.of(rows[:500]), NewInteractions.of(rows[500:])], tmp_path, whole=way.whole)
    assert items_by_user(stored(store)) == items_by_user(rows)


def test_many_rows_of_a_user_keep_the_order_of_the_file_as_well(sqlite_store: Store, tmp_path: Path) -> None:
    rows = [NewInteraction(f"u{n * 7 % 5}", f"i{n * 31 % 997}", "click", 1.0, 1) for n in range(25_000)]
    put(sqlite_store, [NewInteractions.of(rows)], tmp_path, whole=True)
    assert items_by_user(stored(sqlite_store)) == items_by_user(rows)


EVENTS_IN_DISORDER = [NewInteraction("ann", f"i{n}", "click", 1.0, 1, f"e{n * 31 % 97}") for n in range(90)]


@pytest.mark.parametrize("whole", [True, False])
def test_the_rows_of_a_user_keep_the_order_of_the_file_also_with_event_ids(
    sqlite_store: Store, tmp_path: Path, whole: bool
) -> None:
    put(sqlite_store, [NewInteractions.of(EVENTS_IN_DISORDER)], tmp_path, whole=whole)
    assert stored(sqlite_store) == EVENTS_IN_DISORDER


@pytest.mark.postgres
@pytest.mark.parametrize("whole", [True, False])
def test_the_rows_of_a_user_keep_the_order_of_the_file_also_with_event_ids_on_postgres(
    postgres_store: Store, tmp_path: Path, whole: bool
) -> None:
    put(postgres_store, [NewInteractions.of(EVENTS_IN_DISORDER)], tmp_path, whole=whole)
    assert stored(postgres_store) == EVENTS_IN_DISORDER


@pytest.mark.parametrize("rows", [1, 99, 100, 101, 250, 20_050])
@pytest.mark.parametrize("events", [True, False], ids=["with event ids", "without"])
def test_any_number_of_rows_is_stored(store: Store, tmp_path: Path, rows: int, events: bool) -> None:
    new = [NewInteraction(f"u{n % 7}", f"i{n % 11}", "click", 1.0, n, f"e{n}" if events else None) for n in range(rows)]
    assert put(store, [NewInteractions.of(new)], tmp_path, whole=True) == ImportReport(accepted=rows)
    assert sorted(stored(store), key=lambda row: row.occurred_us) == new


def test_columns_that_only_some_parts_have_are_those_of_their_rows(store: Store) -> None:
    parts = [
        [NewInteraction("ann", "a", "click", 1.0, 1)],
        [NewInteraction("bob", "b", "click", 1.0, 2, None, None, '{"n":2}')],
        [NewInteraction("cid", "c", "click", 1.0, 3, "e3"), NewInteraction("ann", "c", "click", 1.0, 4)],
        [NewInteraction("ann", "d", "click", 1.0, 5), NewInteraction("dan", "d", "click", 1.0, 6)],
        [NewInteraction("bob", "e", "click", 1.0, 7, "e7", "r7"), NewInteraction("bob", "e", "click", 1.0, 8, "e3")],
    ]
    new = BulkAppend(store, received_us=NOW_US)
    with store.write() as connection:
        accepted = sum(new.append(connection, NewInteractions.of(rows)) for rows in parts) + new.finish(connection)
    expected = [row for rows in parts for row in rows][:-1]
    assert accepted == len(expected)
    assert sorted(stored(store), key=lambda row: row.occurred_us) == expected


def test_what_is_finished_is_not_stored_again(store: Store) -> None:
    new = BulkAppend(store, received_us=NOW_US)
    row = NewInteractions.of([NewInteraction("ann", "film", "click", 1.0, 1)])
    with store.write() as connection:
        assert new.append(connection, row) + new.finish(connection) == 1
        assert new.finish(connection) == 0
        assert new.append(connection, row) + new.finish(connection) == 1
    assert len(stored(store)) == 2


@pytest.mark.slow
def test_more_rows_than_are_staged_and_more_users_than_are_kept_are_all_stored(
    sqlite_store: Store, tmp_path: Path
) -> None:
    rows, different = 420_000, 160_000
    parts = [
        NewInteractions(
            [f"u{n % different}" for n in range(start, start + 10_000)],
            [f"i{n % 100}" for n in range(start, start + 10_000)],
            *(["click"] * 10_000, [1.0] * 10_000, list(range(start, start + 10_000))),
        )
        for start in range(0, rows, 10_000)
    ]
    assert put(sqlite_store, parts, tmp_path, whole=True) == ImportReport(accepted=rows)
    with sqlite_store.read() as connection:
        right = connection.exec_driver_sql(
            "SELECT count(*) FROM interactions JOIN users USING (user_key) JOIN items USING (item_key)"
            " WHERE user_id = 'u' || (occurred_us % ?) AND item_id = 'i' || (occurred_us % 100)",
            (different,),
        )
        assert right.scalar() == rows
        assert users.count(connection) == different


def test_the_spool_leaves_no_file_behind(store: Store, tmp_path: Path) -> None:
    seen: list[list[Path]] = []
    folder = tmp_path / "spool"
    put(store, [lot(1, "e1")], tmp_path, whole=True, check=lambda: seen.append(list(folder.iterdir())))
    assert seen == [[]]
    assert list(folder.iterdir()) == []


def test_the_spool_leaves_no_file_behind_where_a_load_is_given_up(store: Store, tmp_path: Path) -> None:
    data = io.BytesIO(b"user_id,item_id\nann,film\n")
    folder = tmp_path / "deep" / "spool"
    source = RecordFile(data, "a", format="csv", gzipped=False, columns=INTERACTIONS.columns)
    with source, pytest.raises(GivenUp):
        load(
            source,
            store,
            INTERACTIONS,
            on_error="abort",
            spool_folder=folder,
            clock=lambda: NOW_US,
            check=on_call(2, give_up),
        )
    assert list(folder.iterdir()) == []
    assert stored(store) == []


def test_only_the_owner_may_look_into_the_folder_of_the_spool(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", NewInteractions):
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def number_of(store: Store, pragma: str) -> int:
    with store.write() as connection:
        return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())


@pytest.mark.parametrize("fails", [False, True])
def test_foreign_keys_are_checked_again_after_a_whole_load(sqlite_store: Store, tmp_path: Path, fails: bool) -> None:
    with pytest.raises(GivenUp) if fails else nullcontext():
        put(sqlite_store, [lot(1, "e1")], tmp_path, whole=True, check=give_up if fails else nothing)
    assert number_of(sqlite_store, "foreign_keys") == 1
    with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"), sqlite_store.write() as connection:
        connection.execute(
            sa.insert(tables.interactions).values(
                user_key=99, item_key=99, event_type="click", value=1.0, occurred_us=1, received_us=1
            )
        )


def test_foreign_keys_are_checked_for_those_who_read_meanwhile(sqlite_store: Store, tmp_path: Path) -> None:
    found: list[int] = []

    def check() -> None:
        with sqlite_store.read() as connection:
            found.append(connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one())

    put(sqlite_store, [lot(1, "e1")], tmp_path, whole=True, check=check)
    assert found == [1]


@pytest.mark.parametrize("fails", [False, True])
def test_the_cache_of_the_file_is_as_small_as_before_after_a_whole_load(
    sqlite_store: Store, tmp_path: Path, fails: bool
) -> None:
    before = number_of(sqlite_store, "cache_size")
    with pytest.raises(GivenUp) if fails else nullcontext():
        put(sqlite_store, [lot(1, "e1")], tmp_path, whole=True, check=give_up if fails else nothing)
    assert number_of(sqlite_store, "cache_size") == before == -2000


def put_items(store: Store, parts: list[list[NewItem]], folder: Path, *, whole: bool, check: Check) -> ImportReport:
    report = ImportReport()
    with Spool(folder, list[SpooledItem]) as spool:
        for part in parts:
            spool.add(list(map(SpooledItem.of, part)))
        with suppress(GivenUp):
            store_items(Storing(store, spool, NOW_US, whole, report.count, lambda _: None, check))
    return report


def titles(store: Store) -> dict[str, str | None]:
    with store.read() as connection:
        return {record.item_id: record.title for record in items.records(connection)}


@pytest.mark.parametrize("whole", [True, False])
def test_the_last_record_of_an_item_wins_across_lots(store: Store, tmp_path: Path, whole: bool) -> None:
    parts = [[NewItem("a", title=f"{n}")] * ITEMS_OF_A_TRANSACTION for n in range(3)] + [[NewItem("b")]]
    report = put_items(store, parts, tmp_path, whole=whole, check=nothing)
    assert report == ImportReport(accepted=3 * ITEMS_OF_A_TRANSACTION + 1)
    assert titles(store) == {"a": "2", "b": None}


@pytest.mark.parametrize(("whole", "left"), [(True, {}), (False, {"a": "0"})])
def test_items_of_a_load_that_is_given_up_stay_only_where_each_lot_is_a_transaction(
    store: Store, tmp_path: Path, whole: bool, left: dict[str, str | None]
) -> None:
    parts = [[NewItem(name, title="0")] * ITEMS_OF_A_TRANSACTION for name in ("a", "b")]
    report = put_items(store, parts, tmp_path, whole=whole, check=on_call(2, give_up))
    assert titles(store) == left
    assert report.accepted == len(left) * ITEMS_OF_A_TRANSACTION


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_metadata_with_integers_of_any_size_is_stored(sqlite_store: Store, tmp_path: Path, number: int) -> None:
    data = io.BytesIO(json.dumps({"item_id": "a", "metadata": {"n": number}}).encode())
    with RecordFile(data, "a", format="ndjson", gzipped=False, columns=ITEMS.columns) as source:
        report = load(source, sqlite_store, ITEMS, on_error="abort", spool_folder=tmp_path, clock=lambda: NOW_US)
    assert report == ImportReport(accepted=1)


IDS = st.sampled_from(["a", "b", "é", "\\N"])
OPTIONAL = st.none() | IDS
ROWS = st.builds(
    NewInteraction,
    *(IDS, IDS, st.sampled_from(["click", "view"]), st.floats(1e-9, 1e6), st.integers(0, 2**62), OPTIONAL, OPTIONAL),
    st.none() | st.just("{}"),
)


@given(st.lists(ROWS, max_size=8))
def test_columns_are_the_rows_that_they_were_made_of(rows: list[NewInteraction]) -> None:
    columns = NewInteractions.of(rows)
    assert (list(columns), len(columns)) == (rows, len(rows))
    assert (columns.event_ids is None) == all(row.event_id is None for row in rows)
    assert (columns.recommendation_ids is None) == all(row.recommendation_id is None for row in rows)
    assert (columns.contexts is None) == all(row.context is None for row in rows)


@given(st.lists(st.lists(ROWS, max_size=4), min_size=1, max_size=4))
def test_parts_that_are_joined_are_all_their_rows(parts: list[list[NewInteraction]]) -> None:
    whole = [row for rows in parts for row in rows]
    assert NewInteractions.joined(list(map(NewInteractions.of, parts))) == NewInteractions.of(whole)


@given(st.lists(ROWS, max_size=8))
def test_without_repeats_the_first_row_of_each_event_is_left_and_all_without_one(rows: list[NewInteraction]) -> None:
    found = list(NewInteractions.of(rows).without_repeats())
    first = [row for n, row in enumerate(rows) if row.event_id not in {one.event_id for one in rows[:n]} - {None}]
    assert found == first


@given(st.lists(st.lists(ROWS, max_size=4), max_size=4))
def test_a_spool_gives_the_batches_back_in_their_order_each_time(parts: list[list[NewInteraction]]) -> None:
    batches = list(map(NewInteractions.of, parts))
    with Spool(Path("/tmp"), NewInteractions) as spool:  # noqa: S108 - a file without a name
        for batch in batches:
            spool.add(batch)
        assert spool.rows == sum(map(len, parts))
        assert (list(spool), list(spool)) == (batches, batches)
