from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.logs import REQUEST_ID, configure_logs
from app.settings import Settings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's: what a test changes is put back for the others."""
    names = [None, "uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "sqlalchemy", "asyncio", "httpx"]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in map(logging.getLogger, names)]
    yield
    structlog.reset_defaults()
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_json_logs_are_one_object_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    structlog.get_logger("app.x").info("stored", rows=3)
    (line,) = lines(capsys)
    assert (line["event"], line["rows"], line["level"]) == ("stored", 3, "info")
    assert str(line["timestamp"]).endswith("Z")


def test_other_libraries_log_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    logging.getLogger("uvicorn.access").info("a second line for the same request")
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"]) == ("Started server process [7]", "uvicorn.error")


def test_an_exception_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "ValueError: broken" in str(line["exception"])


def test_the_request_id_stands_on_every_line_of_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    token = REQUEST_ID.set("r1")
    structlog.get_logger().info("ours")
    logging.getLogger("theirs").warning("theirs")
    REQUEST_ID.reset(token)
    structlog.get_logger().info("outside")
    assert [line.get("request_id") for line in lines(capsys)] == ["r1", "r1", None]


def test_what_json_cannot_hold_is_shown_and_loses_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    structlog.get_logger().info("odd", name="a\udcff", value=complex(1, 2))
    (line,) = lines(capsys)
    assert (line["event"], line["value"]) == ("odd", "(1+2j)")


def test_the_level_is_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json", log_level="warning"))
    structlog.get_logger().info("quiet")
    logging.getLogger("theirs").info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_console_logs_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings())
    structlog.get_logger().info("stored", rows=3)
    text = capsys.readouterr().err
    assert "stored" in text
    assert "rows=3" in text
    assert "\x1b" not in text
