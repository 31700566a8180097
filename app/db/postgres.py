"""Connections to PostgreSQL that give up by themselves."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

_Result = TypeVar("_Result")

# A server that is starting or hung is noticed sooner when connecting than in a statement: nobody's work is lost by it.
_CONNECT_SECONDS = 5.0


class DeadlineExceeded(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""

    ran_out_of_time = True


class DeadlineConnection(psycopg.Connection[Any]):
    """A psycopg connection whose every wait for the server ends after `deadline_seconds` (None: never).

    `statement_timeout` is the server's own promise, and a stopped or unreachable server keeps none: this one is kept
    here. A connection that ran out of time is closed, since what it asked may still be answered later.
    """

    deadline_seconds: float | None = None

    def wait(
        self,
        gen: Generator[Any, Any, _Result],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> _Result:
        allowed = self.deadline_seconds if timeout is None else timeout
        started = time.monotonic()
        try:
            return super().wait(gen, interval=interval, timeout=allowed)
        except psycopg.OperationalError:
            if allowed is None or time.monotonic() - started < allowed:
                raise
            self.close()
            raise DeadlineExceeded(f"no answer within {allowed:g} seconds") from None


def postgres_engine(url: sa.URL, *, deadline_seconds: float | None) -> sa.Engine:
    """An engine with a pool of at most ten connections; `deadline_seconds` None is for what may take long.

    Its transactions begin as the execution option `postgres_begin` says (default: plain BEGIN).

    Raises: ValueError for an option in the URL that PostgreSQL's library does not know.
    """
    try:
        psycopg.conninfo.make_conninfo("", **dict.fromkeys(url.query, "0"))
    except psycopg.ProgrammingError as error:
        raise ValueError(str(error).strip()) from None
    limit = deadline_seconds if deadline_seconds is not None else 60.0
    settings: dict[str, Any] = {
        "application_name": "likewise",
        "connect_timeout": math.ceil(min(_CONNECT_SECONDS, max(2.0, limit))),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": math.ceil(limit * 1000),
    }
    engine = sa.create_engine(
        url,
        connect_args={name: value for name, value in settings.items() if name not in url.query},
        hide_parameters=True,
        pool_size=5,
        max_overflow=5,
        pool_timeout=limit,
        pool_use_lifo=True,
        use_native_hstore=False,
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(
        _dialect: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], parameters: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        # The event below begins transactions: the driver would, by a message of its own. Nor may it keep statements: a
        # plan that was made for a small table is kept with them, and reads the whole of it when it has grown.
        connection = DeadlineConnection.connect(*arguments, **parameters, autocommit=True, prepare_threshold=None)
        if deadline_seconds is not None:
            connection.deadline_seconds = deadline_seconds
            # The server's limit is the shorter one: a slow statement then fails without costing the connection. An idle
            # transaction is a process that was stopped in the middle; its locks must not outlive others' patience.
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false)",
                [str(math.ceil(deadline_seconds * 900)), str(math.ceil(max(60.0, 2 * deadline_seconds) * 1000))],
            )
        return connection

    made = itertools.count(1)

    @sa.event.listens_for(engine, "connect")
    def number(_connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
        record.info["made"] = next(made)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("postgres_begin", "BEGIN"))

    return engine
