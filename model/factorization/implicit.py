"""ImplicitFactorizationModel: learn from what users did, without ratings, by contrast with sampled items.

``user_ids`` and ``item_ids`` are numbers here: rows of the model's tables, counted from 0.
Shapes: U users, I items, D dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, SupportsFloat, SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.ranking import ScoreBatch
from model.evaluation.report import evaluate
from model.factorization.base import FactorizationModel
from model.factorization.persistent import OptimizerFunction
from model.factorization.representations import BilinearNet, SoftmaxNet
from model.factorization.settings import POPULARITY, known_negatives, non_negative, whole
from model.factorization.solvers import AUTOGRAD, COMPILED, Solver, check_solver, known_solver, losses_of, plain
from model.interactions import Interactions
from model.sampling import RandomSource
from model.solvers import autograd, pooled
from model.solvers.optimizers import RowAdam
from model.solvers.settings import CompiledSGD, PooledSoftmax
from model.solvers.task import FitTask, make_task


class ImplicitFactorizationModel(FactorizationModel[FitTask]):
    """A factorization model of implicit feedback, trained with negative sampling.

    score(u, i) = <P_u, Q_i> + b_u + c_i, unless a representation says otherwise. Sizes are taken from the interactions
    of the first ``fit``; a later one goes on where the last one ended, for users and items within these sizes.
    On the CPU, one seed and one sequence of calls give the same bits.

    Args:
        loss: ``pointwise``, ``bpr``, ``hinge``, ``adaptive_hinge`` (also written ``adaptive hinge``), ``log_bpr``,
            ``logistic``, ``warp`` or ``softmax``: see ``losses``.
        embedding_dim: D.
        n_iter: epochs of one fit; 0 only initialises.
        batch_size: interactions of one step; the last step of an epoch takes what is left.
        l2: penalty added to the gradient of every parameter, as Adam's ``weight_decay``.
        learning_rate: Adam's step size.
        optimizer_func: called once with the parameters of the net, returns the optimizer; replaces Adam, and
            ``learning_rate`` and ``l2`` with it.
        use_cuda: train and predict on the current CUDA device.
        representation: a module called as ``net(user_ids, item_ids)`` with two (B,) tensors that returns scores (B,);
            used as it is, not copied, instead of ``BilinearNet``.
        sparse: the four default tables get sparse gradients. The default optimizer is then ``RowAdam``: it touches, and
            penalises by ``l2``, only the rows of the batch, so a step costs the batch and not the catalogue.
        random_state: a numpy RandomState or Generator (used, not copied), a seed, or None for an unpredictable one.
        num_negative_samples: negatives of one positive, for ``adaptive_hinge``, ``warp`` and ``softmax``; the other
            losses take one.
        use_weights: a batch's loss is sum(w * loss) / sum(w) where the interactions carry weights.
        exclude_positives: negatives are drawn among the items the user has not interacted with (in the interactions of
            that fit). Users who have every item are left out of the training.
        negatives: ``uniform``, every item with equal chance, or ``popularity``, in proportion to how often the item
            occurs in the interactions of that fit, to the power of ``negative_alpha``; an item that does not occur is
            then no negative.
        negative_alpha: 0 or more.
        solver: ``autograd``; ``compiled``, the same training without autograd, several times as fast on the CPU, for
            the default net and optimizer and all losses but ``warp`` and ``softmax``; ``CompiledSGD(...)``, one
            interaction after another instead of batches, for the default net and all losses but ``adaptive_hinge`` and
            ``softmax``, always without the user's own items; or ``pooled`` or its settings, ``PooledSoftmax(...)``, for
            the loss ``softmax``: many negatives shared by a batch, always without the user's own items. The score is
            then that of ``representations.SoftmaxNet``, and the step size falls to zero within each fit.
        device: ``cpu``, ``cuda`` or ``cuda:N``, to train and predict there; None leaves it to ``use_cuda``.

    One integer is taken from the random state here; each epoch takes one shuffle and each batch one draw.
    torch's global generator is neither read nor seeded.

    Raises: ValueError or TypeError for an argument outside its limits, before the random state is touched.
    """

    _higher_is_better: ClassVar[bool] = True

    def __init__(  # noqa: PLR0917 - the arguments and their order are Spotlight's
        self,
        loss: str = "pointwise",
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
        num_negative_samples: SupportsIndex = 5,
        *,
        use_weights: bool = False,
        exclude_positives: bool = False,
        negatives: str = "uniform",
        negative_alpha: SupportsFloat = 0.75,
        solver: Solver | Mapping[str, Any] = AUTOGRAD,
        device: str | torch.device | None = None,
    ) -> None:
        self._num_negative_samples = whole("num_negative_samples", num_negative_samples, at_least=1)
        self._exclude_positives = exclude_positives
        self._negatives = known_negatives(negatives)
        self._negative_alpha = non_negative("negative_alpha", negative_alpha)
        known = known_solver(solver)
        own_parts = representation is not None or optimizer_func is not None or sparse
        on_cuda = use_cuda or str(device).startswith("cuda")
        check_solver(known, negatives=self._negatives, own_parts=own_parts, on_cuda=on_cuda)
        # Plain values, so that a saved model holds them.
        self._solver = plain(known)
        super().__init__(
            loss=loss,
            losses=losses_of(known),
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

    def _make(self, num_users: int, num_items: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        settings = known_solver(self._solver)
        if isinstance(settings, PooledSoftmax):
            net: nn.Module = SoftmaxNet(
                num_users,
                num_items,
                self._embedding_dim,
                similarity=settings.similarity,
                temperature=settings.temperature,
                item_bias=settings.item_bias,
                history=settings.history,
                generator=torch.Generator().manual_seed(self._seed),
            )
            net = net.to(self._place)
            return net, RowAdam(net.parameters(), lr=self._learning_rate, weight_decay=self._l2)
        net, optimizer = super()._make(num_users, num_items)
        if isinstance(settings, CompiledSGD):
            # Kept for its state, which is saved and grows with the tables; the solver takes the steps.
            kind = torch.optim.Adagrad if settings.optimizer == "adagrad" else torch.optim.SGD
            optimizer = kind(net.parameters(), lr=self._learning_rate, weight_decay=self._l2)
        return net, optimizer

    def _task(self, interactions: Interactions, *, num_users: int, num_items: int) -> FitTask:
        settings = known_solver(self._solver)
        needs_known = isinstance(settings, PooledSoftmax | CompiledSGD)
        return make_task(
            interactions,
            num_users=num_users,
            num_items=num_items,
            loss=self._loss,
            n_iter=self._n_iter,
            batch_size=self._batch_size,
            num_negative_samples=self._num_negative_samples,
            use_weights=self._use_weights,
            exclude_positives=self._exclude_positives or needs_known,
            with_known=needs_known,
            popularity_alpha=self._negative_alpha if self._negatives == POPULARITY else None,
        )

    def _epochs(
        self, task: FitTask, net: nn.Module, optimizer: torch.optim.Optimizer, on_batch: Callable[[], None] | None
    ) -> Iterator[float]:
        settings, source = known_solver(self._solver), self._random_state
        if isinstance(settings, PooledSoftmax):
            # Made by _make for these settings, as the nets and optimizers below.
            softmax_net, row_adam = cast(SoftmaxNet, net), cast(RowAdam, optimizer)
            return pooled.epochs(
                task,
                softmax_net,
                row_adam,
                settings,
                random_source=source,
                on_batch=on_batch,
            )
        if isinstance(settings, CompiledSGD):
            from model.solvers import sgd

            bilinear = cast(BilinearNet, net)
            return sgd.epochs(task, bilinear, optimizer, settings, random_source=source, on_batch=on_batch)
        if settings == COMPILED:
            from model.solvers import minibatch

            bilinear, adam = cast(BilinearNet, net), cast(torch.optim.Adam, optimizer)
            return minibatch.epochs(task, bilinear, adam, random_source=source, on_batch=on_batch)
        return autograd.epochs(task, net, optimizer, random_source=source, device=self._place, on_batch=on_batch)

    def _judged(self, validation: Interactions, train: Interactions) -> float:
        """NDCG@20 over all items the user has not interacted with in ``train``, the mean over the users."""
        test, seen = (
            ItemsByUser.from_pairs(part.user_ids, part.item_ids, num_users=self._num_users)
            for part in (validation, train)
        )

        return float(evaluate(self._scores_of_all_items(), test, seen=seen).ndcg.mean())

    def _scores_of_all_items(self) -> ScoreBatch:
        if self._representation is not None:
            return lambda users_B: np.stack([self.predict(int(user)) for user in users_B])
        users_UD, items_ID, biases_I = self.user_vectors, self.item_vectors, self.item_biases

        def score_batch(users_B: NDArray[np.int64]) -> NDArray[np.float32]:
            # Without the user's bias, which moves all items alike.
            scores_BI: NDArray[np.float32] = users_UD[users_B] @ items_ID.T + biases_I
            return scores_BI

        return score_batch
