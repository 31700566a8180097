"""ExplicitFactorizationModel: learn ratings that users gave.

``user_ids`` and ``item_ids`` are numbers here: rows of the model's tables, counted from 0.
Shapes: N interactions, U users, I items, D dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, SupportsFloat, SupportsIndex

import torch
from torch import Tensor, nn

from model.factorization.base import FactorizationModel
from model.factorization.persistent import OptimizerFunction
from model.interactions import Interactions
from model.losses import RATING_LOSSES
from model.sampling import RandomSource
from model.solvers import autograd
from model.solvers.task import RatingTask, make_rating_task
from model.torch_utils import cpu


class ExplicitFactorizationModel(FactorizationModel[RatingTask]):
    """A factorization model of ratings.

    z(u, i) = <P_u, Q_i> + b_u + c_i, unless a representation says otherwise. What is predicted for user u and item i,
    and how it is compared with an observed rating o:

    - ``regression``: z, by the squared error (z - o)^2.
    - ``poisson``: exp(z), the mean of a count, by exp(z) - o * z. Ratings are 0 or more.
    - ``logistic``: 1 / (1 + exp(-z)), the probability of a yes, by the cross-entropy. Ratings are 1 for yes and -1 or 0
      for no; what is negative counts as 0, what is above 1 as 1.

    Sizes are taken from the interactions of the first ``fit``; a later one goes on where the last one ended, for users
    and items within these sizes. On the CPU, one seed and one sequence of calls give the same bits.

    Args:
        loss: ``regression``, ``poisson`` or ``logistic``.
        embedding_dim: D.
        n_iter: epochs of one fit; 0 only initialises.
        batch_size: interactions of one step; the last step of an epoch takes what is left.
        l2: penalty added to the gradient of every parameter, as Adam's ``weight_decay``.
        learning_rate: Adam's step size.
        optimizer_func, use_cuda, representation, sparse: as for ``implicit.ImplicitFactorizationModel``.
        random_state: a numpy RandomState or Generator (used, not copied), a seed, or None for an unpredictable one.
        use_weights: a batch's loss is sum(w * loss) / sum(w) where the interactions carry weights.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None leaves it to ``use_cuda``.

    One integer is taken from the random state here, and one shuffle by each epoch. torch's global generator is neither
    read nor seeded.

    Raises: ValueError or TypeError for an argument outside its limits, before the random state is touched.
    """

    _higher_is_better: ClassVar[bool] = False

    def __init__(  # noqa: PLR0917 - the arguments and their order are Spotlight's
        self,
        loss: str = "regression",
        embedding_dim: SupportsIndex = 32,
        n_iter: SupportsIndex = 10,
        batch_size: SupportsIndex = 256,
        l2: SupportsFloat = 0.0,
        learning_rate: SupportsFloat = 1e-2,
        optimizer_func: OptimizerFunction | None = None,
        use_cuda: bool = False,
        representation: nn.Module | None = None,
        sparse: bool = False,
        random_state: RandomSource | SupportsIndex | None = None,
        *,
        use_weights: bool = False,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(
            loss=loss,
            losses=RATING_LOSSES,
            embedding_dim=embedding_dim,
            n_iter=n_iter,
            batch_size=batch_size,
            l2=l2,
            learning_rate=learning_rate,
            optimizer_func=optimizer_func,
            use_cuda=use_cuda,
            representation=representation,
            sparse=sparse,
            random_state=random_state,
            use_weights=use_weights,
            device=device,
        )

    def _task(self, interactions: Interactions, *, num_users: int, num_items: int) -> RatingTask:
        return make_rating_task(
            interactions,
            num_users=num_users,
            num_items=num_items,
            loss=self._loss,
            n_iter=self._n_iter,
            batch_size=self._batch_size,
            use_weights=self._use_weights,
        )

    def _epochs(
        self, task: RatingTask, net: nn.Module, optimizer: torch.optim.Optimizer, on_batch: Callable[[], None] | None
    ) -> Iterator[float]:
        return autograd.rating_epochs(
            task, net, optimizer, random_source=self._random_state, device=self._place, on_batch=on_batch
        )

    def _judged(self, validation: Interactions, train: Interactions) -> float:  # noqa: ARG002 - rankings need it
        """The mean loss of the ratings in ``validation``."""
        held_out = self._task(validation, num_users=self._num_users, num_items=self._num_items)
        scores = cpu(self._pair_scores(held_out.user_ids, held_out.item_ids))
        weights = None if held_out.weights is None else torch.from_numpy(held_out.weights)
        return float(RATING_LOSSES[self._loss](torch.from_numpy(held_out.ratings), scores, weights))

    def _predictions(self, scores: Tensor) -> Tensor:
        if self._loss == "poisson":
            return torch.exp(scores)
        if self._loss == "logistic":
            # torch.sigmoid rounds the last elements of a tensor in another way than the others; exp does not.
            return 1.0 / (1.0 + torch.exp(-scores))
        return scores
