"""`likewise serve`: the HTTP service, with the trainer as its child unless that runs elsewhere."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.needs import check_model_dir, make_model_dir
from app.cli.output import say
from app.cli.stores import read_settings, when_ready

if TYPE_CHECKING:
    from app.db.engine import Store

_BACKLOG = 2048


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve, each a replica of its own.")] = 1,
) -> None:
    """Serve recommendations over HTTP.

    Trains in a child process, unless LIKEWISE_TRAINER=external says that `likewise trainer` runs elsewhere.
    """
    from app.security import check_bind, is_loopback

    settings = read_settings(service=True)
    trains = settings.trainer == "embedded"
    check_model_dir(settings, written=trains)
    # Nothing sets the event: a signal ends the process while it still starts.
    has_keys = when_ready(settings, _has_keys, stop=threading.Event())
    check_bind(host, settings, has_keys=bool(has_keys))
    if trains:
        make_model_dir(settings)
    listener = _listen(host, port)
    from app.child import Child, trainer_command

    trainer = Child("trainer", trainer_command) if trains else None
    say(f"Likewise listens on {_address(listener)}")
    if workers > 1:
        from app.cli.worker import run_workers

        run_workers(settings, listener, workers=workers, loopback=is_loopback(host), trainer=trainer)
    else:
        from app.cli.worker import run_server

        run_server(settings, listener, loopback=is_loopback(host), trainer=trainer)


def _has_keys(store: Store) -> bool:
    from app.db import keys

    with store.read() as connection:
        return bool(keys.active(connection))


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; they are answered once the service is up.

    Raises: CommandFailed, naming the address, where it is taken, not this machine's or no address at all.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise CommandFailed(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    except UnicodeError as error:  # such as a name with an empty or an over-long label
        raise CommandFailed(f"cannot listen on {host} port {port}: it is no host name") from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
