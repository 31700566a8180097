"""Stores that hold the same give the same model, whatever keys they handed out and in which order rows came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.clock import now_us
from app.db import exports, interactions, items, users
from app.db.engine import Store, open_store
from app.db.interactions import NewInteraction
from app.db.migrate import upgrade
from app.exported import header, interactions_csv, interactions_ndjson
from app.importing.files import RecordFile
from app.importing.kinds import INTERACTIONS
from app.importing.load import load
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training.dataset import read_events
from app.training.loop import claim_training
from app.training.order_of_ids import ordered
from app.training.progress import no_progress
from app.training.run import run_training
from tests.app.training.conftest import START_US, two_tastes


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A second store, with another order of keys to come."""
    url = f"sqlite:///{tmp_path}/other.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = open_store(url)
    upgrade(made)
    yield made
    made.dispose()


def append(store: Store, rows: list[NewInteraction]) -> None:
    with store.write() as connection:
        interactions.append(connection, rows, received_us=START_US)


def trained(store: Store, folder: Path) -> dict[str, Any]:
    """What a training publishes, by ids."""
    settings = Settings(database_url="sqlite:///unused.db", model_dir=folder, device="cpu")
    claim = claim_training(settings, store, owner="test", clock=now_us, trigger="cli", config={"n_iter": 3})
    assert claim is not None
    snapshots = SnapshotStore(folder)
    outcome = run_training(
        settings, store, claim, snapshots=snapshots, on_progress=no_progress, should_stop=lambda: None
    )
    assert outcome.status == "succeeded", outcome
    (name,) = snapshots.names("model")
    served, _ = snapshots.load_model(name, store.store_id())
    with store.read() as connection:
        user_ids = users.ids_of(connection, served.user_keys.tolist())
        item_ids = items.ids_of(connection, served.item_keys.tolist())
    of_users = zip(served.user_keys.tolist(), served.user_vectors, served.history_sizes.tolist(), strict=True)
    assert outcome.metrics is not None
    return {
        "users": {user_ids[key]: (vector.tobytes(), size) for key, vector, size in of_users},
        "items": [item_ids[key] for key in served.item_keys.tolist()],
        "vectors": served.item_vectors.tobytes(),
        "biases": served.item_biases.tobytes(),
        "popularity": served.popularity.tobytes(),
        "betas": served.betas.tolist(),
        "map": served.fold_in_matrices.tobytes(),
        "policy": served.policy,
        "judged": outcome.metrics["ndcg@20"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_imported_into_an_empty_store_gives_the_same_model(
    store: Store, other: Store, tmp_path: Path, form: str
) -> None:
    rows = [
        NewInteraction(
            row.user_id,
            row.item_id,
            ("click", "play", "interaction")[place % 3],
            1.0 + place % 5 / 3,
            row.occurred_us + place % 7,
            event_id=f"e{place * 7919 % 1000}" if place % 2 else None,
            context='{"page":3,"text":"a \\"b\\" \\\\ c"}' if place % 5 == 0 else None,
        )
        for place, row in enumerate(two_tastes())
    ]
    # In lots, so that keys are handed out in an order that no import repeats; some rows go again.
    for start in range(0, len(rows), 97):
        append(store, rows[start : start + 97])
    with store.write() as connection:
        interactions.delete_by_event_id(connection, str(rows[41].event_id), now_us=START_US)
    file = tmp_path / f"all.{form}"
    pages = exports.all_interactions(store, rows=100)
    head = header(
        ("user_id", "item_id", "event_type", "value", "timestamp", "event_id", "recommendation_id", "context")
    )
    text = [interactions_csv(page) if form == "csv" else interactions_ndjson(page) for page in pages]
    file.write_bytes(b"".join([head, *text] if form == "csv" else text))

    with RecordFile.open(file, columns=INTERACTIONS.columns, required=INTERACTIONS.required) as source:
        report = load(source, other, INTERACTIONS, on_error="abort", spool_folder=tmp_path / "spool", clock=now_us)

    assert (report.accepted, report.rejected) == (len(rows) - 1, 0)
    again = [
        interactions_csv(page) if form == "csv" else interactions_ndjson(page)
        for page in exports.all_interactions(other)
    ]
    assert sorted(b"".join(again).splitlines()) == sorted(b"".join(text).splitlines())
    assert trained(store, tmp_path / "first") == trained(other, tmp_path / "second")


def test_rows_are_ordered_by_what_they_say(sqlite_store: Store) -> None:
    rows = [
        NewInteraction("b", "y", "play", 1.0, START_US + 5),
        NewInteraction("a", "z", "click", 2.0, START_US + 9),
        NewInteraction("b", "x", "click", 1.0, START_US + 5),
        NewInteraction("a", "x", "play", 1.0, START_US + 9),
        NewInteraction("B", "x", "click", 3.0, START_US + 5),
    ]
    append(sqlite_store, rows)

    read = read_events(sqlite_store)
    found = ordered(sqlite_store, read)

    with sqlite_store.read() as connection:
        user_ids, item_ids = users.ids_of(connection, range(9)), items.ids_of(connection, range(9))
    assert [user_ids[key] for key in found.user_keys.tolist()] == ["B", "a", "b"]
    assert [item_ids[key] for key in found.item_keys.tolist()] == ["x", "y", "z"]
    events = found.events
    assert events.user_keys.tolist() == [0, 1, 1, 2, 2]
    assert events.item_keys.tolist() == [0, 0, 2, 0, 1]
    assert [events.event_types[code] for code in events.event_codes] == ["click", "play", "click", "click", "play"]
    assert events.values.tolist() == [3.0, 1.0, 2.0, 1.0, 1.0]
    stored = found.as_stored()
    for column in ("user_keys", "item_keys", "values", "times_us"):
        assert getattr(stored, column).tolist() == getattr(read, column).tolist()
    assert [stored.event_types[code] for code in stored.event_codes] == [row.event_type for row in rows]


def test_a_user_who_is_gone_since_the_rows_were_read_is_left_out(sqlite_store: Store) -> None:
    append(sqlite_store, [NewInteraction(user, "x", "click", 1.0, START_US) for user in ("a", "b", "c")])
    events = read_events(sqlite_store)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DELETE FROM interactions WHERE user_key = 2")
        connection.exec_driver_sql("DELETE FROM users WHERE user_key = 2")

    found = ordered(sqlite_store, events)

    assert found.user_keys.tolist() == [1, 3]
    assert found.events.user_keys.tolist() == [0, 1]


def test_more_types_of_events_than_two_bytes_number_can_be_trained_on(sqlite_store: Store) -> None:
    rows = [NewInteraction(f"u{n % 50}", "x", f"type-{n}", 1.0, START_US + n) for n in range(66_000)]
    append(sqlite_store, rows)

    events = read_events(sqlite_store)

    assert len(events.event_types) == 66_000
    assert [events.event_types[code] for code in events.event_codes[-3:]] == ["type-65997", "type-65998", "type-65999"]
    assert np.unique(ordered(sqlite_store, events).events.event_codes).size == 66_000
