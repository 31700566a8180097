"""How a command ends when it cannot do what it was asked."""

from __future__ import annotations

FAILED = 1
WRONG_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


class CommandFailed(Exception):
    """A command could not do its work; the message is one line that says why and what to do. Exit code 1."""


def exit_code(error: Exception) -> int | None:
    """The exit code of an error whose message is meant for people; None for one that is a defect of ours."""
    if isinstance(error, CommandFailed):
        return FAILED
    from app.db.engine import SchemaOutdated, StoreUnavailable, StoreUnusable
    from app.errors import ConfigurationError
    from model.snapshot import SnapshotError

    if isinstance(error, ConfigurationError | SchemaOutdated | StoreUnusable):
        return WRONG_CONFIGURATION
    if isinstance(error, StoreUnavailable | SnapshotError):
        return FAILED
    return None
