"""Logs: one line per event on standard error, for people (console) or for machines (json).

What other libraries log through the standard library leaves in the same form. Keys, headers, bodies and query strings
are never handed to a logger.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from app.settings import Settings

# Their information is about themselves; what goes wrong still comes through.
_CHATTY = ("alembic", "sqlalchemy", "asyncio", "httpx")


class _StandardError:
    """The process's standard error, looked up at each write, since test runners and daemons exchange it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(settings: Settings) -> None:
    """Set up structlog and the standard library's loggers for the whole process."""
    level = getattr(logging, settings.log_level.upper())
    shared = _shared_processors(settings.log_format)
    renderer = _renderer(settings.log_format)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_stream()),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
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
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if log_format == "json":
        # Without locals: they hold what callers sent.
        processors.append(structlog.processors.format_exc_info)
    return processors


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _stream() -> TextIO:
    stream: Any = _StandardError()
    return stream  # type: ignore[no-any-return]  # duck-typed: only write and flush are used
