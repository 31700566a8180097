"""One fit: its size, its end, its repeatability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from app.training import recipe
from app.training.config import Loss, TrainingConfig
from app.training.dataset import Pairs
from app.training.recipe import Fitted


def numbered(rows: int = 300, *, users: int = 20, items: int = 30) -> Pairs:
    found = np.random.default_rng(0).choice(users * items, rows, replace=False)
    return Pairs(np.arange(users), np.arange(items), found // items, found % items, np.ones(rows, dtype=np.float32))


def fitted(
    config: TrainingConfig | None = None,
    *,
    epochs: int = 3,
    seconds: float = 60,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
    check: Callable[[], None] = lambda: None,
) -> Fitted:
    wanted = config or TrainingConfig()
    return recipe.fit(numbered(), wanted, epochs=epochs, device="cpu", seconds=seconds, on_epoch=on_epoch, check=check)


def test_one_seed_gives_the_same_bits_and_another_others() -> None:
    first, again, other = (fitted(TrainingConfig(seed=seed)).learnt for seed in (1, 1, 2))

    assert np.array_equal(first.user_vectors, again.user_vectors)
    assert np.array_equal(first.item_vectors, again.item_vectors)
    assert np.array_equal(first.item_biases, again.item_biases)
    assert not np.array_equal(first.user_vectors, other.user_vectors)


def test_the_arrays_are_aligned_with_the_numbers() -> None:
    learnt = fitted(TrainingConfig(embedding_dim=5)).learnt

    assert [array.shape for array in learnt] == [(20, 5), (30, 5), (30,)]
    assert {array.dtype.name for array in learnt} == {"float32"}


def test_a_fit_without_time_ends_after_its_first_epoch_and_says_how_many_it_made() -> None:
    seen: list[int] = []

    found = fitted(epochs=50, seconds=0, on_epoch=lambda epoch, _loss: seen.append(epoch))

    assert (found.epochs, seen) == (1, [1])


def test_a_check_that_raises_ends_the_fit() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fitted(check=stop)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"),
    [(100, 64, 300), (640, 64, 60), (10_000, 625, 38), (100_000, 4096, 24), (10**7, 4096, 12)],
)
def test_few_rows_get_small_steps_and_many_epochs(rows: int, batch: int, epochs: int) -> None:
    assert recipe.batch_size(rows, TrainingConfig()) == batch
    assert recipe.epochs(rows, TrainingConfig()) == epochs


def test_a_number_of_epochs_that_was_asked_for_is_kept() -> None:
    assert recipe.epochs(100, TrainingConfig(n_iter=3)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "cross_entropy"},
        {"embedding_dim": 0},
        {"embedding_dim": 513},
        {"embedding_dim": "32"},
        {"learning_rate": float("nan")},
        {"learning_rate": 0},
        {"l2": -1},
        {"n_iter": 1001},
        {"seed": -1},
        {"use_weights": 1},
        {"epochs": 3},
    ],
)
def test_a_config_out_of_bounds_or_with_unknown_names_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**wrong)


def test_the_default_config_survives_the_store_as_json() -> None:
    assert TrainingConfig.model_validate(TrainingConfig().model_dump(mode="json")) == TrainingConfig()


@pytest.mark.parametrize("loss", get_args(Loss))
def test_every_loss_that_can_be_configured_can_be_fitted(loss: Loss) -> None:
    found = fitted(TrainingConfig(loss=loss, embedding_dim=4), epochs=2)

    assert np.isfinite(found.loss)


def test_softmax_takes_larger_batches_than_the_other_losses() -> None:
    assert recipe.batch_size(10**6, TrainingConfig(loss="bpr")) == 1024
    assert recipe.batch_size(10**6, TrainingConfig(batch_size=500)) == 500
