"""Rows of tables on their way into scores, and their gradients on the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.factorization.representations import normalised


@dataclass(frozen=True)
class Vectors:
    """Rows of a table as they enter a score: unit vectors and their former norms, or the rows themselves."""

    rows: Tensor
    norms: Tensor | None

    @classmethod
    def of(cls, picked: Tensor, *, cosine: bool) -> Vectors:
        """What rows of a table, shape (n, D), are in a score."""
        return cls(*normalised(picked)) if cosine else cls(picked, None)

    def gradient(self, gradient: Tensor) -> Tensor:
        """From the gradient of the vectors to that of the table's rows; `gradient` is used up."""
        if self.norms is None:
            return gradient
        # d(p / |p|) leaves what is at right angles to p.
        along = (self.rows * gradient).sum(1, keepdim=True)
        return gradient.addcmul_(self.rows, along, value=-1).div_(self.norms)


def summed_rows(row_of: Tensor, gradients: list[Tensor], *, rows: int) -> Tensor:
    """Gradients of the same row added up, shape (rows, columns)."""
    together = torch.cat(gradients)
    return torch.zeros(rows, together.shape[1], device=together.device).index_add_(0, row_of, together)
