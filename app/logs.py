"""Logs: one line per event on standard error, for people (console) or for machines (json).

What other libraries log through the standard library leaves in the same form. Keys, headers, bodies and query strings
are never handed to a logger.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextvars import ContextVar
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from app.clock import now_us, to_rfc3339
from app.settings import Settings

# Their information is about themselves; what goes wrong still comes through.
_CHATTY = ("alembic", "sqlalchemy", "asyncio", "httpx")


REQUEST_ID: ContextVar[str | None] = ContextVar("likewise_request_id", default=None)
"""The id of the request that is being answered; every line that is logged meanwhile carries it."""


class _StandardError:
    """The process's standard error, looked up at each write, since test runners and daemons exchange it.

    What is logged in one turn of an event loop goes out together at its end: a line of its own would cost each request
    a call of the system.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._flushing_in: asyncio.AbstractEventLoop | None = None

    def write(self, text: str) -> None:
        self._lines.append(text)

    def flush(self) -> None:
        if self._flushing_in is not None and self._flushing_in.is_running():
            return  # at the end of its turn
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._flush_now()
            return
        self._flushing_in = loop
        loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing_in = None
        lines, self._lines = self._lines, []
        sys.stderr.write("".join(lines))
        sys.stderr.flush()


_STANDARD_ERROR = _StandardError()


class _RequestLine(msgspec.Struct, frozen=True):
    method: str
    path: str
    status: int
    ms: float
    key: str | None
    request_id: str | None
    level: str
    timestamp: str
    event: str = "request"


_line_encoder = msgspec.json.Encoder()
_access = structlog.get_logger("app.access")
_least_level = logging.INFO


def configure_logs(settings: Settings) -> None:
    """Set up structlog and the standard library's loggers for the whole process."""
    global _least_level  # noqa: PLW0603 - logging is the process's, and so is its level
    _least_level = level = getattr(logging, settings.log_level.upper())
    shared = _shared_processors(settings.log_format)
    renderer = _renderer(settings.log_format)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_stream()),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(allow=()),
                *shared,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"  # app.api.context writes that line, with the request id


def _shared_processors(log_format: str) -> list[Processor]:
    processors: list[Processor] = [_about_the_request, structlog.processors.add_log_level, _stamp]
    if log_format == "json":
        # Without locals: they hold what callers sent.
        processors.append(structlog.processors.format_exc_info)
    return processors


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return _AS_JSON
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _about_the_request(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The id of the request that the line is about, if it is about one."""
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    return event


def _stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = to_rfc3339(now_us())
    return event


def _json(event: EventDict, **_options: object) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except ValueError:  # text that UTF-8 cannot hold, such as a lone surrogate in a file's name
        return json.dumps(event, default=repr)


_AS_JSON = structlog.processors.JSONRenderer(serializer=_json)


def log_request(*, method: str, path: str, status: int, ms: float, key: str | None, quiet: bool) -> None:
    """The one line of a request, under the level debug if it is a quiet one.

    As JSON it is put together here: through the general way it would take a tenth of what a list of 2,000 items does.
    """
    if (logging.DEBUG if quiet else logging.INFO) < _least_level:
        return
    set_up = structlog.get_config()
    if set_up["processors"][-1] is not _AS_JSON:
        log = _access.debug if quiet else _access.info
        log("request", method=method, path=path, status=status, ms=ms, key=key)
    else:
        level = "debug" if quiet else "info"
        line = _RequestLine(method, path, status, ms, key, REQUEST_ID.get(), level, to_rfc3339(now_us()))
        _STANDARD_ERROR.write(_line_encoder.encode(line).decode() + "\n")
        _STANDARD_ERROR.flush()


def _stream() -> TextIO:
    stream: Any = _STANDARD_ERROR
    return stream  # type: ignore[no-any-return]  # duck-typed: only write and flush are used
