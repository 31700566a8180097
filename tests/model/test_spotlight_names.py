"""Code written for Spotlight 0.1.6 runs after ``spotlight`` is replaced by ``model``: names, arguments and defaults."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

REQUIRED = inspect.Parameter.empty

MODEL: dict[str, Any] = {
    "embedding_dim": 32, "n_iter": 10, "batch_size": 256, "l2": 0.0, "learning_rate": 1e-2, "optimizer_func": None,
    "use_cuda": False, "representation": None, "sparse": False, "random_state": None,
}  # fmt: skip
SPLIT = {"interactions": REQUIRED, "test_percentage": 0.2, "random_state": None}
PAIRWISE = {"positive_predictions": REQUIRED, "negative_predictions": REQUIRED, "mask": None}
OF_RATINGS = {"observed_ratings": REQUIRED, "predicted_ratings": REQUIRED}

CALLS: dict[str, dict[str, Any]] = {
    "cross_validation.random_train_test_split": SPLIT,
    "cross_validation.shuffle_interactions": {"interactions": REQUIRED, "random_state": None},
    "cross_validation.user_based_train_test_split": SPLIT,
    "evaluation.mrr_score": {"model": REQUIRED, "test": REQUIRED, "train": None},
    "evaluation.precision_recall_score": {"model": REQUIRED, "test": REQUIRED, "train": None, "k": 10},
    "evaluation.rmse_score": {"model": REQUIRED, "test": REQUIRED},
    "factorization.explicit.ExplicitFactorizationModel": {"loss": "regression"} | MODEL,
    "factorization.implicit.ImplicitFactorizationModel": {"loss": "pointwise"} | MODEL | {"num_negative_samples": 5},
    "factorization.representations.BilinearNet": {
        "num_users": REQUIRED, "num_items": REQUIRED, "embedding_dim": 32, "user_embedding_layer": None,
        "item_embedding_layer": None, "sparse": False,
    },
    "interactions.Interactions": {
        "user_ids": REQUIRED, "item_ids": REQUIRED, "ratings": None, "timestamps": None, "weights": None,
        "num_users": None, "num_items": None,
    },
    "interactions.Interactions.to_sequence": {
        "self": REQUIRED, "max_sequence_length": 10, "min_sequence_length": None, "step_size": None
    },
    "interactions.SequenceInteractions": {"sequences": REQUIRED, "user_ids": None, "num_items": None},
    "layers.BloomEmbedding": {
        "num_embeddings": REQUIRED, "embedding_dim": REQUIRED, "compression_ratio": 0.2, "num_hash_functions": 4,
        "bag": False, "padding_idx": 0,
    },
    "losses.adaptive_hinge_loss": PAIRWISE,
    "losses.bpr_loss": PAIRWISE,
    "losses.hinge_loss": PAIRWISE,
    "losses.pointwise_loss": PAIRWISE,
    "losses.logistic_loss": OF_RATINGS,
    "losses.poisson_loss": OF_RATINGS,
    "losses.regression_loss": OF_RATINGS,
    "sampling.sample_items": {"num_items": REQUIRED, "shape": REQUIRED, "random_state": None},
    "torch_utils.assert_no_grad": {"variable": REQUIRED},
    "torch_utils.cpu": {"tensor": REQUIRED},
    "torch_utils.gpu": {"tensor": REQUIRED, "gpu": False},
    "torch_utils.minibatch": {"tensors": REQUIRED, "batch_size": 128},
    "torch_utils.set_seed": {"seed": REQUIRED, "cuda": False},
    "torch_utils.shuffle": {"arrays": REQUIRED, "random_state": None},
}  # fmt: skip


def found(path: str) -> Any:
    """What a dotted path below ``model`` names; an attribute of a class is allowed."""
    module, *names = path.split(".")
    while True:
        try:
            deeper = import_module(f"model.{module}.{names[0]}") if len(names) > 1 else None
        except ModuleNotFoundError:
            deeper = None
        if deeper is None:
            break
        module = f"{module}.{names.pop(0)}"
    value: Any = import_module(f"model.{module}")
    for name in names:
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("path", CALLS)
def test_a_call_takes_spotlights_arguments_in_its_order(path: str) -> None:
    parameters = list(inspect.signature(found(path)).parameters.values())
    wanted = CALLS[path]
    assert {parameter.name: parameter.default for parameter in parameters[: len(wanted)]} == wanted
    assert [parameter.name for parameter in parameters[: len(wanted)]] == list(wanted)
    for ours in parameters[len(wanted) :]:
        # What is our own comes behind and can be left out.
        assert ours.default is not REQUIRED or ours.kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("path", ["layers.ScaledEmbedding", "layers.ScaledEmbeddingBag", "layers.ZeroEmbedding"])
def test_a_layer_takes_torchs_arguments(path: str) -> None:
    assert tuple(found(path)(3, 2).weight.shape) == (3, 2)


@pytest.mark.parametrize("path", ["evaluation.FLOAT_MAX", "layers.SEEDS"])
def test_a_constant_is_there(path: str) -> None:
    assert found(path) is not None
