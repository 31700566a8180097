"""What a command needs beside the store: the model folder, the device. Looked at before anything is waited for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from app.settings import Settings

_READ, _WRITTEN = os.R_OK | os.X_OK, os.R_OK | os.W_OK | os.X_OK


def check_model_dir(settings: Settings, *, written: bool) -> None:
    """See to it that the model folder can be used, without making anything; one that is not there yet may be made.

    Args:
        written: whether this process, or its trainer, writes snapshots there; else it only reads them.
    Raises: ConfigurationError.
    """
    folder = settings.model_dir.absolute()
    try:
        there = _nearest(folder)
    except OSError as error:
        raise _wrong(folder, error.strerror or "it cannot be looked at") from None
    if not there.is_dir():
        raise _wrong(folder, f"{'it' if there == folder else there} is not a folder")
    if there != folder and written and not os.access(there, os.W_OK | os.X_OK):
        raise _wrong(folder, f"{there} cannot be written, so it cannot be made there")
    if there == folder and not os.access(folder, _WRITTEN if written else _READ):
        raise _wrong(folder, "it cannot be written" if os.access(folder, _READ) else "it cannot be read")


def make_model_dir(settings: Settings) -> None:
    """Make the model folder where it is missing. Raises: ConfigurationError."""
    try:
        settings.model_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _wrong(settings.model_dir.absolute(), f"it cannot be made: {error.strerror}") from None


def check_device(settings: Settings) -> None:
    """See to it that LIKEWISE_DEVICE is there. Loads torch for `cuda`. Raises: ConfigurationError."""
    if settings.device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigurationError(
            "LIKEWISE_DEVICE is wrong: this machine, or this build of PyTorch, has no CUDA device; write auto or cpu"
        )


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there. Raises: OSError, such as for a path below a file."""
    while True:
        try:
            folder.lstat()
        except FileNotFoundError:
            folder = folder.parent
        else:
            return folder


def _wrong(folder: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"LIKEWISE_MODEL_DIR is wrong: the folder {folder} cannot be used: {reason}")
