"""FactorizationModel: what every factorization model has, whatever it learns from.

``user_ids`` and ``item_ids`` are numbers here: rows of the model's tables, counted from 0.
Shapes: U users, I items, D dimension.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import ClassVar, Generic, SupportsFloat, SupportsIndex, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from model.errors import NotFittedError
from model.factorization.growth import check_can_grow, take_over
from model.factorization.persistent import OptimizerFunction, PersistentModel
from model.factorization.representations import BilinearNet, SoftmaxNet, check_rows
from model.factorization.settings import known_device, known_loss, non_negative, whole
from model.factorization.stopping import BestEpoch, TimeIsUpError, timed
from model.interactions import Interactions, checked_ids
from model.sampling import RandomSource, as_random_source, drawn_seed
from model.solvers import autograd
from model.solvers.optimizers import default_optimizer
from model.solvers.task import Task
from model.torch_utils import cpu, evaluation_mode, threads_for

AnyTask = TypeVar("AnyTask", bound=Task)


class FactorizationModel(PersistentModel, Generic[AnyTask]):
    """Settings, tables, optimizer and random state of a factorization model, and all that does not depend on its data.

    A model says what it is fitted to (``_task``), by which solver (``_epochs``), what a score stands for
    (``_predictions``) and how held out interactions are predicted (``_judged``). The arguments are described where they
    are public: ``implicit.ImplicitFactorizationModel``, ``explicit.ExplicitFactorizationModel``.
    """

    _higher_is_better: ClassVar[bool]

    def __init__(
        self,
        *,
        loss: str,
        losses: Collection[str],
        embedding_dim: SupportsIndex,
        n_iter: SupportsIndex,
        batch_size: SupportsIndex,
        l2: SupportsFloat,
        learning_rate: SupportsFloat,
        optimizer_func: OptimizerFunction | None,
        use_cuda: bool,
        representation: nn.Module | None,
        sparse: bool,
        random_state: RandomSource | SupportsIndex | None,
        use_weights: bool,
        device: str | torch.device | None,
    ) -> None:
        self._loss = known_loss(loss, losses)
        self._embedding_dim = whole("embedding_dim", embedding_dim, at_least=1)
        self._n_iter = whole("n_iter", n_iter, at_least=0)
        self._batch_size = whole("batch_size", batch_size, at_least=1)
        self._l2 = non_negative("l2", l2)
        self._learning_rate = non_negative("learning_rate", learning_rate)
        self._optimizer_func = optimizer_func
        self._representation = representation
        self._sparse = sparse
        self._use_cuda, self._device = use_cuda, known_device(use_cuda, device)
        self._use_weights = use_weights

        self._random_state = as_random_source(random_state)
        self._seed = drawn_seed(self._random_state)
        self._loss_history: list[float] = []
        self._validation_history: list[float] = []
        self._num_users = 0
        self._num_items = 0
        self._net: nn.Module | None = None
        self._optimizer: torch.optim.Optimizer | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'[uninitialised]' if self._net is None else repr(self._net)}>"

    def fit(
        self,
        interactions: Interactions,
        verbose: bool = False,
        *,
        on_epoch: Callable[[int, float], bool | None] | None = None,
        on_batch: Callable[[], None] | None = None,
        validation: Interactions | None = None,
        patience: SupportsIndex | None = None,
        time_budget: SupportsFloat | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Train for ``n_iter`` epochs, from where the last fit ended.

        Args:
            interactions: what was observed; weights are used only with ``use_weights``.
            verbose: print the number and the loss of each epoch.
            on_epoch: called after each epoch with its number in this fit, from 1, and its loss; returning True ends
                the fit normally.
            on_batch: called after each batch; an exception it raises ends the fit and reaches the caller.
            validation: interactions held out, judged after each epoch (``validation_history``). When the fit has ended
                normally, net and optimizer are those of its best epoch.
            patience: end the fit after so many epochs without a better one; needs ``validation``.
            time_budget: end the fit normally after the batch in which so many seconds have passed. An epoch that was
                cut short has no entry in the histories.
            clock: what tells the seconds.

        Raises:
            ValueError: an id the model has no row for, a rating outside its limits, or a weight that is not finite,
                negative, or zero throughout: nothing has changed then. Also a loss that is NaN or infinite, with the
                epoch; the parameters are spoilt then. A loss of exactly zero is a model that has learnt its data, and
                no error.
            TypeError: a model of ratings was given none; nothing has changed.
        """
        users, items = self._num_users or interactions.num_users, self._num_items or interactions.num_items
        if validation is not None:
            self._task(validation, num_users=users, num_items=items)
        elif patience is not None:
            raise ValueError("patience needs validation: interactions to judge the epochs by")
        patience = None if patience is None else whole("patience", patience, at_least=1)
        budget = None if time_budget is None else non_negative("time_budget", time_budget)
        task = self._task(interactions, num_users=users, num_items=items)
        net, optimizer = self._initialised(interactions)
        best = BestEpoch(net, optimizer, higher_is_better=self._higher_is_better, patience=patience)
        epochs = self._epochs(task, net, optimizer, timed(on_batch, budget=budget, clock=clock))
        with suppress(TimeIsUpError):
            for epoch, loss in enumerate(epochs, start=1):
                self._report(epoch, loss, verbose=verbose)
                if validation is not None:
                    self._validation_history.append(self._judged(validation, interactions))
                    best.judged(self._validation_history[-1])
                if (on_epoch is not None and on_epoch(epoch, loss)) or best.exhausted:
                    break
        best.restore()

    def _report(self, epoch: int, loss: float, *, verbose: bool) -> None:
        if verbose:
            print(f"Epoch {epoch}: loss {loss}")  # noqa: T201 - what verbose asks for
        if not math.isfinite(loss):
            raise ValueError(f"the loss of epoch {epoch} is {loss}: a lower learning_rate may keep it finite")
        self._loss_history.append(loss)

    def grow(self, *, num_users: SupportsIndex | None = None, num_items: SupportsIndex | None = None) -> None:
        """Make room for more users and items; what was trained stays, the optimizer's moments too.

        New rows start as those of a fresh net, with moments of zero. One integer is taken from the random state. The
        next fit goes on with tables of the new sizes.

        Args:
            num_users, num_items: the new sizes, at least the present ones; None leaves a size as it is.
        Raises: NotFittedError before the first fit; ValueError for a smaller size, or what has a size of its own.
        """
        old_net, old_optimizer = self._fitted(), self._optimizer
        if self._representation is not None or old_optimizer is None:
            raise ValueError("a representation has its own size: only the default net can grow")
        users = self._num_users if num_users is None else whole("num_users", num_users, at_least=self._num_users)
        items = self._num_items if num_items is None else whole("num_items", num_items, at_least=self._num_items)
        if (users, items) == (self._num_users, self._num_items):
            return
        check_can_grow(old_optimizer)
        # Another seed: with the first one, new rows would repeat numbers that old rows started from.
        self._seed = drawn_seed(self._random_state)
        net, optimizer = self._make(users, items)
        take_over(net, optimizer, old_net=old_net, old_optimizer=old_optimizer)
        self._net, self._optimizer = net, optimizer
        self._num_users, self._num_items = users, items

    @abstractmethod
    def _task(self, interactions: Interactions, *, num_users: int, num_items: int) -> AnyTask:
        """Check the interactions, before anything has changed, and lay them out."""

    @abstractmethod
    def _epochs(
        self, task: AnyTask, net: nn.Module, optimizer: torch.optim.Optimizer, on_batch: Callable[[], None] | None
    ) -> Iterator[float]:
        """The losses of one epoch after another, as a solver trains."""

    @abstractmethod
    def _judged(self, validation: Interactions, train: Interactions) -> float:
        """How well the model, trained on ``train``, predicts ``validation``."""

    def _predictions(self, scores: Tensor) -> Tensor:
        """What ``predict`` returns for scores."""
        return scores

    def predict(self, user_ids: ArrayLike, item_ids: ArrayLike | None = None) -> NDArray[np.float32]:
        """Return predictions, higher is better: scores, or what a model of ratings makes of them.

        Forms: one user and no items, those of all items, shape (I,); one user and k items, shape (k,), in the order
        given; k users and k items, those of k pairs, shape (k,). Scalars, lists and arrays are accepted, arrays of
        several dimensions are flattened. Every form goes through one kernel that works pair by pair, so on the CPU a
        pair has the same bits in each of them.

        Returns: float32, shape (I,) or (k,), in host memory (a representation's own dtype where that differs).
        Raises:
            NotFittedError: before the first fit.
            ValueError: an id that is negative, fractional or outside the model; no ids; several users without items, or
                with another number of items.
            TypeError: ids that are not numbers.
        """
        self._fitted()
        users = checked_ids(user_ids, kind="user", count=self._num_users, holder="this model").reshape(-1)
        if item_ids is None:
            items = np.arange(self._num_items)
        else:
            items = checked_ids(item_ids, kind="item", count=self._num_items, holder="this model").reshape(-1)
        if len(users) == 1:
            users = np.repeat(users, len(items))
        elif item_ids is None or len(users) != len(items):
            asked = "no items" if item_ids is None else f"{len(items)} items"
            raise ValueError(
                f"{len(users)} users and {asked}: give one user alone (scores of all items), one user and k items, "
                "or k users and k items (the scores of k pairs)"
            )
        return cpu(self._predictions(self._pair_scores(users, items))).numpy()

    def _pair_scores(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Tensor:
        net = self._fitted()
        with evaluation_mode(net), torch.no_grad(), threads_for(len(users) * self._embedding_dim):
            return autograd.scores(net, *(torch.tensor(ids, device=self._place) for ids in (users, items)))

    @property
    def loss_history(self) -> list[float]:
        """The loss of every epoch so far, over all fits; a copy."""
        return list(self._loss_history)

    @property
    def validation_history(self) -> list[float]:
        """The judgement of every epoch of the fits with ``validation``; a copy."""
        return list(self._validation_history)

    @property
    def user_vectors(self) -> NDArray[np.float32]:
        """P, (U, D) float32: a copy. NotFittedError before the first fit, AttributeError without such a table."""
        return self._vectors("user", self._num_users)

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """Q, (I, D) float32: a copy. NotFittedError before the first fit, AttributeError without such a table."""
        return self._vectors("item", self._num_items)

    @property
    def user_biases(self) -> NDArray[np.float32]:
        """b, (U,) float32: a copy. NotFittedError before the first fit, AttributeError without such a table."""
        return self._table("user_biases", self._num_users)[:, 0]

    @property
    def item_biases(self) -> NDArray[np.float32]:
        """c, (I,) float32: a copy; zeros where the net was made without. Otherwise as ``user_biases``."""
        none = getattr(self._fitted(), "item_biases", self) is None
        return np.zeros(self._num_items, np.float32) if none else self._table("item_biases", self._num_items)[:, 0]

    def _initialised(self, interactions: Interactions) -> tuple[nn.Module, torch.optim.Optimizer]:
        if self._net is None or self._optimizer is None:
            self._net, self._optimizer = self._make(interactions.num_users, interactions.num_items)
            self._num_users, self._num_items = interactions.num_users, interactions.num_items
        return self._net, self._optimizer

    def _make(self, num_users: int, num_items: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        net = self._representation
        check_rows(net, num_users, num_items)
        if net is None:
            net = BilinearNet(
                num_users,
                num_items,
                self._embedding_dim,
                sparse=self._sparse,
                generator=torch.Generator().manual_seed(self._seed),
            )
        net = net.to(self._place)
        if self._optimizer_func is not None:
            return net, self._optimizer_func(net.parameters())
        return net, default_optimizer(net, learning_rate=self._learning_rate, l2=self._l2)

    def _fitted(self) -> nn.Module:
        if self._net is None:
            raise NotFittedError(f"this {type(self).__name__} has not been fitted: call fit(interactions) first")
        return self._net

    def _vectors(self, kind: str, rows: int) -> NDArray[np.float32]:
        net = self._fitted()
        if not isinstance(net, SoftmaxNet):
            return self._table(f"{kind}_embeddings", rows)
        # Its scores are products of something else than its tables.
        return (net.user_vectors() if kind == "user" else net.item_vectors()).cpu().numpy().copy()

    def _table(self, name: str, rows: int) -> NDArray[np.float32]:
        net = self._fitted()
        weight = getattr(getattr(net, name, None), "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2 or weight.shape[0] != rows:
            raise AttributeError(f"{type(net).__name__} has no table {name}.weight of {rows} rows")
        return cpu(weight.detach()).to(torch.float32).numpy().copy()
