"""Which rows of the store become training rows, and with what weight."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from app.clock import MICROSECONDS
from app.db import interactions, tables, users
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.db.watermark import START
from app.training.dataset import Events, Positives, event_types_in_words, pairs, positives, read_events
from tests.app.training.conftest import START_US

Row = tuple[int, int, str, float, float]


def events(*rows: Row) -> Events:
    """Events from (user, item, type, value, seconds)."""
    types = sorted({row[2] for row in rows})
    return Events(
        user_keys=np.array([row[0] for row in rows], dtype=np.int64),
        item_keys=np.array([row[1] for row in rows], dtype=np.int64),
        event_codes=np.array([types.index(row[2]) for row in rows], dtype=np.uint16),
        event_types=tuple(types),
        values=np.array([row[3] for row in rows], dtype=np.float32),
        times_us=np.array([row[4] * MICROSECONDS for row in rows], dtype=np.int64),
        watermark=START,
    )


def kept(found: Positives) -> list[tuple[int, int, float]]:
    return list(zip(found.user_keys.tolist(), found.item_keys.tolist(), found.weights.tolist(), strict=True))


@pytest.mark.parametrize("range_rows", [1, 3, 4, 5, 100])
def test_ranges_of_any_size_read_the_same_rows_in_the_order_of_their_ids(store: Store, range_rows: int) -> None:
    rows = [
        NewInteraction("ann", "x", "click", 1.0, START_US + 5),
        NewInteraction("bob", "y", "purchase", 2.5, START_US + 3),
        NewInteraction("ann", "y", "click", 1.0, START_US + 4),
        NewInteraction("cid", "x", "click", 1.0, START_US),
    ]
    with store.write() as connection:
        stored = interactions.append(connection, rows, received_us=START_US).rows

    read = read_events(store, range_rows=range_rows)

    assert read.user_keys.tolist() == [row.user_key for row in stored]
    assert read.item_keys.tolist() == [row.item_key for row in stored]
    assert [read.event_types[code] for code in read.event_codes] == [row.event_type for row in rows]
    assert read.values.tolist() == [1.0, 2.5, 1.0, 1.0]
    assert read.times_us.tolist() == [row.occurred_us for row in rows]
    assert all(read.watermark.covers(row.id, row.xact) for row in stored)


def test_an_empty_store_gives_no_rows_and_no_pairs(sqlite_store: Store) -> None:
    read = read_events(sqlite_store)

    assert len(read) == len(positives(read, {"dislike": "hide"})) == len(pairs(positives(read, {}))) == 0


def test_rows_that_come_while_ranges_are_read_are_not_among_them(store: Store) -> None:
    def add(user_id: str) -> None:
        with store.write() as connection:
            row = NewInteraction(user_id, "x", "click", 1.0, START_US)
            interactions.append(connection, [row], received_us=START_US)

    for user_id in ("ann", "bob"):
        add(user_id)
    came: list[str] = []

    def meanwhile() -> None:
        came.append(f"late-{len(came)}")
        add(came[-1])

    read = read_events(store, range_rows=1, check=meanwhile)

    assert came
    with store.read() as connection:
        names = users.ids_of(connection, read.user_keys.tolist())
    assert sorted(names.values()) == ["ann", "bob"]


def test_an_event_weighs_its_value_times_the_weight_of_its_type_and_one_without_a_weight_one() -> None:
    found = positives(events((1, 1, "click", 1, 0), (1, 2, "purchase", 3, 0), (1, 3, "other", 2, 0)), {"purchase": 4.0})

    assert kept(found) == [(1, 1, 1.0), (1, 2, 12.0), (1, 3, 2.0)]


def test_the_same_user_item_and_type_within_a_minute_counts_once() -> None:
    found = positives(
        events(
            (1, 1, "click", 1, 0),
            (1, 1, "click", 1, 59),
            (1, 1, "click", 1, 119),
            (1, 1, "play", 1, 10),
            (1, 2, "click", 1, 10),
            (2, 1, "click", 1, 10),
        ),
        {},
    )

    assert kept(found) == [(1, 1, 1.0), (1, 1, 1.0), (1, 1, 1.0), (1, 2, 1.0), (2, 1, 1.0)]
    assert found.left_out["repeated_within_60_seconds"] == 1


def test_order_of_arrival_does_not_matter_for_what_counts_as_repeated() -> None:
    late = positives(events((1, 1, "click", 1, 30), (1, 1, "click", 1, 500), (1, 1, "click", 1, 0)), {})

    assert late.times_us.tolist() == [500 * MICROSECONDS, 0]


def test_a_hidden_pair_has_no_positive_until_it_is_chosen_again() -> None:
    found = positives(
        events(
            (1, 1, "click", 1, 0),
            (1, 1, "dislike", 1, 100),
            (1, 2, "click", 1, 0),
            (2, 1, "click", 1, 0),
            (3, 1, "dislike", 1, 100),
            (3, 1, "click", 1, 101),
        ),
        {"dislike": "hide"},
    )

    assert kept(found) == [(1, 2, 1.0), (2, 1, 1.0), (3, 1, 1.0)]
    assert found.left_out == {
        "hiding_events": 2,
        "hidden_by_them": 1,
        "repeated_within_60_seconds": 0,
        "of_users_far_beyond_others": 0,
    }


def test_a_pair_weighs_the_logarithm_of_its_events_and_the_mean_weight_is_one() -> None:
    found = pairs(
        positives(
            events((20, 7, "click", 3, 0), (10, 7, "click", 1, 0), (20, 5, "click", 1, 0), (20, 7, "click", 4, 900)), {}
        )
    )

    assert found.user_keys.tolist() == [10, 20]
    assert found.item_keys.tolist() == [5, 7]
    assert list(zip(found.user_numbers.tolist(), found.item_numbers.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 1)]
    np.testing.assert_allclose(found.weights, np.array([1.0, 1.0, 3.0]) / (5 / 3), rtol=1e-6)
    assert found.weights.dtype == np.float32


@pytest.mark.postgres
def test_rows_of_a_restored_dump_with_transaction_numbers_of_another_server_are_read(postgres_store: Store) -> None:
    with postgres_store.write() as connection:
        interactions.append(connection, [NewInteraction("u", "i", "click", 1.0, 1)], received_us=1)
        connection.execute(sa.update(tables.interactions).values(xact=5_000_000_000))

    assert len(read_events(postgres_store)) == 1


def test_values_too_small_to_be_added_to_one_still_weigh() -> None:
    found = pairs(positives(events((10, 7, "click", 2e-30, 0), (10, 5, "click", 1e-30, 0)), {}))

    np.testing.assert_allclose(found.weights, [2 / 3, 4 / 3], rtol=1e-6)


def test_values_beyond_the_99th_percentile_of_their_type_count_as_much_as_it() -> None:
    rows: list[Row] = [(1 + n, 1, "purchase", 1 + n % 5, 0) for n in range(1_000)]
    rows += [(2_000 + n, 1, "purchase", 500 + n, 0) for n in range(5)]
    rows += [(3_000 + n, 1, "click", 7 + n, 0) for n in range(50)]

    found = positives(events(*rows), {"purchase": 4.0})

    assert found.value_caps == {"purchase": 5.0}
    of_user = dict(zip(found.user_keys.tolist(), found.weights.tolist(), strict=True))
    assert [of_user[key] for key in (1, 5, 2_000, 2_004, 3_000, 3_049)] == [4.0, 20.0, 20.0, 20.0, 7.0, 56.0]


def test_users_with_twenty_times_as_much_as_nearly_all_others_are_no_people() -> None:
    rows: list[Row] = [(user, 1 + n, "click", 1, 0) for user in range(1, 301) for n in range(1 + user % 4)]
    rows += [(999, 1 + n, "click", 1, 0) for n in range(81)]
    rows += [(998, 1 + n, "click", 1, 0) for n in range(80)]

    found = positives(events(*rows), {})

    assert 999 not in found.user_keys
    assert (found.user_keys == 998).sum() == 80
    assert found.left_out["of_users_far_beyond_others"] == 81


def test_among_few_users_nobody_is_far_beyond_the_others() -> None:
    rows: list[Row] = [(user, 1, "click", 1, 0) for user in range(1, 100)]
    rows += [(999, 1 + n, "click", 1, 0) for n in range(5_000)]

    assert (positives(events(*rows), {}).user_keys == 999).sum() == 5_000


def test_all_that_a_user_chose_weighs_as_the_square_root_of_how_much_it_is_beyond_two_hundred() -> None:
    rows: list[Row] = [(1, 1 + n, "click", 1, 0) for n in range(200)]
    rows += [(2, 1 + n, "click", 1, 0) for n in range(800)]

    found = pairs(positives(events(*rows), {}))

    total = [float(found.weights[found.user_numbers == user].sum()) for user in (0, 1)]
    assert total[1] / total[0] == pytest.approx(2.0)


def test_a_training_tells_what_each_type_counted_for() -> None:
    rows = events(*[(1 + n, 1, "purchase", 1 + n % 7, 0) for n in range(2_000)], (1, 2, "dislike", 1, 0))
    found = positives(rows, {"purchase": 4.0, "dislike": "hide"})

    told = event_types_in_words(rows, found, {"purchase": 4.0, "dislike": "hide"})

    assert told == {
        "purchase": {"events": 2_000, "weight": 4.0, "value_cap": None},
        "dislike": {"events": 1, "weight": "hide", "value_cap": None},
    }
