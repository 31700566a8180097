"""The parts of the served benchmark that are not about time: arithmetic, parsing, stores and rivals."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from bench import wrk
from bench.connections import Answer, Connections
from bench.load import UNREADABLE, Figures, OpenPlan, OpenReport, Target, drive, version_of
from bench.serving import BARE, NAIVE, OURS, closed_lines, open_lines
from bench.serving_rivals import bare_app, naive_app
from bench.serving_store import Sizes, array_bytes, prepare, publish, save_version
from bench.swaps import SwapReport


class SlowServer:
    """A channel and its clock: one request at a time, each of which takes so many seconds."""

    def __init__(self, *, seconds, statuses=None):
        self.now, self._seconds, self._statuses = 100.0, seconds, statuses or {}
        self._number, self._done_at = None, 0.0

    def clock(self):
        return self.now

    def has_room(self):
        return self._number is None

    def send(self, number):
        self._number, self._done_at = number, self.now + self._seconds

    def wait(self, seconds):
        ends = self.now + max(seconds, 1e-6)
        if self._number is None or self._done_at > ends:
            self.now = ends
            return []
        self.now, number, self._number = self._done_at, self._number, None
        return [Answer(number, self._statuses.get(number, 200), json.dumps({"model_version": 1 + number}).encode())]


def test_a_request_that_waits_behind_a_slow_one_counts_from_when_it_was_due():
    server = SlowServer(seconds=0.03)

    report = drive(np.array([0.0, 0.01, 0.02, 1.0]), server, server.clock)

    # Answered at .03, .06, .09 and 1.03.
    assert report.figures.p50 == pytest.approx(0.04)
    assert report.figures.worst == pytest.approx(0.07)
    assert report.figures.rate == pytest.approx(4 / 1.03)
    assert report.held_back == 0.5
    assert report.kept_up
    assert report.versions == {}


def test_answers_are_read_for_their_version_and_refusals_are_errors():
    server = SlowServer(seconds=0.001, statuses={1: 503, 2: 0})

    report = drive(np.arange(4) / 100, server, server.clock, versions=True)

    assert report.figures.errors == 2
    assert report.versions == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert [version_of(body) for body in (b'{"model_version": null}', b"{", b"[]")] == [UNREADABLE] * 3


def test_what_is_never_answered_is_an_error_as_long_as_was_waited_for_it():
    server = SlowServer(seconds=60)

    report = drive(np.array([0.0, 0.5]), server, server.clock)

    assert report.figures.errors == 2
    assert report.figures.worst > 10


def test_plans_and_reports_travel_as_json():
    plan = OpenPlan(Target(80, "/a", "/b", 3, key="lw_1"), 100.0, 2.0, 16, 1, poisson=True)
    report = OpenReport(Figures(1, 2, 3, 4, 5, 6), 0.1, 0.2, {"1": 2})

    assert OpenPlan.from_json(json.dumps(asdict(plan))) == plan
    assert OpenReport.from_json(json.dumps(asdict(report))) == report


def test_requests_are_due_at_the_rate_evenly_or_at_random():
    plan = OpenPlan(Target(80, "/", "", 1), rate=50.0, seconds=20.0, connections=1, seed=1)

    assert plan.due()[:3].tolist() == [0, 0.02, 0.04]
    random = OpenPlan(**vars(plan) | {"poisson": True}).due()
    assert len(random) == 1000
    assert random[-1] == pytest.approx(20, rel=0.1)
    assert (np.diff(random) > 0).all()


def test_answers_come_whole_over_connections_and_a_broken_one_is_made_anew():
    target = Target(0, "/users/", "/list", 9)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as client:
                assert client.recv(1000).startswith(b"GET /users/7/list HTTP/1.1\r\nHost: 127.0.0.1:0\r\n\r\n")
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno")
                client.sendall(b"ne")
                client.recv(1000)
            listener.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        before, after = (part.encode() for part in target.around())
        connections = Connections(listener.getsockname()[1], [before + b"7" + after], 1)
        answers = []
        for expected in (1, 2):
            assert connections.has_room()
            connections.send(0)
            assert not connections.has_room()
            while len(answers) < expected:
                answers += connections.wait(0.1)
        connections.close()
        thread.join(10)

    assert answers == [(0, 404, b"none"), (0, 0, b"")]


WRK = """Running 4s test @ http://127.0.0.1:8000
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  520.11us  12.50ms   91.20%
    Req/Sec     3.10k   210.00     3.40k    80.00%
  Latency Distribution
     50%  950.00us
     75%    1.10ms
     90%    1.40ms
     99%    1.03s{}
  12345 requests in 4.00s, 5.00MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:   3086.25
Transfer/sec:      1.25MB
""".format(" ")  # wrk ends a line of seconds with a space


def test_what_wrk_prints_is_read():
    assert wrk.parse(WRK) == pytest.approx(Figures(3086.25, 950e-6, 1.4e-3, 1.03, 12.5e-3, 7))
    fine = "\n".join(line for line in WRK.splitlines() if "errors" not in line and "Non-2xx" not in line)
    assert wrk.parse(fine).errors == 0
    with pytest.raises(ValueError, match="no output of wrk"):
        wrk.parse("unable to connect")


def test_without_wrk_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit, match="apt-get install wrk"):
        wrk.found_wrk()


def test_the_rivals_answer():
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)

    with TestClient(naive_app(vectors[:4], vectors)) as client:
        document = client.get("/users/user-3/recommendations", params={"limit": 5}).json()
        assert client.get("/users/user-5/recommendations").status_code == 404
    with TestClient(bare_app()) as client:
        assert client.get("/?n=4").json() == {"status": "ok"}

    scores = vectors @ vectors[2]
    best = np.argsort(-scores)[:5]
    assert document["user_id"] == "user-3"
    assert [item["item_id"] for item in document["items"]] == [f"item-{1 + number}" for number in best]
    assert [item["score"] for item in document["items"]] == pytest.approx(scores[best].tolist())
    assert [item["rank"] for item in document["items"]] == [1, 2, 3, 4, 5]


def test_the_service_serves_a_random_store_and_follows_its_next_version(tmp_path):
    prepared = prepare(tmp_path, Sizes(items=30, users=40, dimensions=8, history=5), seed=1)
    name, manifest_sha256 = save_version(prepared, 1)
    later = save_version(prepared, 2)
    publish(prepared, name, manifest_sha256)
    settings = Settings(database_url=prepared.database_url, model_dir=prepared.model_dir, refresh_seconds=60)
    app = create_app(settings)
    header = {"Authorization": f"Bearer {prepared.key}"}

    with TestClient(app) as client:
        documents = [
            client.get(f"/users/user-{number}/recommendations?limit=7", headers=header).json() for number in (1, 40)
        ]
        publish(prepared, *later)
        app.state.likewise.refresher.poll()
        next_version = client.get("/users/user-1/recommendations", headers=header).json()["model_version"]
        unknown = client.get("/users/user-1/recommendations").status_code
    rows = prepared.histories.of_user(1)
    prepared.close()

    assert unknown == 401
    assert [(len(one["items"]), one["source"], one["model_version"]) for one in documents] == [(7, "model", 1)] * 2
    assert documents[0]["items"] != documents[1]["items"]
    assert not {f"item-{key}" for key in rows.item_keys} & {item["item_id"] for item in documents[0]["items"]}
    assert len(rows.item_keys) == 5
    assert next_version == 2
    assert array_bytes(prepared.model_dir, name) > 4 * 8 * (30 + 40)


def test_tables_show_medians_and_ratios_of_medians():
    def rounds(*rates):
        return [Figures(rate, 0.001, 0.002, 0.003, 0.004, 1) for rate in rates]

    lines = list(closed_lines({OURS: rounds(300, 100, 200), NAIVE: rounds(100, 100, 400), BARE: rounds(400, 400, 400)}))

    assert "| likewise | 200 | 1.00 | 2.00 | 3.00 | 4.00 | 3 |" in lines
    assert "likewise over naive numpy endpoint: 2.00 (0.50 to 3.00)" in lines
    reports = [OpenReport(figures, late, 0.0, {}) for figures, late in zip(rounds(10, 20), (0.0, 0.5), strict=True)]
    assert list(open_lines(reports))[-1] == "the generator was too slow in 1 rounds"


@pytest.mark.parametrize(
    ("versions", "fine"), [({"1": 5, "2": 5}, True), ({"1": 10}, False), ({"1": 5, "2": 4, UNREADABLE: 1}, False)]
)
def test_a_swap_is_fine_when_every_answer_names_a_version_and_all_answered(versions, fine):
    steady = OpenReport(Figures(100, 0.001, 0.002, 0.003, 0.004, 0), 0.0, 0.0, {"1": 10})
    swapping = OpenReport(Figures(100, 0.002, 0.002, 0.006, 0.008, 0), 0.0, 0.0, versions)

    report = SwapReport(steady, swapping, first=1, published=(2,))

    assert report.one_version_each == fine
    assert "p50 x 2.00, p99 x 2.00" in list(report.lines())
