"""The durable store of snapshots: a folder per model version and per history, whole or not there at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import structlog
from numpy.typing import NDArray

from app.db.watermark import Watermark
from model.histories import Histories
from model.served import ServedModel
from model.snapshot import Snapshot, SnapshotError, load_snapshot, write_snapshot

Kind = Literal["model", "history"]

_FOLDERS: dict[Kind, str] = {"model": "models", "history": "history"}
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_TEMPORARY = ".tmp-"
_log = structlog.get_logger(__name__)


class SnapshotStore:
    """Snapshots under one root: `models/NAME/` and `history/NAME/`, names sorting by age.

    Any number of processes may use one root at a time. A save that is killed leaves a `.tmp-*` folder and nothing else.

    Args:
        pause: as `model.snapshot.load_snapshot` takes it.
    """

    def __init__(self, root: Path, *, pause: Callable[[], object] = lambda: None) -> None:
        self.root = root
        self._pause = pause

    def save(
        self,
        kind: Kind,
        name: str,
        arrays: Mapping[str, NDArray[Any]],
        *,
        store_id: str,
        created_at: str,
        facts: Mapping[str, Any],
    ) -> tuple[str, str]:
        """Write a snapshot durably: temporary folder, fsync, rename, fsync of the parent.

        Args:
            kind: what it is; it says which folder it lies in.
            name: its folder's name, new and sorting after the older ones.
            arrays, created_at, facts: what `model.snapshot.write_snapshot` takes.
            store_id: the store whose keys the arrays speak of.
        Returns: the folder's name and the SHA-256 of its manifest.
        Raises: ValueError for a name that is no plain name; FileExistsError when it is taken; OSError (disk full).
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"snapshot name {name!r} is not letters, digits, dots, dashes and underscores")
        target = self.folder(kind, name)
        if target.exists():
            raise FileExistsError(f"snapshot {name} exists already")
        _make_durable_folder(target.parent)
        with self._temporary() as folder:
            written = folder / "snapshot"
            sha256 = write_snapshot(written, arrays, kind=kind, store_id=store_id, created_at=created_at, facts=facts)
            # Onto a folder that appeared meanwhile the rename fails (a snapshot's folder is never empty).
            written.rename(target)
            _fsync_folder(target.parent)
        return name, sha256

    def is_readable(self, kind: Kind, folder: str, store_id: str | None = None) -> bool:
        """Whether there is a snapshot in this release's form, of this store if one is given.

        What is in its arrays is not looked at: they may well be damaged.
        """
        try:
            load_snapshot(self.folder(kind, folder), kind=kind, store_id=store_id, verify=False)
        except (SnapshotError, OSError):
            return False
        return True

    def load_model(self, folder: str, store_id: str, *, verify: bool = True) -> tuple[ServedModel, Snapshot]:
        """The served model of one folder, memory-mapped. Raises SnapshotError when anything does not match."""
        if not _NAME.fullmatch(folder):
            raise SnapshotError(Path(folder), "folder", "its name is no plain name")
        snapshot_folder = self.folder("model", folder)
        snapshot = load_snapshot(snapshot_folder, kind="model", store_id=store_id, verify=verify, pause=self._pause)
        try:
            return ServedModel.from_arrays(snapshot.arrays, snapshot.facts, pause=self._pause), snapshot
        except ValueError as error:
            raise SnapshotError(snapshot_folder, "arrays", str(error)) from error

    def latest_history(self, store_id: str, names: Collection[str]) -> tuple[Histories, Watermark, str] | None:
        """The newest of some histories that loads, its watermark and its folder's name; None without one.

        What does not load (damaged, of another store) is skipped with a warning in the log.
        """
        for name in sorted(names, reverse=True):
            try:
                folder = self.folder("history", name)
                snapshot = load_snapshot(folder, kind="history", store_id=store_id, pause=self._pause)
                histories = Histories.from_arrays(snapshot.arrays, snapshot.facts)
                return histories, Watermark.from_json(snapshot.facts["watermark"]), name
            except (KeyError, TypeError, ValueError, OSError) as error:  # SnapshotError is a ValueError
                _log.warning("history_snapshot_skipped", snapshot=name, reason=str(error))
        return None

    def names(self, kind: Kind) -> list[str]:
        """Names of the finished snapshots of one kind, oldest first."""
        try:
            entries = [entry.name for entry in os.scandir(self.root / _FOLDERS[kind]) if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in entries if _NAME.fullmatch(name))

    def models_with_user(self, user_key: int) -> list[str]:
        """Names of the models that have a row for a user, oldest first. What cannot be read has none for anybody."""
        found = []
        for name in self.names("model"):
            try:
                keys = load_snapshot(self.folder("model", name), kind="model", store_id=None, verify=False).arrays
                held = keys["user_keys"]
            except (SnapshotError, KeyError, OSError):
                continue
            place = int(held.searchsorted(user_key))
            if place < len(held) and held[place] == user_key:
                found.append(name)
        return found

    def folder(self, kind: Kind, name: str) -> Path:
        """Where a snapshot of that name lies or would lie."""
        return self.root / _FOLDERS[kind] / name

    def remove(self, kind: Kind, name: str) -> None:
        """Take one snapshot away. A reader that has it mapped keeps its pages; nobody can load half of it."""
        doomed = self.root / f"{_TEMPORARY}{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            # Renamed first: deleting in place would show a folder that misses files, for as long as it takes.
            self.folder(kind, name).rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def prune(self, *, store_id: str, models: Collection[str], histories_kept: int = 2) -> list[str]:
        """Remove those of `models` that are this store's, and all but its newest histories.

        Snapshots of another store, or that no manifest of a known form speaks for, are left alone.
        Returns: the names removed.
        """
        doomed = [name for name in self._of_store("model", store_id) if name in models]
        histories = self._of_store("history", store_id)[: -histories_kept or None]
        for name in doomed:
            self.remove("model", name)
        for name in histories:
            self.remove("history", name)
        return doomed + histories

    def sweep(self, *, older_than_seconds: float = 300.0) -> list[str]:
        """Remove temporary folders that a killed process left: old enough and held by nobody. Returns their names."""
        removed = []
        for folder in sorted(self.root.glob(f"{_TEMPORARY}*")):
            if time.time() - _newest_mtime(folder) >= older_than_seconds and _take(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder.name)
        return removed

    def _of_store(self, kind: Kind, store_id: str) -> list[str]:
        return [name for name in self.names(kind) if self.is_readable(kind, name, store_id)]

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = self.root / f"{_TEMPORARY}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Held until the end: `sweep` of another process leaves a slow save alone. A killed process lets go.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _make_durable_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_durable_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _newest_mtime(folder: Path) -> float:
    newest = 0.0
    with suppress(FileNotFoundError):
        newest = folder.stat().st_mtime
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                newest = max(newest, path.lstat().st_mtime)
    return newest


def _take(folder: Path) -> bool:
    """Whether no living process holds the folder."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
