"""What one training may be told: the recipe's constants and their bounds. Imported by the API too, so nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Loss = Literal["softmax", "pointwise", "bpr", "hinge", "adaptive_hinge", "log_bpr", "logistic", "warp"]


class TrainingConfig(BaseModel):
    """Constants of one training; the defaults are the service's recipe (`docs/benchmarks.md` shows what it reaches).

    Unknown names and values out of bounds raise `pydantic.ValidationError`. The policy (fold-in, popularity's weight
    and half-life, repeats) is no part of it: each training chooses that on its own data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    loss: Annotated[Loss, Field(description="softmax is fitted by the pooled solver, all others by autograd")] = (
        "softmax"
    )
    embedding_dim: Annotated[int, Field(ge=1, le=512)] = 64
    n_iter: Annotated[int | None, Field(ge=1, le=1000, description="epochs; null: by the number of rows")] = None
    batch_size: Annotated[int | None, Field(ge=1, le=1_000_000, description="null: 4096 for softmax, else 1024")] = None
    learning_rate: Annotated[
        float | None, Field(gt=0, le=10, allow_inf_nan=False, description="null: 0.03 for softmax, else 0.005")
    ] = None
    l2: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False, description="of softmax")] = 0.2
    history: Annotated[
        float, Field(ge=0, le=1000, allow_inf_nan=False, description="of softmax: weight of the mean of a user's items")
    ] = 2.0
    negative_weight: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False, description="of softmax")] = 1.0
    pool_size: Annotated[int, Field(ge=1, le=1_000_000, description="items a batch of softmax is contrasted with")] = (
        4096
    )
    num_negative_samples: Annotated[int, Field(ge=1, le=1000, description="used by adaptive_hinge and warp")] = 10
    use_weights: Annotated[bool, Field(description="positives count by their events' weights")] = True
    exclude_positives: Annotated[bool, Field(description="redraw negatives that the user has interacted with")] = True
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
