from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import SHARED_FOLDER, Condition, Metrics, forget_states

ROOT = Path(__file__).parents[2]
OPERATIONS_GUIDE = ROOT / "docs" / "operations.md"
CONDITION = Condition(
    model_version=3,
    model_age_seconds=60.5,
    model_users=943,
    model_items=1682,
    new_items=2,
    interactions_since_base=17,
    feed_age_seconds=0.2,
)


def samples(exposition: bytes) -> dict[str, float]:
    """Each series, as `name{label=value,...}` with its labels in order, and its value."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_requests_are_counted_by_operation_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.request("/users/{user_id}", "GET", status, 0.001)
    counted = samples(metrics.exposition())
    assert counted["likewise_requests_total{method=GET,operation=/users/{user_id},status=200}"] == 2
    assert counted["likewise_requests_total{method=GET,operation=/users/{user_id},status=404}"] == 1


def test_durations_are_counted_by_operation_and_method_whatever_the_status() -> None:
    metrics = Metrics()
    metrics.request("/stats", "GET", 200, 0.0004)
    metrics.request("/stats", "GET", 503, 3.0)
    counted = samples(metrics.exposition())
    bucket = "likewise_request_duration_seconds_bucket{{le={},method=GET,operation=/stats}}"
    assert [counted[bucket.format(bound)] for bound in ("0.00025", "0.0005", "1.0", "5.0", "+Inf")] == [0, 1, 1, 2, 2]
    assert counted["likewise_request_duration_seconds_sum{method=GET,operation=/stats}"] == pytest.approx(3.0004)


def test_methods_that_nobody_declares_are_one() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.request("/stats", f"NONSENSE{number}", 405, 0.001)
    counted = samples(metrics.exposition())
    assert counted["likewise_requests_total{method=other,operation=/stats,status=405}"] == 50
    assert not [series for series in counted if "NONSENSE" in series]


def test_what_never_happened_counts_as_0() -> None:
    counted = samples(Metrics().exposition())
    for source in ("model", "fold_in", "popular"):
        assert counted[f"likewise_lists_total{{source={source}}}"] == 0
    for outcome in ("accepted", "duplicate", "rejected"):
        assert counted[f"likewise_interactions_total{{outcome={outcome}}}"] == 0
    assert counted["likewise_snapshots_refused_total"] == 0


def test_each_thing_has_its_own_counter() -> None:
    metrics = Metrics()
    metrics.list_made("fold_in")
    metrics.stored(accepted=5, duplicates=2)
    metrics.rejected(3)
    metrics.snapshot_refused()
    counted = samples(metrics.exposition())
    assert counted["likewise_lists_total{source=fold_in}"] == 1
    outcomes = ("accepted", "duplicate", "rejected")
    assert [counted[f"likewise_interactions_total{{outcome={outcome}}}"] for outcome in outcomes] == [5, 2, 3]
    assert counted["likewise_snapshots_refused_total"] == 1


def test_states_are_those_that_were_noted_last() -> None:
    metrics = Metrics()
    for up in (True, False):
        metrics.note_store(up=up)
    metrics.note(CONDITION)
    counted = samples(metrics.exposition())
    assert counted["likewise_model_version"] == 3
    assert counted["likewise_model_age_seconds"] == 60.5
    assert counted["likewise_feed_age_seconds"] == 0.2
    assert counted["likewise_store_up"] == 0


def test_a_feed_that_was_never_read_is_infinitely_old() -> None:
    metrics = Metrics()
    metrics.note(Condition(0, 0, 0, 0, 0, 0, math.inf))
    assert samples(metrics.exposition())["likewise_feed_age_seconds"] == math.inf


def test_the_memory_of_the_process_is_told() -> None:
    assert samples(Metrics().exposition())["process_resident_memory_bytes"] > 2**20


def test_two_of_them_in_a_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.list_made("model")
    assert samples(other.exposition())["likewise_lists_total{source=model}"] == 0


def test_every_name_keeps_to_the_conventions() -> None:
    metrics = Metrics()
    metrics.request("/stats", "GET", 200, 0.001)
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        assert family.name.startswith(("likewise_", "process_"))
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert not family.name.endswith("_created")
        if family.type == "counter":
            assert {sample.name for sample in family.samples} == {f"{family.name}_total"}


def test_the_guide_names_everything_that_is_shown() -> None:
    metrics = Metrics()
    metrics.request("/stats", "GET", 200, 0.001)
    shown = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }
    rows = re.findall(r"^\| `(?:likewise|process)_.*", OPERATIONS_GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    extra = {"process_virtual_memory_bytes", "process_start_time_seconds", "process_open_fds", "process_max_fds"}
    assert shown - extra == named


WORKER = """
import sys
from app.metrics import Condition, shared_metrics

number, version, lists = map(int, sys.argv[1:])
metrics = shared_metrics(number)
for _ in range(lists):
    metrics.list_made("model")
    metrics.request("/popular", "GET", 200, 0.001)
metrics.note(Condition(version, 1.0, 5, 6, 0, number, 0.5 + number))
metrics.note_store(up=number == 1)
sys.stdout.buffer.write(metrics.exposition())
"""


def run(code: str, *arguments: str, folder: Path) -> bytes:
    environ = {"PATH": os.environ["PATH"], SHARED_FOLDER: str(folder)}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, timeout=60, check=True).stdout


@pytest.fixture
def worker(tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Runs a worker that makes some lists and ends; gives what it showed at last."""

    def _worker(number: int, *, version: int, lists: int) -> dict[str, float]:
        return samples(run(WORKER, str(number), str(version), str(lists), folder=tmp_path))

    return _worker


def test_counts_in_a_folder_are_those_of_all_workers(worker: Callable[..., dict[str, float]]) -> None:
    worker(0, version=3, lists=2)
    counted = worker(1, version=3, lists=5)
    assert counted["likewise_lists_total{source=model}"] == 7
    assert counted["likewise_requests_total{method=GET,operation=/popular,status=200}"] == 7
    assert counted["likewise_request_duration_seconds_count{method=GET,operation=/popular}"] == 7


def test_a_worker_that_is_started_again_goes_on_counting_in_the_same_files(
    worker: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    before = worker(0, version=3, lists=2)
    files = sorted(path.name for path in tmp_path.iterdir())
    after = worker(0, version=3, lists=5)
    assert after["likewise_lists_total{source=model}"] == 7
    assert after["process_cpu_seconds_total"] > before["process_cpu_seconds_total"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_states_are_those_of_the_worker_that_is_furthest_behind(worker: Callable[..., dict[str, float]]) -> None:
    worker(1, version=3, lists=0)
    counted = worker(0, version=4, lists=0)
    assert counted["likewise_model_version"] == 3
    assert counted["likewise_feed_age_seconds"] == 1.5
    assert counted["likewise_interactions_since_base"] == 1
    assert counted["likewise_store_up"] == 0  # seen last


def test_memory_is_that_of_all_workers(worker: Callable[..., dict[str, float]]) -> None:
    one = worker(0, version=3, lists=0)["process_resident_memory_bytes"]
    assert worker(1, version=3, lists=0)["process_resident_memory_bytes"] > 1.5 * one


def test_of_a_worker_that_has_ended_the_counts_stay_and_the_states_go(
    worker: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    worker(1, version=3, lists=2)
    forget_states(tmp_path, 1)
    counted = worker(0, version=4, lists=0)
    assert counted["likewise_lists_total{source=model}"] == 2
    assert counted["likewise_model_version"] == 4


def test_what_is_not_shared_leaves_no_files_whatever_the_environment_says(tmp_path: Path) -> None:
    code = "from app.metrics import Metrics; m = Metrics(); m.list_made('model'); print(m.exposition().decode())"
    assert b'likewise_lists_total{source="model"} 1.0' in run(code, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
