"""What one training may be told: the recipe's constants and their bounds. Imported by the API too, so nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Loss = Literal["pointwise", "bpr", "hinge", "adaptive_hinge"]


class TrainingConfig(BaseModel):
    """Constants of one training; the defaults are the service's recipe (`docs/benchmarks.md` shows what it reaches).

    Unknown names and values out of bounds raise `pydantic.ValidationError`. The chosen prior (popularity's weight and
    half-life) is no part of it: each training chooses that on its own data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    loss: Annotated[Loss | None, Field(description="null: adaptive_hinge, or bpr for a catalogue too small for it")] = (
        None
    )
    embedding_dim: Annotated[int, Field(ge=1, le=512)] = 32
    n_iter: Annotated[int | None, Field(ge=1, le=1000, description="epochs; null: by the number of rows")] = None
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    learning_rate: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.005
    l2: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    num_negative_samples: Annotated[int, Field(ge=1, le=1000, description="used by adaptive_hinge")] = 10
    use_weights: Annotated[bool, Field(description="positives count by their events' weights")] = True
    exclude_positives: Annotated[bool, Field(description="redraw negatives that the user has interacted with")] = True
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
