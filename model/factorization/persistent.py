"""PersistentModel: a model that can be put down and taken up again, in a folder or by pickle, with the same bits."""

from __future__ import annotations

import copy
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from model.factorization.saved import read_saved, refused_as_damaged, write_saved
from model.factorization.settings import known_device, placed, whole
from model.sampling import RandomSource, plain_random_state, restored_random_state

OptimizerFunction = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]

# Arguments that are code: a folder holds the tensors of their state, and they are given again.
_CODE = ("representation", "optimizer_func")

# What a model has besides its arguments, its net and its optimizer.
_KEPT = ("seed", "random_state", "loss_history", "validation_history", "num_users", "num_items")


class PersistentModel(ABC):
    """Saving and loading for a model that keeps the constructor's argument NAME as ``_NAME``."""

    _representation: nn.Module | None
    _optimizer_func: OptimizerFunction | None
    _embedding_dim: int
    _use_cuda: bool
    _device: str | None
    _random_state: RandomSource
    _seed: int
    _loss_history: list[float]
    _validation_history: list[float]
    _num_users: int
    _num_items: int
    _net: nn.Module | None
    _optimizer: torch.optim.Optimizer | None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to a new folder, without pickle: settings, tables, optimizer, random state, loss history.

        Of a ``representation`` and an ``optimizer_func`` only the tensors of their state are written.

        Raises: FileExistsError if the folder exists; another OSError if it cannot be written; TypeError, before
            anything is written, if a representation or an optimizer has a state of more than plain values and tensors.
        """
        state = self.__getstate__()
        settings = {name: state[f"_{name}"] for name in _settings(type(self))}
        given = [name for name in _CODE if state[f"_{name}"] is not None]
        kept = {name: state[f"_{name}"] for name in _KEPT}
        fitted = {"net": None if self._net is None else dict(self._net.state_dict()), "optimizer": state["_optimizer"]}
        write_saved(Path(folder), {"settings": settings, "given": given, **kept, **fitted}, kind=type(self).__name__)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        representation: nn.Module | None = None,
        optimizer_func: OptimizerFunction | None = None,
        use_cuda: bool | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Read a model that ``save`` wrote. On the CPU it goes on with the same bits as if it had never been away.

        Args:
            folder: where it is.
            representation: the net, if the model was made with one; its values are replaced by those saved.
            optimizer_func: the function, if the model was made with one; it is called once more.
            use_cuda, device: where to go on, as for the constructor; without both, where the model was.
        Raises: ValueError naming the file if something is missing, damaged, or of another model or representation;
            ValueError if a representation or an optimizer_func is missing, or given to a model that was made without.
        """
        path = Path(folder).resolve()
        state = read_saved(path, kind=cls.__name__)
        code = {"representation": representation, "optimizer_func": optimizer_func}
        with refused_as_damaged(path):
            wrongly = {name: (value is None) == (name in state["given"]) for name, value in code.items()}
            cuda, where = state["settings"].pop("use_cuda"), state["settings"].pop("device")
            if use_cuda is not None or device is not None:
                cuda, where = bool(use_cuda), device
        for name in (name for name, wrong in wrongly.items() if wrong):
            way = "with" if code[name] is None else "without"
            raise ValueError(f"this model was saved {way} {name} and must be loaded {way} it")
        known_device(cuda, where)

        make: Callable[..., Self] = cls
        with refused_as_damaged(path):
            model = make(**state["settings"] | code | {"use_cuda": cuda, "device": where, "random_state": 0})
            model._random_state = restored_random_state(state["random_state"])
            model._seed = whole("seed", state["seed"], at_least=-(10**8))
            model._loss_history = [float(loss) for loss in state["loss_history"]]
            model._validation_history = [float(value) for value in state["validation_history"]]
            model._num_users = whole("num_users", state["num_users"], at_least=0)
            model._num_items = whole("num_items", state["num_items"], at_least=0)
            if state["net"] is None:
                return model
            if representation is None:
                model._require_tables(state["net"])
        # Outside of the block: an error of the optimizer function is not one of the folder.
        net, optimizer = model._make(model._num_users, model._num_items)
        with refused_as_damaged(path):
            model._restore(net, optimizer, net_state=state["net"], optimizer_state=state["optimizer"])
        return model

    def __getstate__(self) -> dict[str, Any]:
        # Plain values and tensors, apart from a representation and an optimizer function: torch.load then needs no
        # permission but for the class of the model.
        own_net = None if self._representation is not None else self._net
        return self.__dict__ | {
            # A copy that shared them would see the other one's fits.
            "_loss_history": list(self._loss_history),
            "_validation_history": list(self._validation_history),
            "_random_state": plain_random_state(self._random_state),
            "_net": None if own_net is None else dict(own_net.state_dict()),
            "_optimizer": None if self._optimizer is None else self._optimizer.state_dict(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        source = restored_random_state(state["_random_state"])
        self.__dict__.update(state, _random_state=source, _net=None, _optimizer=None)
        if state["_optimizer"] is not None:
            net, optimizer = self._make(self._num_users, self._num_items)
            self._restore(net, optimizer, net_state=state["_net"], optimizer_state=state["_optimizer"])

    @property
    def _place(self) -> torch.device:
        return placed(self._use_cuda, self._device)

    @abstractmethod
    def _make(self, num_users: int, num_items: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the net and the optimizer a first fit would start from."""

    def _restore(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        net_state: dict[str, Any] | None,
        optimizer_state: dict[str, Any],
    ) -> None:
        if net_state is not None:
            net.load_state_dict(net_state)
        # Copied, because torch keeps the tensors it is given: two models would train on the same moments.
        optimizer.load_state_dict(copy.deepcopy(optimizer_state))
        self._net, self._optimizer = net, optimizer

    def _require_tables(self, net_state: dict[str, Any]) -> None:
        # Before the net is made: a wrong size would take its memory first and be refused afterwards.
        for name, rows in (("user_embeddings", self._num_users), ("item_embeddings", self._num_items)):
            shape = tuple(net_state[f"{name}.weight"].shape)
            if shape != (rows, self._embedding_dim):
                raise ValueError(f"{name}.weight has the shape {shape}, not {(rows, self._embedding_dim)}")


def _settings(model: type) -> list[str]:
    return [name for name in inspect.signature(model).parameters if name not in {*_CODE, "random_state"}]
