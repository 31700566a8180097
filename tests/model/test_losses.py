from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from model.losses import (
    LOSSES,
    OF_SAMPLES,
    RATING_LOSSES,
    Loss,
    RatingLoss,
    adaptive_hinge_loss,
    bpr_loss,
    cross_entropy_loss,
    hinge_loss,
    log_bpr_loss,
    logistic_loss,
    pointwise_loss,
    poisson_loss,
    poisson_loss_of_scores,
    regression_loss,
    softmax_loss,
    warp_loss,
)

OF_RATINGS = [regression_loss, poisson_loss, poisson_loss_of_scores, logistic_loss]
PAIRWISE = {
    "pointwise": pointwise_loss,
    "bpr": bpr_loss,
    "hinge": hinge_loss,
    "log_bpr": log_bpr_loss,
    "logistic": cross_entropy_loss,
}
SAMPLED = [adaptive_hinge_loss, warp_loss, softmax_loss]


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def plain_element(name: str, p: float, q: float) -> float:
    if name == "pointwise":
        return (1.0 - sigmoid(p)) + sigmoid(q)
    if name == "bpr":
        return 1.0 - sigmoid(p - q)
    if name == "log_bpr":
        return -math.log(sigmoid(p - q))
    if name == "logistic":
        return -math.log(sigmoid(p)) - math.log(1.0 - sigmoid(q))
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


def plain_warp(p: float, negatives: list[float], others: int) -> float:
    for trial, q in enumerate(negatives, start=1):
        if q > p - 1:
            return math.log(1 + others // trial) * (1 + q - p)
    return 0.0


@pytest.mark.parametrize("mask", [None, [1.0, 0.0, 2.0, 0.5, 1.0, 4.0]])
@pytest.mark.parametrize(("num_items", "others"), [(None, 5), (50, 49)])
def test_warp_weighs_the_first_violating_negative_by_the_rank_it_hints_at(
    num_items: int | None, others: int, mask: list[float] | None
) -> None:
    p, q = drawn_scores(6, seed=9) + 2, drawn_scores(5, 6, seed=10)
    elements = [plain_warp(p[b].item(), q[:, b].tolist(), others) for b in range(6)]
    assert 0.0 in elements
    loss = warp_loss(p, q, None if mask is None else torch.tensor(mask), num_items=num_items)
    assert loss.item() == pytest.approx(plain_mean(elements, mask), rel=1e-12)


@pytest.mark.parametrize("mask", [None, [1.0, 0.0, 2.0, 0.5]])
def test_softmax_is_the_cross_entropy_of_the_positive_among_all_that_were_scored(mask: list[float] | None) -> None:
    p, q = drawn_scores(4, seed=11), drawn_scores(3, 4, seed=12)
    elements = [math.log(math.exp(p[b]) + sum(map(math.exp, q[:, b].tolist()))) - p[b].item() for b in range(4)]
    loss = softmax_loss(p, q, None if mask is None else torch.tensor(mask))
    assert loss.item() == pytest.approx(plain_mean(elements, mask), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_boolean_mask_leaves_elements_out(loss: Loss) -> None:
    p, q = drawn_scores(4, seed=5), drawn_scores(4, seed=6)
    kept = torch.tensor([True, False, True, True])
    if loss in SAMPLED:
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


def test_the_losses_of_several_negatives_are_named() -> None:
    assert {name for name, loss in LOSSES.items() if loss in SAMPLED} == OF_SAMPLES


@pytest.mark.parametrize("loss", SAMPLED)
@pytest.mark.parametrize("shape", [(3, 5), (3,), (0, 4), ()])
def test_negatives_that_do_not_belong_to_the_positives_are_refused(loss: Loss, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="negative_predictions"):
        loss(torch.ones(4), torch.ones(shape))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_extreme_scores_stay_finite_in_value_and_gradient(loss: Loss) -> None:
    p = torch.tensor([-1e4, 1e4], requires_grad=True)
    q = torch.tensor([1e4, -1e4], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = loss(p, q[None] if loss in SAMPLED else q)
    gradients = torch.autograd.grad(value, [p, q])
    assert torch.isfinite(value)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_the_hinge_is_zero_exactly_where_the_margin_is_kept() -> None:
    assert hinge_loss(torch.tensor([3.0]), torch.tensor([2.0])).item() == 0.0
    assert hinge_loss(torch.tensor([3.0]), torch.tensor([2.5])).item() == 0.5


# Losses of ratings


def plain_rating_element(loss: RatingLoss, o: float, y: float) -> float:
    if loss is regression_loss:
        return (o - y) ** 2
    if loss is poisson_loss:
        return y - o * math.log(y)
    if loss is poisson_loss_of_scores:
        return math.exp(y) - o * y
    yes = min(max(o, 0.0), 1.0)
    return -yes * math.log(sigmoid(y)) - (1 - yes) * math.log(1 - sigmoid(y))


@pytest.mark.parametrize("mask", [None, [1.0, 0.0, 2.0, 0.5, 1.0]])
@pytest.mark.parametrize("loss", OF_RATINGS)
def test_a_loss_of_ratings_equals_its_plain_reference(loss: RatingLoss, mask: list[float] | None) -> None:
    observed, predicted = torch.tensor([0.0, 1.0, -1.0, 3.0, 0.5]).double(), drawn_scores(5, seed=7).abs() + 0.1
    elements = [plain_rating_element(loss, o, y) for o, y in zip(observed.tolist(), predicted.tolist(), strict=True)]
    value = loss(observed, predicted, None if mask is None else torch.tensor(mask))
    assert value.shape == ()
    assert value.item() == pytest.approx(plain_mean(elements, mask), rel=1e-12)


def test_the_poisson_loss_of_scores_is_that_of_their_exponentials() -> None:
    observed, scores = torch.tensor([0.0, 2.0, 7.0]).double(), drawn_scores(3, seed=8)
    expected = poisson_loss(observed, torch.exp(scores))
    assert poisson_loss_of_scores(observed, scores).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("loss", RATING_LOSSES.values(), ids=RATING_LOSSES)
def test_very_low_scores_stay_finite_in_value_and_gradient(loss: RatingLoss) -> None:
    scores = torch.tensor([-1e4, -1e3], requires_grad=True)
    value = loss(torch.tensor([1.0, 0.0]), scores)
    (gradient,) = torch.autograd.grad(value, [scores])
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", OF_RATINGS)
def test_ratings_and_predictions_that_are_swapped_or_broadcast_are_refused(loss: RatingLoss) -> None:
    with pytest.raises(ValueError, match=r"a tensor of shape \(3,\) requires a gradient"):
        loss(torch.ones(3, requires_grad=True), torch.ones(3))
    with pytest.raises(ValueError, match=r"predicted_ratings is \(3, 1\), it must be \(3,\)"):
        loss(torch.ones(3), torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"mask is \(1,\), it must be \(3,\)"):
        loss(torch.ones(3), torch.ones(3), torch.ones(1))
