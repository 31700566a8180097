"""Errors of the library that callers may want to tell apart."""

from __future__ import annotations


class NotFittedError(ValueError, RuntimeError):
    """The model was asked for scores or embeddings before its first ``fit``.

    It is a RuntimeError because the call came at the wrong time, and a ValueError as well because that is what code
    written for scikit-learn catches under the same name.
    """
