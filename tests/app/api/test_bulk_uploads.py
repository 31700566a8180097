"""Bulk uploads through the whole service: each starts a process, so there are few of them; `tests.app.importing` tests
what makes a row a bad one."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.db import interactions
from app.uploads import BulkUploads
from tests.app.api.running import Running, StartService

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}


def stored(service: Running) -> int:
    with service.state.store.read() as connection:
        return interactions.count(connection)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_rows_of_both_forms_are_stored_and_seen_at_once(service: Running) -> None:
    rows = [{"user_id": f"u{n % 7}", "item_id": f"i{n % 11}", "event_id": f"e{n}"} for n in range(100)]
    done = service.client.post("/interactions/bulk", content=lines(rows), headers=NDJSON)
    assert (done.status_code, done.json()) == (201, {"accepted": 100, "duplicates": 0, "rejected": 0, "errors": []})
    assert service.state.history.held.size(service.state.history.user_key("u3") or -1) == 14
    text = "item_id,user_id,event_id\n" + "".join(f"i{n},u{n},e{n}\n" for n in range(50, 150))
    packed = gzip.compress(text.encode())
    done = service.client.post("/interactions/bulk", content=packed, headers=CSV | {"Content-Encoding": "gzip"})
    assert done.json() == {"accepted": 50, "duplicates": 50, "rejected": 0, "errors": []}
    assert stored(service) == 150


def test_a_bad_row_stores_nothing_or_is_left_out(service: Running) -> None:
    rows = b'{"user_id":"a","item_id":"b"}\n{"user_id":"a"}\n'
    refused = service.client.post("/interactions/bulk", content=rows, headers=NDJSON)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    told = refused.json()
    error = {"line": 2, "code": "missing", "detail": "item_id: this field is needed"}
    assert (told["code"], told["errors"], told["rejected"]) == ("invalid_request", [error], 1)
    assert stored(service) == 0
    done = service.client.post("/interactions/bulk?on_error=skip", content=rows, headers=NDJSON)
    assert (done.status_code, done.json()) == (201, {"accepted": 1, "duplicates": 0, "rejected": 1, "errors": [error]})
    assert stored(service) == 1


def test_records_of_items_are_put_and_shown_at_once(service: Running) -> None:
    text = "item_id,title,categories\ncup,Espresso cup,cups|porcelain\nsaucer,Saucer,\n"
    done = service.client.post("/items/bulk", content=text, headers=CSV)
    assert (done.status_code, done.json()["accepted"]) == (201, 2)
    assert service.client.get("/items/cup").json()["categories"] == ["cups", "porcelain"]
    refused = service.client.post("/items/bulk", content="item_id,hidden\ncup,maybe\n", headers=CSV)
    assert [error["line"] for error in refused.json()["errors"]] == [2]


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        (CSV, b"user,item\na,b\n", 422, "csv_header"),
        (CSV, b"", 422, "csv_header"),
        (CSV, "user_id,item_id\na,b\n".encode("utf-16"), 422, "file_unreadable"),
        (NDJSON, '{"user_id":"a","item_id":"b"}\n'.encode("utf-16-le"), 422, "file_unreadable"),
        (NDJSON, '{"user_id":"a","item_id":"b"}\n'.encode("utf-16-be"), 422, "file_unreadable"),
        (NDJSON, gzip.compress(b'{"user_id":"a","item_id":"b"}\n'), 422, "file_unreadable"),
        (NDJSON | {"Content-Encoding": "gzip"}, gzip.compress(b"{}\n" * 1000)[:-9], 422, "file_unreadable"),
        (NDJSON | {"Content-Encoding": "gzip"}, b"{}", 422, "file_unreadable"),
        (NDJSON | {"Content-Encoding": "gzip"}, gzip.compress(b" " * 100_000), 413, "body_too_large"),
        (NDJSON, b" " * 100_000, 413, "body_too_large"),
    ],
    ids=["header", "nothing", "utf-16", "utf-16-le", "utf-16-be", "gzip unsaid", "cut off", "no gzip", "bomb", "large"],
)
def test_what_cannot_be_read_is_refused_in_words(
    start: StartService, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    service = start(max_bulk_bytes=50_000)
    refused = service.client.post("/interactions/bulk?on_error=skip", content=content, headers=headers)
    assert refused.status_code == status
    told = refused.json()
    found = told["errors"][0]["code"] if status == 422 else told["code"]
    assert found == code
    assert stored(service) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/csv; charset=latin-1"},
        CSV | {"Content-Encoding": "br"},
    ],
)
def test_other_forms_are_refused(shared: Running, headers: dict[str, str]) -> None:
    assert shared.client.post("/interactions/bulk", content=b"x", headers=headers).status_code == 415


def test_a_chunked_body_is_measured_as_it_comes(start: StartService) -> None:
    service = start(max_bulk_bytes=2_000)
    refused = service.client.post("/interactions/bulk", content=(b"x" * 500 for _ in range(10)), headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


def test_more_uploads_than_there_is_room_for_come_back_later(service: Running) -> None:
    service.state.uploads = BulkUploads(service.state.settings, most_at_once=0)
    refused = service.client.post("/interactions/bulk", content=b"{}", headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert "too much waits" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "1"


def test_one_who_sends_a_little_now_and_then_does_not_keep_a_place(service: Running) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.05)

    service.state.uploads = BulkUploads(service.state.settings, most_at_once=1, first_seconds=0.2)
    late = service.client.post("/interactions/bulk", content=slowly(), headers=NDJSON)
    assert (late.status_code, late.json()["code"]) == (408, "request_timeout")
    rows = lines([{"user_id": "a", "item_id": "b"}])
    assert service.client.post("/interactions/bulk", content=rows, headers=NDJSON).status_code == 201


def test_headers_that_are_sent_twice_both_count(shared: Running) -> None:
    twice = [("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    assert shared.client.post("/interactions/bulk", content=b"x", headers=twice).status_code == 415
    twice = [("Content-Type", "application/x-ndjson"), ("Content-Type", "text/csv")]
    assert shared.client.post("/interactions/bulk", content=b"x", headers=twice).status_code == 415


def test_a_folder_that_cannot_be_written_is_a_store_that_is_away(start: StartService, tmp_path: Any) -> None:
    (tmp_path / "file").touch()
    service = start(spool_dir=tmp_path / "file" / "spool")
    refused = service.client.post("/interactions/bulk", content=b"{}", headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")


def test_counts_reach_the_metrics(service: Running) -> None:
    rows = b'{"user_id":"a","item_id":"b","event_id":"1"}\n{"user_id":"a","item_id":"b","event_id":"1"}\n{}\n'
    service.client.post("/interactions/bulk?on_error=skip", content=rows, headers=NDJSON)
    told = service.client.get("/metrics").text
    for outcome in ("accepted", "duplicate", "rejected"):
        assert f'likewise_interactions_total{{outcome="{outcome}"}} 1.0' in told
