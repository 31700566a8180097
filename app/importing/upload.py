"""The process that checks and stores one bulk upload: rows on stdin, what became of them as JSON on stdout.

`app.uploads` starts it, and says how it reads the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from app.clock import now_us
from app.db.engine import SchemaOutdated, StoreBusy, StoreFull, StoreUnavailable, open_store
from app.db.errors import of_file
from app.importing.files import RecordFile
from app.importing.kinds import INTERACTIONS, ITEMS
from app.importing.load import RowKind, load
from app.importing.records import BadFile
from app.memory import collect_rarely, return_freed_memory
from app.settings import load_settings

_KINDS: Mapping[str, RowKind[Any, Any]] = {"interactions": INTERACTIONS, "items": ITEMS}
_FAILURES: Mapping[type[Exception], str] = {StoreFull: "full", StoreBusy: "busy", SchemaOutdated: "outdated"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=sorted(_KINDS), required=True)
    parser.add_argument("--format", choices=["csv", "ndjson"], required=True)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--on-error", choices=["abort", "skip"], required=True)
    parser.add_argument("--max-bytes", type=int, required=True)
    parser.add_argument("--parent-pipe", type=int, required=True)
    chosen = parser.parse_args(arguments)
    return_freed_memory()
    collect_rarely()
    threading.Thread(target=_end_with_parent, args=(chosen.parent_pipe,), daemon=True).start()
    json.dump(_stored(chosen), sys.stdout)


def _stored(chosen: argparse.Namespace) -> dict[str, Any]:
    settings = load_settings()
    kind = _KINDS[chosen.kind]
    store = open_store(settings.database_url, deadline_seconds=settings.store_timeout_seconds)
    source = RecordFile(
        sys.stdin.buffer.raw,  # type: ignore[union-attr]  # a file
        "the upload",
        format=chosen.format,
        gzipped=chosen.gzip,
        columns=kind.columns,
        required=kind.required,
        max_bytes=chosen.max_bytes,
    )
    try:
        report = load(
            source,
            store,
            kind,
            on_error=chosen.on_error,
            spool_folder=settings.spool_dir,
            clock=now_us,
            whole=True,
        )
    except BadFile as error:
        return {"unreadable": error.code, "detail": error.reason}
    except (StoreUnavailable, SchemaOutdated) as error:
        return {"failure": _FAILURES.get(type(error), "unavailable"), "detail": str(error)}
    except OSError as error:
        told = of_file(error, settings.spool_dir, what="spool")
        return {"failure": _FAILURES.get(type(told), "unavailable"), "detail": str(told)}
    finally:
        store.dispose()
    return {
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "errors": [{"line": error.line, "code": error.code, "detail": error.detail} for error in report.errors],
    }


def _end_with_parent(pipe: int) -> None:
    """End when the service does, however it does."""
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
