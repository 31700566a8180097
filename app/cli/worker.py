"""Serving in this process, and in several that share one listening socket."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.signals import ENDING
from app.cli.stores import read_settings

if TYPE_CHECKING:
    from app.child import Child
    from app.metrics import Metrics
    from app.settings import Settings

# What a worker gets beyond its own deadlines before it is killed.
_LATER_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 30.0


def worker(
    number: Annotated[int, typer.Option(hidden=True, help="Which of the workers this is, from 0.")],
    listener: Annotated[int, typer.Option(hidden=True, help="The descriptor of a socket that listens.")],
    loopback: Annotated[bool, typer.Option(hidden=True, help="Whether only this machine reaches it.")],
    parent_pipe: Annotated[
        int, typer.Option(hidden=True, help="A descriptor whose end means that the parent is gone.")
    ],
) -> None:
    """Serve connections of a socket that the parent listens on; ends when the parent does."""
    threading.Thread(target=_end_with_parent, args=(parent_pipe,), name="parent-pipe", daemon=True).start()
    from app.metrics import shared_metrics

    settings, connections = read_settings(service=True), socket.socket(fileno=listener)
    run_server(settings, connections, loopback=loopback, trainer=None, counted=shared_metrics(number))


def run_server(
    settings: Settings,
    listener: socket.socket,
    *,
    loopback: bool,
    trainer: Child | None,
    counted: Metrics | None = None,
) -> None:
    """Serve in this process until told to stop, with the trainer beside it; `counted` as `create_app` takes it."""
    from app.main import create_app
    from app.memory import return_freed_memory
    from app.server import Server

    return_freed_memory()
    app = create_app(settings, loopback=loopback, counted=counted)
    server = Server(app, settings, on_close=(lambda: None) if trainer is None else trainer.stop)
    try:
        if trainer is not None:
            trainer.start()
        server.run(sockets=[listener])
    finally:
        if trainer is not None:
            # Another signal must not leave the trainer behind; its own deadline bounds the wait.
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN)
            trainer.stop()
    if not server.started:
        raise CommandFailed("the service could not start; the log above says why")


def run_workers(
    settings: Settings, listener: socket.socket, *, workers: int, loopback: bool, trainer: Child | None
) -> None:
    """Keep some workers and the trainer running until told to stop; one that ends is started again.

    Each worker maps the same snapshots, so their arrays are in memory once.
    """
    from app.server import DRAIN_SECONDS

    stop = threading.Event()
    for number in ENDING:
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="likewise-metrics-", ignore_cleanup_errors=True) as counts:
        children = [_child(number, listener, loopback=loopback, counts=Path(counts)) for number in range(workers)]
        for child in (*children, *([] if trainer is None else [trainer])):
            child.start()
        try:
            while not stop.wait(_LOOK_SECONDS):
                if all(child.given_up for child in children):
                    raise CommandFailed("no worker could start; the log above says why")
        finally:
            for child in children:
                child.tell()
            # Those who still listen take what comes; when the last one has closed, nobody does.
            listener.close()
            if trainer is not None:
                trainer.stop()
            for child in children:
                child.stop(seconds=settings.shutdown_delay_seconds + DRAIN_SECONDS + _LATER_SECONDS)


def _child(number: int, listener: socket.socket, *, loopback: bool, counts: Path) -> Child:
    """One of the workers, not running yet; they count together in the folder `counts`, since a scrape reaches any."""
    from app.child import Child, worker_command
    from app.metrics import SHARED_FOLDER, forget_states

    return Child(
        "worker",
        partial(worker_command, number=number, listener=listener.fileno(), loopback=loopback),
        environ=os.environ | {SHARED_FOLDER: str(counts)},
        pass_fds=[listener.fileno()],
        on_end=partial(forget_states, counts, number),
    )


def _end_with_parent(pipe: int) -> None:
    """Wait until nobody holds the other end of the pipe: also a parent that was killed lets go of it.

    Such a one has left the folder behind.
    """
    while os.read(pipe, 1024):
        pass
    from app.metrics import SHARED_FOLDER

    atexit.register(shutil.rmtree, os.environ[SHARED_FOLDER], ignore_errors=True)
    # Again if it is still there after its deadlines: one that came while the process was starting got lost once.
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_AGAIN_SECONDS)
