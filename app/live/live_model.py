"""The model in use, behind one reference."""

from __future__ import annotations

from dataclasses import dataclass

from app.db.watermark import Watermark
from model.candidates import Candidates
from model.served import ServedModel


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """A model version that answers requests, with what an answer says about it.

    Attributes:
        name: of its snapshot, and of the history that was written with it.
        candidates: its items and those that came since, as of now.
    """

    version: int
    created_us: int
    watermark: Watermark
    name: str
    candidates: Candidates

    @property
    def served(self) -> ServedModel:
        """What the training made."""
        return self.candidates.served


class LiveModel:
    """Holds the current model; readers take it once per request and so never mix two versions."""

    def __init__(self) -> None:
        self._current: ActiveModel | None = None

    def current(self) -> ActiveModel | None:
        """The model that answers now, or None before the first one."""
        return self._current

    def swap(self, model: ActiveModel | None) -> None:
        """Answer with `model` (None: with none) from the next request on; assigning one reference is atomic."""
        self._current = model
