"""Serving until told to stop, and then stopping in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Literal

import uvicorn
from fastapi import FastAPI

from app.api.metrics import note_condition
from app.http_protocols import MAX_HEAD_BYTES, LimitedH11Protocol, LimitedHttpToolsProtocol
from app.settings import Settings
from app.state import AppState

DRAIN_SECONDS = 20
_LAST_WORDS_SECONDS = 1
_KEEP_ALIVE_SECONDS = 20
# A request makes some dozens of objects that the collector counts; nearly all of them go by themselves.
_COLLECTED_AT = 20_000
_TICKS_OF_A_SECOND = 10
# How long the thread that writes, or one that reads a new version, waits for the interpreter while requests keep it
# busy, and they for it. By default it is ten times as long, and a commit gives the interpreter up several times.
_SWITCH_SECONDS = 0.0005
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PROTOCOLS = {"httptools": LimitedHttpToolsProtocol, "h11": LimitedH11Protocol}


class Server(uvicorn.Server):
    """uvicorn, with a shutdown that loses nobody's request.

    On SIGTERM or SIGINT: `/readyz` says 503 at once while requests are served for another
    LIKEWISE_SHUTDOWN_DELAY_SECONDS, so that load balancers look elsewhere first; then nothing new is accepted, what is
    in flight gets 20 s, and `run()` returns: the process ends with exit code 0. A second signal skips the delay, a
    third the draining.

    Args:
        app: what `app.main.create_app` returned.
        host, port: where to listen; ignored when `run()` gets sockets that already do.
        http: which parser reads requests.
        on_close: called in a thread when the listening ends, while requests in flight are drained.
        drain_seconds: how long they get; those that still receive their body then are answered 503.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        http: Literal["httptools", "h11"] = "httptools",
        on_close: Callable[[], None] = lambda: None,
        drain_seconds: int = DRAIN_SECONDS,
    ) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_PROTOCOLS[http],
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        super().__init__(config)
        self._state: AppState = app.state.likewise
        self._delay_seconds = settings.shutdown_delay_seconds
        self._on_close = on_close
        self._signals = 0
        self._close_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """Begin the shutdown; runs in a signal handler, so it only sets what the loop looks at."""
        self._signals += 1
        self._state.shutting_down = True
        if self._signals == 1 and self._delay_seconds > 0:
            self._close_at = time.monotonic() + self._delay_seconds
            return
        self.should_exit = True
        self.force_exit = self._signals > 2

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen."""
        await super().startup(sockets=sockets)
        # What was made by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECTED_AT)
        sys.setswitchinterval(_SWITCH_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if self._close_at is not None and time.monotonic() >= self._close_at:
            self.should_exit = True
        if self._state.metrics.shared and counter % _TICKS_OF_A_SECOND == 0:
            note_condition(self._state)  # for a scrape that reaches another worker
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the requests in flight, and end what hangs on this process at the same time."""
        self._state.shutting_down = True
        closing = asyncio.get_running_loop().run_in_executor(None, self._on_close)
        await super().shutdown(sockets)
        if tasks := set(self.server_state.tasks):
            # uvicorn has cancelled them and does not wait; their answers (503) have to get out before the process ends.
            await asyncio.wait(tasks, timeout=_LAST_WORDS_SECONDS)
        await closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while serving.

        uvicorn sends itself the signal again at the end, which would end the process with that signal instead of 0.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
