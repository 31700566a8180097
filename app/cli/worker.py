"""Serving in this process, and in several that share one listening socket."""

from __future__ import annotations

import os
import signal
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.signals import ENDING
from app.cli.stores import read_settings

if TYPE_CHECKING:
    from app.child import Child
    from app.settings import Settings

# What a worker gets beyond its own deadlines before it is killed.
_LATER_SECONDS = 5.0
_LOOK_SECONDS = 1.0


def worker(
    listener: Annotated[int, typer.Option(hidden=True, help="The descriptor of a socket that listens.")],
    loopback: Annotated[bool, typer.Option(hidden=True, help="Whether only this machine reaches it.")],
    parent_pipe: Annotated[
        int, typer.Option(hidden=True, help="A descriptor whose end means that the parent is gone.")
    ],
) -> None:
    """Serve connections of a socket that the parent listens on; ends when the parent does."""
    threading.Thread(target=_end_with_parent, args=(parent_pipe,), name="parent-pipe", daemon=True).start()
    run_server(read_settings(service=True), socket.socket(fileno=listener), loopback=loopback, trainer=None)


def run_server(settings: Settings, listener: socket.socket, *, loopback: bool, trainer: Child | None) -> None:
    """Serve in this process until told to stop, with the trainer beside it."""
    from app.main import create_app
    from app.memory import return_freed_memory
    from app.server import Server

    return_freed_memory()
    app = create_app(settings, loopback=loopback)
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
    from app.child import Child, worker_command
    from app.server import DRAIN_SECONDS

    descriptor = listener.fileno()
    command = partial(worker_command, listener=descriptor, loopback=loopback)
    children = [Child("worker", command, pass_fds=[descriptor]) for _ in range(workers)]
    stop = threading.Event()
    for number in ENDING:
        signal.signal(number, lambda *_: stop.set())
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


def _end_with_parent(pipe: int) -> None:
    """Wait until nobody holds the other end of the pipe: also a parent that was killed lets go of it."""
    while os.read(pipe, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
