"""Recommendations from feedback: who did something with what, or who rated what.

    >>> from model import ImplicitFactorizationModel, Interactions

Names are looked up when they are first asked for. Importing the package, or the numpy-only part of it, therefore
never imports torch: a process that only serves scores starts in a fraction of the time and memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.errors import NotFittedError
    from model.factorization.explicit import ExplicitFactorizationModel
    from model.factorization.implicit import ImplicitFactorizationModel
    from model.factorization.representations import BilinearNet
    from model.histories import Histories
    from model.interactions import Interactions, SequenceInteractions
    from model.layers import BloomEmbedding
    from model.served import ServedModel
    from model.snapshot import Snapshot, SnapshotError, load_snapshot, write_snapshot
    from model.solvers.settings import CompiledSGD, PooledSoftmax
    from model.vocabulary import StringTable, Vocabulary

__all__ = [
    "BilinearNet",
    "BloomEmbedding",
    "CompiledSGD",
    "ExplicitFactorizationModel",
    "Histories",
    "ImplicitFactorizationModel",
    "Interactions",
    "NotFittedError",
    "PooledSoftmax",
    "SequenceInteractions",
    "ServedModel",
    "Snapshot",
    "SnapshotError",
    "StringTable",
    "Vocabulary",
    "load_snapshot",
    "write_snapshot",
]

_HOMES = {
    "BilinearNet": "model.factorization.representations",
    "BloomEmbedding": "model.layers",
    "CompiledSGD": "model.solvers.settings",
    "ExplicitFactorizationModel": "model.factorization.explicit",
    "Histories": "model.histories",
    "ImplicitFactorizationModel": "model.factorization.implicit",
    "Interactions": "model.interactions",
    "NotFittedError": "model.errors",
    "SequenceInteractions": "model.interactions",
    "PooledSoftmax": "model.solvers.settings",
    "ServedModel": "model.served",
    "Snapshot": "model.snapshot",
    "SnapshotError": "model.snapshot",
    "StringTable": "model.vocabulary",
    "Vocabulary": "model.vocabulary",
    "load_snapshot": "model.snapshot",
    "write_snapshot": "model.snapshot",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
