"""Bulk uploads: received into a file, then checked and stored by a process of their own.

Reading ten million rows takes a processor for minutes and some hundred megabytes. In a process of its own it takes
neither from those who ask for lists, and whatever becomes of it, nothing is stored by halves.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Literal

from app.db.engine import SchemaOutdated, StoreBusy, StoreFull, StoreUnavailable
from app.db.errors import of_file
from app.settings import PREFIX, Settings

Kind = Literal["interactions", "items"]
Format = Literal["csv", "ndjson"]
OnError = Literal["abort", "skip"]

# Received or waiting at a time: each may take the largest size on the disk twice.
MOST_AT_ONCE = 8
# So long an upload may take, and longer by what it has sent: else eight who send a byte now and then keep all out.
FIRST_SECONDS = 60.0
LEAST_BYTES_A_SECOND = 16 * 1024
_WRITTEN_BYTES = 1024 * 1024
_FAILURES = {
    "full": StoreFull,
    "busy": StoreBusy,
    "outdated": SchemaOutdated,
    "unavailable": StoreUnavailable,
}


class TooLarge(Exception):
    """An upload is over LIKEWISE_MAX_BULK_BYTES."""


class TooSlow(Exception):
    """An upload would keep its place for too long."""


class Unreadable(Exception):
    """An upload cannot be read as what it says it is; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an upload; `errors` are `{"line", "code", "detail"}` of the first rejected rows."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[dict[str, Any]]


class BulkUploads:
    """Receives uploads, and has them stored one after the other.

    Args:
        most_at_once: how many are received or wait at a time.
        first_seconds: what the body may take beside what it may for its size.
    """

    def __init__(
        self, settings: Settings, *, most_at_once: int = MOST_AT_ONCE, first_seconds: float = FIRST_SECONDS
    ) -> None:
        self._settings = settings
        self._first_seconds = first_seconds
        self._most_at_once = most_at_once
        self._admitted = 0
        self._turn = asyncio.Lock()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Room for one. Raises: StoreBusy when there is none."""
        if self._admitted >= self._most_at_once:
            raise StoreBusy(f"{self._admitted} uploads are received or wait to be stored already")
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    @asynccontextmanager
    async def received(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[IO[bytes]]:
        """A file without a name that holds the upload. Raises: TooLarge, TooSlow, StoreFull, StoreUnavailable."""
        with _file_errors(self._settings):
            file = await asyncio.to_thread(self._new_file)
        try:
            waiting = bytearray()
            size = 0
            waited, since = 0.0, time.monotonic()
            async for chunk in chunks:
                waited += time.monotonic() - since
                waiting += chunk
                size += len(chunk)
                if size > self._settings.max_bulk_bytes:
                    raise TooLarge
                if waited > self._first_seconds + size / LEAST_BYTES_A_SECOND:
                    raise TooSlow(f"the body came at less than {LEAST_BYTES_A_SECOND:,} bytes a second; send it again")
                if len(waiting) >= _WRITTEN_BYTES:
                    with _file_errors(self._settings):
                        await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
                since = time.monotonic()
            with _file_errors(self._settings):
                await asyncio.to_thread(file.write, waiting)
                await asyncio.to_thread(file.flush)
            yield file
        finally:
            with suppress(OSError):  # a last write on a full disk, which was told already
                file.close()

    async def store(
        self,
        file: IO[bytes],
        *,
        kind: Kind,
        form: Format,
        gzipped: bool,
        on_error: OnError,
    ) -> Report:
        """Check the rows and store them, all in one transaction.

        Raises: Unreadable; TooLarge for what inflates to too much; StoreUnavailable and its kinds; SchemaOutdated.
        """
        options = ["--kind", kind, "--format", form, "--on-error", on_error]
        options += ["--max-bytes", str(self._settings.max_bulk_bytes), *(["--gzip"] if gzipped else [])]
        async with self._turn:
            file.seek(0)
            return _report(await self._run(file, options))

    async def _run(self, file: IO[bytes], options: list[str]) -> bytes:
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-m", "app.importing.upload", "--parent-pipe", str(read_end), *options],
                stdin=file,
                stdout=subprocess.PIPE,
                pass_fds=[read_end],
                start_new_session=True,
                env=os.environ | _environ(self._settings),
            )
            try:
                output, _ = await asyncio.to_thread(process.communicate)
            except asyncio.CancelledError:
                # The client is gone, or the service ends: what is not committed by now is not going to be.
                process.kill()
                process.wait()
                raise
        finally:
            os.close(read_end)
            os.close(write_end)
        if process.returncode:
            raise StoreUnavailable(f"the process that stored the upload ended with {process.returncode}")
        return output

    def _new_file(self) -> IO[bytes]:
        self._settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._settings.spool_dir, prefix="likewise-")


def _environ(settings: Settings) -> Mapping[str, str]:
    """What the process needs of the settings, whatever they came from."""
    chosen = {
        "DATABASE_URL": settings.database_url,
        "SPOOL_DIR": str(settings.spool_dir),
        "STORE_TIMEOUT_SECONDS": str(settings.store_timeout_seconds),
    }
    return {PREFIX + name: value for name, value in chosen.items()}


def _report(output: bytes) -> Report:
    told: dict[str, Any] = json.loads(output)
    if (failure := told.get("failure")) is not None:
        raise _FAILURES[failure](told["detail"])
    if (code := told.get("unreadable")) is not None:
        raise TooLarge if code == "body_too_large" else Unreadable(code, told["detail"])
    return Report(**told)


@contextmanager
def _file_errors(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise of_file(error, settings.spool_dir, what="spool") from error
