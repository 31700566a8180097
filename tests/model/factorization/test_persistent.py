"""A model that is put down and taken up again: the same bits as without the pause."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model import BilinearNet, ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions
from model.factorization.base import FactorizationModel
from model.factorization.saved import read_saved, write_saved

IMPLICIT = ["pointwise", "bpr", "hinge", "adaptive_hinge", "log_bpr", "logistic", "warp", "softmax"]
EXPLICIT = ["regression", "poisson", "logistic"]
USERS, ITEMS = 7, 11

Model = FactorizationModel[Any]
Pause = Callable[[Model, Path], Model]


def some_interactions() -> Interactions:
    drawn = np.random.RandomState(0)
    return Interactions(
        drawn.randint(0, USERS, 60),
        drawn.randint(0, ITEMS, 60),
        ratings=drawn.randint(0, 2, 60),
        num_users=USERS,
        num_items=ITEMS,
    )


def made(loss: str, **settings: Any) -> Model:
    arguments: dict[str, Any] = {"n_iter": 1, "batch_size": 16, "embedding_dim": 4, "l2": 1e-3, "random_state": 3}
    kind = ImplicitFactorizationModel if loss in IMPLICIT else ExplicitFactorizationModel
    return kind(loss=loss, **arguments | settings)


def by_folder(model: Model, folder: Path, **code: Any) -> Model:
    model.save(folder / "saved")
    return type(model).load(folder / "saved", **code)


def by_pickle(model: Model, folder: Path) -> Model:
    copied: Model = pickle.loads(pickle.dumps(model))  # noqa: S301 - made in the same line
    return copied


def by_torch(model: Model, folder: Path) -> Model:
    """As users of torch do it: only the class of the model is allowed, no code is run."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    with torch.serialization.safe_globals([type(model)]):
        loaded: Model = torch.load(file)
    return loaded


def by_copy(model: Model, folder: Path) -> Model:
    return copy.deepcopy(model)


PAUSES: list[Pause] = [by_folder, by_pickle, by_torch, by_copy, lambda model, folder: copy.copy(model)]


def assert_goes_on_alike(model: Model, again: Model) -> None:
    """The twin is what the model is, trains on as the model does, and neither moves the other."""
    assert again is not model
    assert repr(again) == repr(model)
    assert again.loss_history == model.loss_history
    predictions = model.predict(2)
    assert np.array_equal(again.predict(2), predictions)
    again.fit(some_interactions())
    assert np.array_equal(model.predict(2), predictions)
    assert not np.array_equal(again.predict(2), predictions)
    model.fit(some_interactions())
    for ours, theirs in zip(model._fitted().parameters(), again._fitted().parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert again.loss_history == model.loss_history


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", IMPLICIT + EXPLICIT)
def test_a_model_loaded_from_a_folder_goes_on_with_the_same_bits(
    loss: str, sparse: bool, source: Any, tmp_path: Path
) -> None:
    model = made(loss, sparse=sparse, random_state=source(3))
    model.fit(some_interactions())
    assert_goes_on_alike(model, by_folder(model, tmp_path))


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", ["adaptive_hinge", "poisson"])
@pytest.mark.parametrize("pause", PAUSES[1:])
def test_a_pickled_or_copied_model_goes_on_with_the_same_bits(
    pause: Pause, loss: str, sparse: bool, source: Any, tmp_path: Path
) -> None:
    model = made(loss, sparse=sparse, random_state=source(3))
    model.fit(some_interactions())
    assert_goes_on_alike(model, pause(model, tmp_path))


@pytest.mark.parametrize("pause", PAUSES)
def test_a_model_without_a_fit_starts_with_the_same_bits(pause: Pause, tmp_path: Path) -> None:
    model = made("bpr")
    again = pause(model, tmp_path)
    assert "uninitialised" in repr(again)
    model.fit(some_interactions())
    again.fit(some_interactions())
    assert np.array_equal(again.predict(2), model.predict(2))


@pytest.mark.parametrize(
    "bits", [np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64]
)
def test_every_bit_generator_of_numpy_is_kept(bits: Any, tmp_path: Path) -> None:
    model = made("bpr", random_state=np.random.Generator(bits(5)))
    model.fit(some_interactions())
    assert_goes_on_alike(model, by_folder(model, tmp_path))


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "descent": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.1),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, centered=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=torch.tensor(0.1), amsgrad=True, foreach=False),
    "sparse": torch.optim.SparseAdam,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_torch_optimizer_goes_on_when_its_function_is_given_again(name: str, tmp_path: Path) -> None:
    model = made("bpr", optimizer_func=OPTIMIZERS[name], sparse=name == "sparse")
    model.fit(some_interactions())
    assert_goes_on_alike(model, by_folder(model, tmp_path, optimizer_func=OPTIMIZERS[name]))


class Shifted(nn.Module):
    """A representation with a buffer and with names that differ in their letters' case only."""

    def __init__(self) -> None:
        super().__init__()
        self.net = BilinearNet(USERS, ITEMS, 3)
        self.a, self.A = nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        self.calls += 1
        scores: Tensor = self.net(user_ids, item_ids) + self.a * self.A
        return scores


def test_a_representation_is_filled_with_what_was_saved(tmp_path: Path) -> None:
    model = made("pointwise", representation=Shifted())
    model.fit(some_interactions())
    net = Shifted()
    again = by_folder(model, tmp_path, representation=net)
    assert again._fitted() is net
    assert net.calls > 1
    assert_goes_on_alike(model, again)


def test_a_representation_travels_with_a_pickle(tmp_path: Path) -> None:
    model = made("pointwise", representation=BilinearNet(USERS, ITEMS, 3))
    model.fit(some_interactions())
    assert_goes_on_alike(model, by_pickle(model, tmp_path))
    again = by_copy(model, tmp_path)
    assert again._fitted() is again._representation


def test_the_same_model_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        model = made("bpr")
        model.fit(some_interactions())
        model.save(tmp_path / name)
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert np.fromfile(tmp_path / "one" / "net_item_embeddings_weight.bin", dtype="<f4").tolist() == (
        model.item_vectors.ravel().tolist()
    )


# Refusals


def saved(folder: Path, **settings: Any) -> Path:
    model = made("bpr", **settings)
    model.fit(some_interactions())
    model.save(folder / "saved")
    return folder / "saved"


def test_a_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with pytest.raises(FileExistsError):
        made("bpr").save(folder)
    assert ImplicitFactorizationModel.load(str(folder)).loss_history


@pytest.mark.parametrize("name", ["manifest.json", "state.bin", "net_user_biases_weight.bin"])
def test_a_file_that_is_damaged_or_missing_is_named(name: str, tmp_path: Path) -> None:
    file = saved(tmp_path) / name
    content = file.read_bytes()
    for damaged in (content[:-1], content[:20] + bytes([content[20] ^ 1]) + content[21:]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="manifest.json|" + name):
            ImplicitFactorizationModel.load(file.parent)
    file.unlink()
    with pytest.raises(ValueError, match=f"{name}: is missing"):
        ImplicitFactorizationModel.load(file.parent)


def test_a_foreign_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json: is missing"):
        ImplicitFactorizationModel.load(tmp_path)
    with pytest.raises(ValueError, match="is missing"):
        ImplicitFactorizationModel.load(tmp_path / "nowhere")
    folder = saved(tmp_path)
    with pytest.raises(ValueError, match=r"manifest\.json: kind is 'ImplicitFactorizationModel'"):
        ExplicitFactorizationModel.load(folder)


def test_code_that_is_missing_or_too_much_is_named(tmp_path: Path) -> None:
    plain = saved(tmp_path)
    with pytest.raises(ValueError, match="saved without representation and must be loaded without it"):
        ImplicitFactorizationModel.load(plain, representation=Shifted())
    (tmp_path / "other").mkdir()
    with_code = saved(tmp_path / "other", optimizer_func=OPTIMIZERS["adagrad"])
    with pytest.raises(ValueError, match="saved with optimizer_func and must be loaded with it"):
        ImplicitFactorizationModel.load(with_code)


def test_another_representation_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, representation=Shifted())
    with pytest.raises(ValueError, match=r"state\.bin: .* loading state_dict for Embedding"):
        ImplicitFactorizationModel.load(folder, representation=nn.Embedding(2, 2))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("settings", {}, "use_cuda"),
        ("settings", {"use_cuda": False, "device": None, "loss": "bpr", "embedding_dim": 0}, "embedding_dim is 0"),
        ("settings", {"use_cuda": False, "device": None, "size": 3}, "unexpected keyword argument 'size'"),
        ("random_state", {"source": "Generator", "state": {"bit_generator": "Dice"}}, "Dice"),
        ("num_users", 10**12, r"user_embeddings\.weight has the shape \(7, 4\), not \(1000000000000, 4\)"),
        ("num_items", -1, "num_items is -1"),
        ("loss_history", ["low"], "low"),
        ("net", {}, r"user_embeddings\.weight"),
        ("optimizer", {"state": {}, "param_groups": []}, "parameter groups"),
        ("optimizer", None, "NoneType"),
    ],
)
def test_a_state_that_is_not_one_of_a_model_is_refused(part: str, value: object, message: str, tmp_path: Path) -> None:
    state = read_saved(saved(tmp_path), kind="ImplicitFactorizationModel")
    write_saved(tmp_path / "other", state | {part: value}, kind="ImplicitFactorizationModel")
    with pytest.raises(ValueError, match=rf"snapshot other: state\.bin: does not describe such a model: .*{message}"):
        ImplicitFactorizationModel.load(tmp_path / "other")


def test_an_error_of_the_optimizer_function_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path, optimizer_func=OPTIMIZERS["adagrad"])

    def failing(parameters: Any) -> torch.optim.Optimizer:
        raise KeyError("no optimizer today")

    with pytest.raises(KeyError):
        ImplicitFactorizationModel.load(folder, optimizer_func=failing)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_model_of_the_cpu_is_not_moved_to_a_device_that_is_not_there(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with pytest.raises(ValueError, match="use_cuda is set, but torch sees no CUDA device"):
        ImplicitFactorizationModel.load(folder, use_cuda=True)
    with pytest.raises(ValueError, match="device is 'cuda', but torch sees 0 CUDA devices"):
        ImplicitFactorizationModel.load(folder, device="cuda")
    assert ImplicitFactorizationModel.load(folder, use_cuda=False).loss_history
    assert ImplicitFactorizationModel.load(folder, device="cpu").loss_history


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_a_model_trained_on_cuda_goes_on_on_either_device(tmp_path: Path) -> None:
    folder = saved(tmp_path, use_cuda=True)
    there, here = ImplicitFactorizationModel.load(folder), ImplicitFactorizationModel.load(folder, use_cuda=False)
    for model in (there, here):
        model.fit(some_interactions())
    assert next(there._fitted().parameters()).is_cuda
    assert not next(here._fitted().parameters()).is_cuda
    np.testing.assert_allclose(there.predict(1), here.predict(1), rtol=1e-3, atol=1e-4)
