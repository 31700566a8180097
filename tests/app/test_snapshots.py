"""Snapshots on disk: whole or not there, named when refused, pruned without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.db.watermark import Watermark
from app.snapshots import SnapshotStore
from model.candidates import Candidates
from model.histories import Histories
from model.item_table import ItemTable
from model.served import ServedModel
from model.snapshot import SnapshotError
from model.user_factors import as_trained
from tests.app.published import served_model

STORE = "7d1f2f5e-0000-4000-8000-000000000001"
OTHER = "7d1f2f5e-0000-4000-8000-000000000002"
WATERMARK = Watermark(12, 3, None)


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "models")


def served() -> ServedModel:
    return served_model([1, 4], [2, 3, 9])


def scores(model: ServedModel) -> list[float]:
    """Of the second user and every item."""
    found: list[float] = Candidates.as_trained(model).scores(as_trained(model, 1, None), np.arange(3)).tolist()
    return found


def save_model(snapshots: SnapshotStore, name: str, *, store_id: str = STORE, **facts: Any) -> None:
    model = served()
    facts |= model.facts()
    snapshots.save("model", name, model.arrays(), store_id=store_id, created_at="2026-01-01T00:00:00Z", facts=facts)


def save_history(snapshots: SnapshotStore, name: str, *, store_id: str = STORE, user: str = "ann") -> None:
    one = np.array([5])
    histories = Histories.build(
        one,
        one,
        event_codes=np.array([0]),
        times_us=one,
        values=np.ones(1),
        event_types=("click",),
        user_ids={5: user},
        items=ItemTable.build({5: "x"}, titles={5: "Ex"}),
    )
    facts = histories.facts() | {"watermark": WATERMARK.to_json()}
    snapshots.save(
        "history", name, histories.arrays(), store_id=store_id, created_at="2026-01-01T00:00:00Z", facts=facts
    )


def leftovers(snapshots: SnapshotStore) -> list[str]:
    return sorted(path.name for path in snapshots.root.glob(".tmp-*"))


def test_a_model_comes_back_with_the_same_scores(snapshots: SnapshotStore) -> None:
    save_model(snapshots, "one", seed=7)

    loaded, snapshot = snapshots.load_model("one", STORE)

    assert scores(loaded) == scores(served())
    assert snapshot.facts["seed"] == 7
    assert leftovers(snapshots) == []


def test_a_model_of_another_store_is_refused(snapshots: SnapshotStore) -> None:
    save_model(snapshots, "one", store_id=OTHER)

    with pytest.raises(SnapshotError, match="one"):
        snapshots.load_model("one", STORE)


@pytest.mark.parametrize("folder", ["..", "../models/one", "/etc", "", ".tmp-1", "a/b"])
def test_a_folder_name_that_leads_elsewhere_is_refused(snapshots: SnapshotStore, folder: str) -> None:
    save_model(snapshots, "one")

    with pytest.raises(SnapshotError):
        snapshots.load_model(folder, STORE)
    with pytest.raises(ValueError, match="snapshot name"):
        save_model(snapshots, folder)


def test_a_model_whose_arrays_do_not_fit_together_is_refused_by_name(snapshots: SnapshotStore) -> None:
    arrays = served().arrays() | {"item_biases": np.zeros(7, dtype=np.float32)}
    facts = served().facts()
    snapshots.save("model", "one", arrays, store_id=STORE, created_at="2026-01-01T00:00:00Z", facts=facts)

    with pytest.raises(SnapshotError, match=r"one.*item_biases"):
        snapshots.load_model("one", STORE)


def test_an_existing_snapshot_is_never_overwritten(snapshots: SnapshotStore) -> None:
    save_model(snapshots, "one", mark="first")

    with pytest.raises(FileExistsError):
        save_model(snapshots, "one", mark="second")
    assert snapshots.load_model("one", STORE)[1].facts["mark"] == "first"
    assert leftovers(snapshots) == []


def test_a_save_that_fails_leaves_nothing_behind(snapshots: SnapshotStore) -> None:
    arrays: dict[str, NDArray[Any]] = {"vectors": np.array([np.nan])}

    with pytest.raises(SnapshotError):
        snapshots.save("model", "one", arrays, store_id=STORE, created_at="2026-01-01T00:00:00Z", facts={})
    assert snapshots.names("model") == leftovers(snapshots) == []


def test_the_newest_history_is_found_with_its_watermark(snapshots: SnapshotStore) -> None:
    assert snapshots.latest_history(STORE, snapshots.names("history")) is None
    save_history(snapshots, "2", user="bob")
    save_history(snapshots, "1", user="ann")

    found = snapshots.latest_history(STORE, snapshots.names("history"))

    assert found is not None
    histories, watermark, name = found
    assert (name, watermark) == ("2", WATERMARK)
    assert histories.user_key("bob") == 5
    assert histories.items.title(5) == "Ex"


def test_damaged_and_foreign_histories_are_passed_over(snapshots: SnapshotStore) -> None:
    for name in ("1", "2", "3"):
        save_history(snapshots, name)
    save_history(snapshots, "4", store_id=OTHER)
    (snapshots.folder("history", "3") / "manifest.json").write_text("{")
    (snapshots.folder("history", "2") / "times_us.bin").write_bytes(b"\0" * 8)

    found = snapshots.latest_history(STORE, snapshots.names("history"))

    assert found is not None
    assert found[2] == "1"


def test_pruning_keeps_what_is_not_named_the_newest_histories_and_whatever_is_not_ours(
    snapshots: SnapshotStore,
) -> None:
    for name in ("1", "2", "3", "4"):
        save_model(snapshots, name)
        save_history(snapshots, name)
    save_model(snapshots, "0", store_id=OTHER)
    save_history(snapshots, "0", store_id=OTHER)

    removed = snapshots.prune(store_id=STORE, models={"0", "1", "3"})

    assert removed == ["1", "3", "1", "2"]
    assert snapshots.names("model") == ["0", "2", "4"]
    assert snapshots.names("history") == ["0", "3", "4"]
    assert leftovers(snapshots) == []


def test_a_model_in_use_goes_on_answering_after_it_was_pruned(snapshots: SnapshotStore) -> None:
    save_model(snapshots, "one")
    loaded, _ = snapshots.load_model("one", STORE, verify=False)

    snapshots.prune(store_id=STORE, models={"one"})

    assert snapshots.names("model") == []
    assert scores(loaded) == scores(served())


KILLED_SAVE = """
import sys, time
from pathlib import Path
import numpy as np
from app.snapshots import SnapshotStore

class Slow(dict):
    def items(self):
        yield "a", np.zeros(3)
        if self.get("told"):
            print("saving", flush=True)
            time.sleep(60)
        self["told"] = True

SnapshotStore(Path(sys.argv[1])).save("model", "one", Slow(), store_id="s", created_at="t", facts={})
"""


def test_a_killed_save_leaves_a_temporary_folder_that_is_swept_but_not_while_it_runs(snapshots: SnapshotStore) -> None:
    snapshots.root.mkdir()
    root = Path(__file__).parents[2]
    saving = subprocess.Popen(
        [sys.executable, "-c", KILLED_SAVE, str(snapshots.root)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    with saving:
        assert saving.stdout is not None
        assert saving.stdout.readline() == "saving\n"
        left = leftovers(snapshots)
        assert len(left) == 1
        assert snapshots.sweep(older_than_seconds=0) == []
        saving.send_signal(signal.SIGKILL)

    assert snapshots.names("model") == []
    assert snapshots.sweep() == []
    assert snapshots.sweep(older_than_seconds=0) == left
    assert leftovers(snapshots) == []


def test_only_old_leftovers_are_swept(snapshots: SnapshotStore) -> None:
    for name, age in ((".tmp-old", 3600), (".tmp-new", 0)):
        folder = snapshots.root / name
        folder.mkdir(parents=True)
        (folder / "array.bin").write_bytes(b"x")
        for path in (folder / "array.bin", folder):
            os.utime(path, (time.time() - age,) * 2)

    assert snapshots.sweep() == [".tmp-old"]
    assert leftovers(snapshots) == [".tmp-new"]


def test_sweeping_and_listing_without_a_folder_find_nothing(snapshots: SnapshotStore) -> None:
    assert snapshots.sweep() == snapshots.names("model") == snapshots.prune(store_id=STORE, models=set()) == []
