"""One training, on both stores, from rows to the pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.clock import now_us
from app.db import items, models, tables, trainings, users
from app.db.engine import Store
from app.db.interactions import NewInteraction
from app.db.trainings import ClaimedTraining
from app.settings import Settings
from app.snapshots import SnapshotStore
from app.training import recipe
from app.training.lease import LOST
from app.training.loop import claim_training
from app.training.progress import no_progress
from app.training.recipe import Fitted
from app.training.run import TrainingOutcome, run_training
from model.candidates import Candidates
from model.user_factors import as_trained
from tests.app.training.conftest import GROUPS, START_US, USERS_OF_A_GROUP, two_tastes

Fill = Callable[[Store, list[NewInteraction]], None]


def claimed(settings: Settings, store: Store, config: Mapping[str, Any] | None = None) -> ClaimedTraining:
    claim = claim_training(settings, store, owner="test", clock=now_us, trigger="manual", config=config)
    assert claim is not None
    return claim


def run(settings: Settings, store: Store, snapshots: SnapshotStore, **changed: Any) -> TrainingOutcome:
    arguments: dict[str, Any] = {"on_progress": no_progress, "should_stop": lambda: None, **changed}
    return run_training(settings, store, claimed(settings, store), snapshots=snapshots, **arguments)


@pytest.mark.slow
def test_the_published_policy_tells_planted_groups_apart(
    sqlite_store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())

    outcome = run(settings, sqlite_store, snapshots)

    assert (outcome.status, outcome.version) == ("succeeded", 1), outcome
    with sqlite_store.read() as connection:
        active = models.active(connection)
        row = trainings.get(connection, outcome.training_id)
        assert active is not None
        assert row is not None
        user_ids = users.ids_of(connection, range(1, 1000))
        item_ids = items.ids_of(connection, range(1, 1000))
    assert (row.status, row.model_version, row.rows) == ("succeeded", 1, active.rows)
    served, snapshot = snapshots.load_model(active.folder, sqlite_store.store_id())
    assert snapshot.sha256 == active.manifest_sha256
    candidates, every = Candidates.as_trained(served), np.arange(served.num_items)
    right = 0
    for number, key in enumerate(served.user_keys.tolist()):
        listed = np.argsort(-candidates.scores(as_trained(served, number, None), every))[:5]
        group = user_ids[key].split("-")[0]
        right += sum(item_ids[int(served.item_keys[item])].startswith(group) for item in listed)
    assert right >= 0.95 * 5 * USERS_OF_A_GROUP * len(GROUPS)


def test_the_metrics_compare_the_policy_with_popularity_in_finite_numbers(
    sqlite_store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())

    claim = claimed(settings, sqlite_store, {"n_iter": 25})

    metrics = run_training(
        settings, sqlite_store, claim, snapshots=snapshots, on_progress=no_progress, should_stop=lambda: None
    ).metrics

    assert metrics is not None
    table = metrics["ndcg@20"]
    assert set(table) == {"policy", "popular_recent", "popular_all_time"}
    assert table["policy"] > max(table["popular_recent"], table["popular_all_time"])
    assert metrics["gain_over"]["popular_recent"]["low"] > 0
    assert metrics["users"] > 0
    assert metrics["cut_at"].endswith("Z")
    assert metrics["rows"] == len(two_tastes())
    assert set(metrics["seconds"]) == {"read", "choose", "judge", "refit", "total"}


def test_one_seed_gives_the_same_arrays_again(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    for _ in range(2):
        assert run(hurried, sqlite_store, snapshots).status == "succeeded"

    first, second = (
        snapshots.load_model(name, sqlite_store.store_id())[0].arrays() for name in snapshots.names("model")
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_history_of_the_same_training_holds_every_event_and_the_names(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    rows = [*two_tastes(), NewInteraction("red-0", "blue-item-0", "dislike", 1.0, START_US + 1)]
    fill(store, rows)
    with store.write() as connection:
        items.upsert_titles(connection, {"red-item-3": "Three"}, now_us=START_US)

    outcome = run(hurried, store, snapshots)

    found = snapshots.latest_history(store.store_id(), snapshots.names("history"))
    assert found is not None
    histories, watermark, _ = found
    assert len(histories) == len(rows)
    assert watermark == outcome.watermark
    user_key, item_key = histories.user_key("red-0"), histories.items.key("red-item-3")
    assert user_key is not None
    assert item_key is not None
    assert histories.items.title(item_key) == "Three"
    mine = histories.of_user(user_key)
    assert len(mine.item_keys) == sum(row.user_id == "red-0" for row in rows)
    assert histories.event_types[mine.event_codes[-1]] == "dislike"


def test_rows_that_come_during_the_training_are_beyond_its_watermark(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    came = [NewInteraction("late", "red-item-1", "interaction", 1.0, START_US)]

    def progress(phase: str, epoch: int, *_: object) -> None:
        if phase == "refit" and not epoch:
            fill(store, came)

    outcome = run(hurried, store, snapshots, on_progress=progress)

    assert (outcome.status, outcome.rows) == ("succeeded", len(two_tastes()))
    found = snapshots.latest_history(store.store_id(), snapshots.names("history"))
    assert found is not None
    assert found[0].user_key("late") is None


def test_too_little_data_is_skipped_and_the_numbers_are_told(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes()[:60])

    outcome = run(hurried, store, snapshots)

    assert (outcome.status, outcome.version, outcome.rows) == ("skipped", None, 60)
    assert outcome.reason == "too little to learn from: 60 of the 100 interactions needed"
    assert snapshots.names("model") == snapshots.names("history") == []


def test_too_little_data_says_what_was_left_out(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    rows = two_tastes()[:60]
    fill(sqlite_store, [*rows, *rows])

    outcome = run(hurried, sqlite_store, snapshots)

    assert outcome.reason == (
        "too little to learn from: 60 of the 100 interactions needed (left out: 60 repeated within 60 seconds)"
    )


@pytest.mark.parametrize(("rows", "status"), [(4, "succeeded"), (3, "skipped")])
def test_a_forced_training_needs_no_more_than_a_fit_does(
    rows: int, status: str, sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    pairs = [(user_id, item_id) for user_id in ("a", "b") for item_id in ("x", "y")]
    fill(sqlite_store, [NewInteraction(*pair, "interaction", 1.0, START_US) for pair in pairs[:rows]])
    with sqlite_store.write() as connection:
        trainings.queue(connection, "manual", now_us=now_us(), force=True)
        claim = trainings.claim(connection, "test", now_us=now_us(), lease_us=10**9)
    assert claim is not None

    outcome = run_training(
        hurried, sqlite_store, claim, snapshots=snapshots, on_progress=no_progress, should_stop=lambda: None
    )

    assert outcome.status == status, outcome


def spoiled(*arguments: Any, **named: Any) -> Fitted:
    fitted = recipe.fit(*arguments, **named)
    fitted.learnt.item_vectors[3] = np.nan
    return fitted


def exploding(*_: Any, **__: Any) -> Fitted:
    raise RuntimeError("the fit exploded\nwith a second line")


@pytest.mark.parametrize(
    ("fit", "said"),
    [(exploding, "RuntimeError: the fit exploded"), (spoiled, "ValueError: ")],
)
def test_a_failing_fit_leaves_the_old_model_and_says_why(
    fit: recipe.Fit, said: str, sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    assert run(hurried, sqlite_store, snapshots).version == 1

    outcome = run(hurried, sqlite_store, snapshots, fit=fit)

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith(said)
    assert "\n" not in outcome.error
    with sqlite_store.read() as connection:
        assert models.pointer(connection).version == 1
    assert len(snapshots.names("model")) == 1


def test_factors_that_are_not_finite_are_refused_by_the_name_of_the_array(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    fits = 0

    def last_one_spoiled(*arguments: Any, **named: Any) -> Fitted:
        nonlocal fits
        fits += 1
        return spoiled(*arguments, **named) if fits == 3 else recipe.fit(*arguments, **named)

    outcome = run(hurried, sqlite_store, snapshots, fit=last_one_spoiled)

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert "item_vectors are not finite" in outcome.error
    assert snapshots.names("model") == []


def test_a_reason_to_stop_ends_a_fit_within_a_batch(
    sqlite_store: Store, settings: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    asked: list[str] = []
    phases: list[str] = []

    def should_stop() -> str | None:
        if "judge" in phases:
            asked.append("x")
        return "cancel requested" if len(asked) > 3 else None

    outcome = run(
        settings, sqlite_store, snapshots, should_stop=should_stop, on_progress=lambda phase, *_: phases.append(phase)
    )

    assert (outcome.status, outcome.reason) == ("cancelled", "cancel requested")
    assert len(asked) == 4
    assert snapshots.names("model") == []


def test_a_training_whose_lease_was_lost_publishes_nothing(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())

    def given_up(phase: str, *_: object) -> None:
        if phase == "publish":
            with store.write() as connection:
                ended = {"active": None, "status": "failed", "reason": "given up"}
                connection.execute(sa.update(tables.trainings).values(ended))

    outcome = run(hurried, store, snapshots, on_progress=given_up)

    assert outcome.lost
    assert (outcome.status, outcome.reason) == ("failed", LOST)
    with store.read() as connection:
        assert models.pointer(connection).version is None
        row = trainings.get(connection, outcome.training_id)
    assert row is not None
    assert row.reason == "given up"
    assert snapshots.names("model") == snapshots.names("history") == []


def test_a_training_that_is_cancelled_after_its_files_were_saved_leaves_none(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    saved: list[str] = []

    def should_stop() -> str | None:
        saved.extend(snapshots.names("model"))
        return "cancel requested" if saved else None

    outcome = run(hurried, sqlite_store, snapshots, should_stop=should_stop)

    assert saved
    assert (outcome.status, outcome.reason) == ("cancelled", "cancel requested")
    assert snapshots.names("model") == snapshots.names("history") == []


def test_a_version_activated_by_hand_stays_but_the_new_one_can_be_had(
    store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(store, two_tastes())
    assert run(hurried, store, snapshots).version == 1
    with store.write() as connection:
        connection.execute(sa.update(tables.active_model).values(pinned=True))

    outcome = run(hurried, store, snapshots)

    assert (outcome.status, outcome.version) == ("succeeded", 2)
    with store.read() as connection:
        assert models.pointer(connection) == (1, True)
        second = models.get(connection, 2)
    assert second is not None
    snapshots.load_model(second.folder, store.store_id())


def test_a_dry_run_judges_and_publishes_nothing(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    with sqlite_store.write() as connection:
        trainings.queue(connection, "manual", now_us=now_us(), dry_run=True)
        claim = trainings.claim(connection, "test", now_us=now_us(), lease_us=10**9)
    assert claim is not None

    outcome = run_training(
        hurried, sqlite_store, claim, snapshots=snapshots, on_progress=no_progress, should_stop=lambda: None
    )

    assert (outcome.status, outcome.version) == ("succeeded", None)
    assert outcome.metrics is not None
    assert "ndcg@20" in outcome.metrics
    assert snapshots.names("model") == []


def test_a_time_budget_that_is_used_up_ends_each_fit_after_one_epoch(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    epochs: list[tuple[str, int]] = []

    outcome = run(
        hurried,
        sqlite_store,
        snapshots,
        on_progress=lambda phase, epoch, *_: epochs.append((phase, epoch)) if epoch else None,
    )

    assert outcome.status == "succeeded"
    assert epochs == [("choose", 1), ("judge", 1), ("refit", 1)]


def test_models_beyond_those_kept_are_removed_but_never_the_active_one(
    sqlite_store: Store, hurried: Settings, snapshots: SnapshotStore, fill: Fill
) -> None:
    fill(sqlite_store, two_tastes())
    keeping_one = hurried.model_copy(update={"models_kept": 1})
    run(keeping_one, sqlite_store, snapshots)
    first = snapshots.names("model")
    with sqlite_store.write() as connection:
        connection.execute(sa.update(tables.active_model).values(pinned=True))

    for _ in range(3):
        run(keeping_one, sqlite_store, snapshots)

    kept = snapshots.names("model")
    assert len(kept) == 2
    assert kept[0] == first[0]
    assert len(snapshots.names("history")) == 2
