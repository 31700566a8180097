from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import Store, StoreBusy, StoreConflict, StoreLocked, StoreUnavailable, open_store
from app.db.interactions import Appended
from app.db.migrate import upgrade
from app.db.writer import InteractionWriter
from tests.app.db.rows import held_open, row, store_rows

# A lone surrogate cannot be encoded: no driver takes it, whichever database is behind.
POISON = row("\ud800")


def ignore(appended: Appended) -> None:
    assert appended.accepted >= 0


@contextmanager
def running(
    store: Store, *, on_commit: Callable[[Appended], None] = ignore, max_pending: int = 10_000
) -> Iterator[InteractionWriter]:
    writer = InteractionWriter(store, on_commit=on_commit, max_pending=max_pending)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop(10)


@contextmanager
def blocked(store: Store) -> Iterator[None]:
    """Nothing can be written meanwhile."""
    with store.write() as connection:
        if store.dialect == "postgresql":
            connection.exec_driver_sql("LOCK TABLE interactions IN EXCLUSIVE MODE")
        yield


def user_ids(store: Store) -> list[str]:
    query = sa.select(tables.users.c.user_id).join(tables.interactions).order_by(tables.interactions.c.id)
    with store.read() as connection:
        return list(connection.scalars(query))


class Commits:
    """Counts the transactions that an engine commits."""

    def __init__(self, store: Store) -> None:
        self.count = 0
        sa.event.listen(store.engine, "commit", self._note)

    def _note(self, connection: sa.Connection) -> None:
        self.count += 1


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_a_future_resolves_when_the_rows_are_committed(store: Store) -> None:
    with running(store) as writer:
        appended = writer.submit([row("a"), row("b")], received_us=1).result(10)
        assert user_ids(store) == ["a", "b"]
    assert appended.accepted == 2


def test_on_commit_has_the_same_outcome_before_the_future_does_and_after_the_commit(store: Store) -> None:
    seen: list[tuple[Appended, list[str]]] = []
    with running(store, on_commit=lambda appended: seen.append((appended, user_ids(store)))) as writer:
        appended = writer.submit([row("a")], received_us=1).result(10)
        assert seen == [(appended, ["a"])]


def test_those_who_wait_share_a_transaction_and_each_has_an_outcome(store: Store) -> None:
    with running(store) as writer:
        with blocked(store):
            first = writer.submit([row("a")], received_us=1)
            wait_until(first.running)
            others = [writer.submit([row(name, event_id="e"), row(name)], received_us=1) for name in "bcde"]
        commits = Commits(store)
        outcomes = [future.result(10) for future in others]
    assert commits.count <= 2
    assert [(one.accepted, one.duplicates) for one in outcomes] == [(2, 0), (1, 1), (1, 1), (1, 1)]
    assert [list(one.user_ids.values()) for one in outcomes] == [["b"], ["c"], ["d"], ["e"]]
    assert user_ids(store) == ["a", "b", "b", "c", "d", "e"]


def test_one_that_cannot_be_stored_hurts_only_itself(store: Store) -> None:
    with running(store) as writer:
        with blocked(store):
            first = writer.submit([row("a")], received_us=1)
            wait_until(first.running)
            good = writer.submit([row("b")], received_us=1)
            bad = writer.submit([row("c"), POISON], received_us=1)
            late = writer.submit([row("d")], received_us=1)
        assert [future.result(10).accepted for future in (good, late)] == [1, 1]
        with pytest.raises(UnicodeEncodeError):
            bad.result(10)
    assert user_ids(store) == ["a", "b", "d"]


def test_more_than_may_wait_is_refused_at_once_and_taken_again_later(store: Store) -> None:
    with running(store, max_pending=3) as writer:
        with blocked(store):
            first = writer.submit([row("a"), row("b")], received_us=1)
            with pytest.raises(StoreBusy, match="limit is 3"):
                writer.submit([row("c"), row("d")], received_us=1)
            second = writer.submit([row("e")], received_us=1)
        assert (first.result(10).accepted, second.result(10).accepted) == (2, 1)
        wait_until(lambda: writer.pending_rows == 0)
        assert writer.submit([row("f")] * 5, received_us=1).result(10).accepted == 5


def test_one_that_is_cancelled_before_its_turn_is_not_stored(store: Store) -> None:
    with running(store) as writer:
        with blocked(store):
            first = writer.submit([row("a")], received_us=1)
            wait_until(first.running)
            second = writer.submit([row("b")], received_us=1)
            assert second.cancel()
        writer.submit([row("c")], received_us=1).result(10)
    assert user_ids(store) == ["a", "c"]


def test_an_on_commit_that_fails_does_not_unsay_the_commit(store: Store) -> None:
    def fail(appended: Appended) -> None:
        raise LookupError("no such history")

    with running(store, on_commit=fail) as writer:
        assert writer.submit([row("a")], received_us=1).result(10).accepted == 1
        assert writer.submit([row("b")], received_us=1).result(10).accepted == 1


def test_stopping_stores_what_waits_and_takes_no_more(store: Store) -> None:
    with running(store) as writer:
        with blocked(store):
            futures = [writer.submit([row(str(n))], received_us=1) for n in range(5)]
            stopping = threading.Thread(target=writer.stop)
            stopping.start()
            wait_until(lambda: refuses(writer))
        stopping.join(10)
        assert [future.result(0).accepted for future in futures] == [1] * 5
    assert user_ids(store) == [str(n) for n in range(5)]


def refuses(writer: InteractionWriter) -> bool:
    try:
        writer.submit([], received_us=1)
    except StoreUnavailable:
        return True
    return False


def test_what_cannot_be_stored_before_the_end_fails(store: Store) -> None:
    with running(store) as writer, blocked(store):
        first = writer.submit([row("a")], received_us=1)
        wait_until(first.running)
        second = writer.submit([row("b")], received_us=1)
        writer.stop(0.05)
        with pytest.raises(StoreUnavailable, match="stopped"):
            second.result(0)


def test_before_it_starts_it_takes_nothing(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        InteractionWriter(store, on_commit=ignore).submit([row()], received_us=1)


def test_while_the_store_is_away_uploads_fail_and_go_on_after(store: Store) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    hasty = open_store(url, deadline_seconds=0.3)
    try:
        with running(hasty) as writer:
            with blocked(store):
                started = time.monotonic()
                futures = [writer.submit([row(str(n))], received_us=1) for n in range(3)]
                for future in futures:
                    with pytest.raises(StoreUnavailable):
                        future.result(10)
                assert time.monotonic() - started < 3
            assert writer.submit([row("back")], received_us=1).result(10).accepted == 1
    finally:
        hasty.dispose()
    assert user_ids(store) == ["back"]


class Quarrelsome(Store):
    """A store whose next transactions are undone in favour of others."""

    def __init__(self, store: Store, *, conflicts: int) -> None:
        super().__init__(store.engine)
        self.conflicts = conflicts

    @contextmanager
    def write(self, **options: Any) -> Iterator[sa.Connection]:
        with super().write(**options) as connection:
            yield connection
            if self.conflicts:
                self.conflicts -= 1
                raise StoreConflict("another one went first")


def test_a_transaction_undone_in_favour_of_another_is_tried_again(store: Store) -> None:
    with running(Quarrelsome(store, conflicts=2)) as writer:
        assert writer.submit([row("a")], received_us=1).result(10).accepted == 1
    assert user_ids(store) == ["a"]


def test_one_that_is_undone_again_and_again_is_given_up(store: Store) -> None:
    quarrelsome = Quarrelsome(store, conflicts=3)
    with running(quarrelsome) as writer:
        with pytest.raises(StoreConflict):
            writer.submit([row("a")], received_us=1).result(10)
        assert writer.submit([row("b")], received_us=1).result(10).accepted == 1
    assert user_ids(store) == ["b"]


@pytest.mark.postgres
def test_connections_that_the_server_ended_cost_at_most_the_upload_under_way(postgres_store: Store) -> None:
    with running(postgres_store) as writer:
        writer.submit([row("a")], received_us=1).result(10)
        url = postgres_store.engine.url.render_as_string(hide_password=False)
        other = open_store(url)
        with other.write() as killer:
            killer.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        other.dispose()
        writer.submit([row("b")], received_us=1).result(10)
    assert user_ids(postgres_store) == ["a", "b"]


@pytest.mark.postgres
def test_one_whose_event_a_long_upload_holds_does_not_keep_the_others_waiting(postgres_store: Store) -> None:
    store_rows(postgres_store, [row("known")])
    with running(postgres_store) as writer:
        with held_open(postgres_store, row("known", event_id="1"), row("known", event_id="2")):
            late = [writer.submit([row("known", event_id=one)], received_us=1) for one in ("1", "2")]
            others = [writer.submit([row(f"other {n}")], received_us=1) for n in range(20)]
            assert [one.result(10).accepted for one in others] == [1] * 20
            for one in late:
                with pytest.raises(StoreLocked):
                    one.result(10)
        again = writer.submit([row("known", event_id="1")], received_us=1).result(10)
        assert (again.accepted, again.duplicates) == (0, 1)


@pytest.mark.postgres
@pytest.mark.parametrize("same_connection", [True, False])
def test_keys_of_a_store_that_was_restored_meanwhile_are_nobody_elses(
    postgres_store: Store, same_connection: bool
) -> None:
    with running(postgres_store) as writer:
        writer.submit([row("ann"), row("bob")], received_us=1).result(10)
        with postgres_store.write() as connection:
            schema = connection.scalar(sa.text("SELECT current_schema()"))
            connection.exec_driver_sql(f'DROP SCHEMA "{schema}" CASCADE')
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        upgrade(postgres_store)
        if not same_connection:
            postgres_store.dispose()
        store_rows(postgres_store, [row("eve"), row("mallory")])
        assert writer.submit([row("bob")], received_us=2).result(10).accepted == 1
        assert writer.submit([row("bob"), row("ann")], received_us=2).result(10).accepted == 2
    assert user_ids(postgres_store) == ["eve", "mallory", "bob", "bob", "ann"]
