from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from model.losses import LOSSES, Loss, adaptive_hinge_loss, bpr_loss, hinge_loss, pointwise_loss

PAIRWISE = {"pointwise": pointwise_loss, "bpr": bpr_loss, "hinge": hinge_loss}


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def plain_element(name: str, p: float, q: float) -> float:
    if name == "pointwise":
        return (1.0 - sigmoid(p)) + sigmoid(q)
    if name == "bpr":
        return 1.0 - sigmoid(p - q)
    return max(0.0, q - p + 1.0)


def plain_mean(elements: list[float], mask: list[float] | None) -> float:
    if mask is None:
        return sum(elements) / len(elements)
    return sum(e * m for e, m in zip(elements, mask, strict=True)) / sum(mask)


def drawn_scores(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape) * 3)


@pytest.mark.parametrize("mask", [None, [1.0, 0.0, 2.0, 0.5, 1.0, 0.0, 3.0]])
@pytest.mark.parametrize("name", PAIRWISE)
def test_a_loss_equals_its_plain_reference(name: str, mask: list[float] | None) -> None:
    p, q = drawn_scores(7, seed=1), drawn_scores(7, seed=2)
    elements = [plain_element(name, a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    loss = PAIRWISE[name](p, q, None if mask is None else torch.tensor(mask))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(plain_mean(elements, mask), rel=1e-12)


@pytest.mark.parametrize("mask", [None, [1.0, 0.0, 2.0, 0.5]])
@pytest.mark.parametrize("negatives", [1, 5])
def test_adaptive_hinge_takes_the_hardest_negative_of_each_positive(negatives: int, mask: list[float] | None) -> None:
    p, q = drawn_scores(4, seed=3), drawn_scores(negatives, 4, seed=4)
    hardest = [max(q[k, b].item() for k in range(negatives)) for b in range(4)]
    elements = [max(0.0, h - a + 1.0) for a, h in zip(p.tolist(), hardest, strict=True)]
    loss = adaptive_hinge_loss(p, q, None if mask is None else torch.tensor(mask))
    assert loss.item() == pytest.approx(plain_mean(elements, mask), rel=1e-12)


def test_adaptive_hinge_divides_by_the_positives_not_by_the_negatives() -> None:
    loss = adaptive_hinge_loss(torch.zeros(2), torch.zeros(10, 2))
    assert loss.item() == 1.0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_boolean_mask_leaves_elements_out(loss: Loss) -> None:
    p, q = drawn_scores(4, seed=5), drawn_scores(4, seed=6)
    kept = torch.tensor([True, False, True, True])
    if loss is adaptive_hinge_loss:
        assert loss(p, q[None], kept).item() == pytest.approx(loss(p[kept], q[kept][None]).item(), rel=1e-12)
    else:
        assert loss(p, q, kept).item() == pytest.approx(loss(p[kept], q[kept]).item(), rel=1e-12)


@pytest.mark.parametrize("name", PAIRWISE)
def test_an_all_zero_mask_is_nan(name: str) -> None:
    assert math.isnan(PAIRWISE[name](torch.ones(3), torch.ones(3), torch.zeros(3)).item())


@pytest.mark.parametrize("name", PAIRWISE)
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"negative_predictions is \(3, 1\), it must be \(3,\)"):
        PAIRWISE[name](torch.ones(3), torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"mask is \(1,\), it must be \(3,\)"):
        PAIRWISE[name](torch.ones(3), torch.ones(3), torch.ones(1))


@pytest.mark.parametrize("shape", [(3, 5), (3,), (0, 4), ()])
def test_adaptive_hinge_refuses_negatives_that_do_not_belong_to_the_positives(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="negative_predictions"):
        adaptive_hinge_loss(torch.ones(4), torch.ones(shape))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_extreme_scores_stay_finite_in_value_and_gradient(loss: Loss) -> None:
    p = torch.tensor([-1e4, 1e4], requires_grad=True)
    q = torch.tensor([1e4, -1e4], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = loss(p, q[None] if loss is adaptive_hinge_loss else q)
    gradients = torch.autograd.grad(value, [p, q])
    assert torch.isfinite(value)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_the_hinge_is_zero_exactly_where_the_margin_is_kept() -> None:
    assert hinge_loss(torch.tensor([3.0]), torch.tensor([2.0])).item() == 0.0
    assert hinge_loss(torch.tensor([3.0]), torch.tensor([2.5])).item() == 0.5
