"""A replica that is given very many rows: in parts, in tables on the disk, the same as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.db import interactions
from app.db.engine import Store
from app.db.feed import FeedBatch, read_feed
from app.db.interactions import NewInteraction, delete_by_event_id
from app.db.watermark import START
from app.live import refresher
from app.live.mapped import mapped_arrays
from app.live.popularity import RecentPopularity
from app.live.rows import EventRows, RecentTable
from tests.app.live.replica import Replica
from tests.app.published import NOW_US, publish_model


def fill(store: Store, rows: int, *, start: int = 0) -> None:
    made = [
        NewInteraction(f"u{n % 7}", f"i{n % 11}", "view", 1.0, NOW_US + n, f"e{n}") for n in range(start, start + rows)
    ]
    with store.write() as connection:
        interactions.append(connection, made, received_us=NOW_US)


def test_parts_of_the_feed_bring_every_row_once_and_changes_last(store: Store) -> None:
    fill(store, 50)
    before = read_feed(store, START).watermark
    fill(store, 95, start=50)
    with store.write() as connection:
        delete_by_event_id(connection, "e60")
        delete_by_event_id(connection, "e140")

    ids: list[int] = []
    watermark, more, parts = before, True, 0
    while more:
        batch = read_feed(store, watermark, most_rows=20)
        ids += batch.rows.id.tolist()
        watermark, more = batch.watermark, batch.more
        parts += 1
        assert bool(batch.deleted) is not more  # what was taken back is told with the last part

    # Users of whom something was taken back are told whole, and not among the rows of the last part.
    told = [row.id for rows in batch.deleted.values() for row in rows]
    assert parts == (5 if store.dialect == "sqlite" else 6)  # there what is left comes after the parts
    assert len(ids) == len(set(ids))
    changed = {60 % 7, 140 % 7}
    assert {n + 1 for n in range(145) if n % 7 in changed and n not in (60, 140)} == set(told)
    assert {n + 1 for n in range(50, 145) if n % 7 not in changed} <= set(ids)
    assert read_feed(store, watermark, most_rows=20).rows.id.tolist() == []


def test_a_replica_that_starts_late_reads_all_of_a_large_log(store: Store, tmp_path: Path) -> None:
    fill(store, 500)
    late, whole = (Replica(store, tmp_path / "models", part_rows=rows) for rows in (60, 1_000))
    for replica in (late, whole):
        replica.refresher.poll()
    assert late.history.held.since_base() == whole.history.held.since_base() == 500
    for name in ("u0", "u3", "u6"):
        assert late.seen(name) == whole.seen(name)


def test_a_newer_base_and_very_many_rows_since_are_taken_up_in_parts_and_all_at_once(
    store: Store, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 50)
    replica = Replica(store, model_dir, part_rows=20)
    replica.refresher.poll()
    publish_model(store, model_dir)
    fill(store, 75, start=50)
    told: list[tuple[int, int]] = []

    def reading(*arguments: Any, **options: Any) -> FeedBatch:
        batch = read_feed(*arguments, **options)
        told.append((len(batch.rows), replica.history.held.since_base()))
        return batch

    monkeypatch.setattr(refresher, "read_feed", reading)
    replica.refresher.poll()
    assert max(rows for rows, _ in told) <= 20
    # What was held before goes on until all since the new base is read.
    assert {held for _, held in told[-3:]} == {125}
    assert (replica.history.base_name != "", replica.history.held.since_base()) == (True, 75)
    assert replica.seen("u3") == {f"i{n % 11}" for n in range(125) if n % 7 == 3}


def table(rows: int, *, users: int = 5) -> RecentTable:
    generator = np.random.default_rng(rows)
    made = EventRows(
        generator.integers(1, users + 1, rows),
        generator.integers(1, 9, rows),
        np.zeros(rows, dtype=np.int32),
        np.arange(rows, dtype=np.int64),
        np.ones(rows, dtype=np.float32),
    )
    return RecentTable(made, {f"user {key}": key for key in range(1, users + 1)})


def test_a_table_on_the_disk_is_the_same_and_leaves_no_file(tmp_path: Path) -> None:
    memory = table(200)
    disk = memory.on_disk(tmp_path / "spool")
    assert disk is not memory
    assert list((tmp_path / "spool").iterdir()) == []
    assert disk.named() == memory.named()
    for key in range(7):
        for one, other in zip(disk.events(key), memory.events(key), strict=True):
            np.testing.assert_array_equal(one, other)
    assert disk.user_key("user 3") == 3
    assert len(disk.without([3])) == len(memory.without([3])) < 200
    assert disk.since(150).size(1) == memory.since(150).size(1)


def test_where_no_file_can_be_made_the_table_stays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = table(20)
    assert memory.on_disk(tmp_path / "file" / "spool") is memory


def test_arrays_of_any_shape_and_of_none_are_mapped(tmp_path: Path) -> None:
    arrays = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "nothing": np.empty(0, dtype=np.int64),
        "bytes": np.array([1, 2, 3], dtype=np.uint8),
    }
    mapped = mapped_arrays(tmp_path, arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert (mapped[name].dtype, mapped[name].shape) == (array.dtype, array.shape)
    with pytest.raises(ValueError, match="read-only"):
        mapped["bytes"][0] = 9


@pytest.mark.parametrize("before", [0, 3, 40])
def test_popularity_of_many_events_is_that_of_one_after_another(before: int) -> None:
    generator = np.random.default_rng(3)
    keys, times = generator.integers(1, 20, 3_000), generator.integers(0, 10**9, 3_000)
    earlier = generator.integers(1, 20, before).tolist(), generator.integers(0, 2 * 10**9, before).tolist()
    first = list(zip(*earlier, strict=True))
    each, many = (RecentPopularity(half_life_us=2e5) for _ in range(2))
    for one in (each, many):
        one.add(first)
    each.add(zip(keys.tolist(), times.tolist(), strict=True))
    many.add_many(keys, times)
    for one, other in zip(each.counts(), many.counts(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
