from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import model

ROOT = Path(model.__file__).parents[1]


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(finished.stdout.split())


def test_the_package_and_the_interactions_load_without_torch_or_scipy() -> None:
    loaded = modules_after(
        "import model; dir(model); from model import Interactions, NotFittedError; Interactions([0], [0])"
    )
    assert "model.interactions" in loaded
    assert not loaded & {"torch", "scipy", "numba", "optuna"}


def test_the_evaluation_and_the_baselines_load_without_torch_or_scipy() -> None:
    loaded = modules_after("import model.baselines, model.evaluation")
    assert not loaded & {"torch", "scipy"}


@pytest.mark.slow
def test_the_model_brings_torch_when_it_is_asked_for() -> None:
    assert "torch" in modules_after("from model import ImplicitFactorizationModel")


@pytest.mark.parametrize("name", model.__all__)
def test_every_public_name_exists_and_is_listed(name: str) -> None:
    assert getattr(model, name).__name__ == name
    assert name in dir(model)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'model' has no attribute 'ExplicitModel'"):
        model.__getattr__("ExplicitModel")
