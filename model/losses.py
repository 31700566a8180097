"""Losses: plain functions of tensors.

Every loss is a mean over elements, a 0-d tensor; with a mask it is sum(loss * mask) / sum(mask), which is NaN when the
mask is zero everywhere.

Of implicit feedback (``LOSSES``), from the scores of observed items and of sampled ones: p is the score of a positive,
q the score of a negative, s the logistic function. Pointwise and BPR take no logarithm: they are neither the
cross-entropy nor the BPR of the paper, and their gradient fades where a pair is ranked very badly. With the logarithm
they are ``cross_entropy_loss`` and ``log_bpr_loss``.

Of ratings (``RATING_LOSSES``), from what was observed and what is predicted.

Shapes: B batch, K negatives of one positive.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from model.torch_utils import assert_no_grad


class Loss(Protocol):
    """The signature every loss of this module has."""

    def __call__(
        self, positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None
    ) -> Tensor: ...


class RatingLoss(Protocol):
    """The signature of the losses of ratings, of which only the scores or predictions are differentiated."""

    def __call__(
        self, observed_ratings: Tensor, predicted_ratings: Tensor, mask: Tensor | None = None, /
    ) -> Tensor: ...


def pointwise_loss(positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None) -> Tensor:
    """Each score on its own: observed items towards 1, sampled ones towards 0 after the logistic function.

    Element: (1 - s(p)) + s(q).

    Args:
        positive_predictions: scores of observed items, shape (B,), or any other.
        negative_predictions: scores of sampled items, the same shape.
        mask: weights of the elements, the same shape, or None.
    Returns: a 0-d tensor.   Raises: ValueError if the shapes differ.
    """
    _require_shape("negative_predictions", negative_predictions, positive_predictions)
    losses = (1.0 - torch.sigmoid(positive_predictions)) + torch.sigmoid(negative_predictions)
    return _mean(losses, mask)


def bpr_loss(positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None) -> Tensor:
    """Observed items above sampled ones: a smooth count of the pairs ranked wrongly.

    Element: 1 - s(p - q).

    Args:
        positive_predictions: scores of observed items, shape (B,), or any other.
        negative_predictions: scores of sampled items, the same shape.
        mask: weights of the elements, the same shape, or None.
    Returns: a 0-d tensor.   Raises: ValueError if the shapes differ.
    Source: Rendle et al. 2009 (BPR), without its logarithm.
    """
    _require_shape("negative_predictions", negative_predictions, positive_predictions)
    losses = 1.0 - torch.sigmoid(positive_predictions - negative_predictions)
    return _mean(losses, mask)


def hinge_loss(positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None) -> Tensor:
    """Observed items above sampled ones by a margin of 1.

    Element: max(0, q - p + 1).

    Args:
        positive_predictions: scores of observed items, shape (B,), or any other.
        negative_predictions: scores of sampled items, the same shape.
        mask: weights of the elements, the same shape, or None.
    Returns: a 0-d tensor.   Raises: ValueError if the shapes differ.
    """
    _require_shape("negative_predictions", negative_predictions, positive_predictions)
    losses = torch.clamp(negative_predictions - positive_predictions + 1.0, min=0.0)
    return _mean(losses, mask)


def adaptive_hinge_loss(
    positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Hinge of each positive against its hardest sampled negative.

    Element b: max(0, max_k q[k, b] - p[b] + 1); the mean divides by B, not by B * K.

    Args:
        positive_predictions: scores of observed items, shape (B,), or any other.
        negative_predictions: scores of sampled items of the same users, shape (K, B): one axis in front, K >= 1.
        mask: weights of the rows, shape (B,), or None.
    Returns: a 0-d tensor.   Raises: ValueError if the shapes disagree on B, or K is 0.
    Source: Weston et al. 2011 (WSABIE), with a fixed number of samples.
    """
    _require_samples(negative_predictions, positive_predictions)
    return hinge_loss(positive_predictions, negative_predictions.max(dim=0).values, mask)


def log_bpr_loss(positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None) -> Tensor:
    """Observed items above sampled ones: how unlikely the right order is.

    Element: -log s(p - q).   Args, Returns, Raises: as for ``bpr_loss``.
    Source: Rendle et al. 2009 (BPR).
    """
    _require_shape("negative_predictions", negative_predictions, positive_predictions)
    return _mean(softplus(negative_predictions - positive_predictions), mask)


def cross_entropy_loss(
    positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Each score on its own: yes for observed items, no for sampled ones.

    Element: -log s(p) - log(1 - s(q)).   Args, Returns, Raises: as for ``pointwise_loss``.
    """
    _require_shape("negative_predictions", negative_predictions, positive_predictions)
    return _mean(softplus(-positive_predictions) + softplus(negative_predictions), mask)


def warp_loss(
    positive_predictions: Tensor,
    negative_predictions: Tensor,
    mask: Tensor | None = None,
    *,
    num_items: int | None = None,
) -> Tensor:
    """Hinge against the first sampled negative that comes too close, heavier the further down the positive ranks.

    With k the number of the first negative, in the order drawn, of which q[k, b] > p[b] - 1, the rank of the positive
    is about r = floor((I - 1) / k). Element b: log(1 + r) * (1 + q[k, b] - p[b]), and 0 if there is no such k. The rank
    is a weight: it has no gradient.

    Args:
        positive_predictions: scores of observed items, shape (B,).
        negative_predictions: scores of sampled items of the same users, shape (K, B), K >= 1.
        mask: weights of the rows, shape (B,), or None.
        num_items: I, or None for K + 1: the rank among those sampled.
    Returns: a 0-d tensor.   Raises: ValueError if the shapes disagree on B, or K is 0.
    Source: Weston et al. 2011 (WSABIE), with log(1 + r) for its sum of 1/1 to 1/r and with K samples at most.
    """
    _require_samples(negative_predictions, positive_predictions)
    too_close = negative_predictions.detach() > positive_predictions.detach() - 1.0
    first = too_close.to(torch.uint8).argmax(dim=0, keepdim=True)
    others = negative_predictions.shape[0] if num_items is None else num_items - 1
    ranks = torch.div(others, first[0] + 1, rounding_mode="floor").to(positive_predictions.dtype)
    violating = negative_predictions.gather(0, first)[0]
    return _mean(torch.log1p(ranks) * torch.clamp(violating - positive_predictions + 1.0, min=0.0), mask)


def softmax_loss(positive_predictions: Tensor, negative_predictions: Tensor, mask: Tensor | None = None) -> Tensor:
    """How unlikely the observed item is when one of it and the sampled ones is chosen.

    Element b: -p[b] + log(exp(p[b]) + sum_k exp(q[k, b])).

    Args, Returns, Raises: as for ``adaptive_hinge_loss``.
    Source: Bengio and Senecal 2008 (sampled softmax), without the correction for how likely a negative is drawn.
    """
    _require_samples(negative_predictions, positive_predictions)
    all_predictions = torch.cat([positive_predictions[None], negative_predictions])
    return _mean(torch.logsumexp(all_predictions, dim=0) - positive_predictions, mask)


def regression_loss(observed_ratings: Tensor, predicted_ratings: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error.

    Element: (o - y)^2, o the observed and y the predicted rating.

    Args:
        observed_ratings: shape (B,), or any other.
        predicted_ratings: the same shape.
        mask: weights of the elements, the same shape, or None.
    Returns: a 0-d tensor.
    Raises: ValueError if the shapes differ, or observed_ratings requires a gradient: most likely the two are swapped.
    """
    _check_ratings(observed_ratings, predicted_ratings)
    return _mean((observed_ratings - predicted_ratings) ** 2, mask)


def poisson_loss(observed_ratings: Tensor, predicted_ratings: Tensor, mask: Tensor | None = None) -> Tensor:
    """How unlikely observed counts are when the predicted ones are the means of Poisson distributions.

    Element: y - o * log(y), the negative logarithm of the likelihood up to what does not depend on y > 0.

    Args, Returns, Raises: as for ``regression_loss``.
    """
    _check_ratings(observed_ratings, predicted_ratings)
    return _mean(predicted_ratings - observed_ratings * torch.log(predicted_ratings), mask)


def poisson_loss_of_scores(observed_ratings: Tensor, scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """``poisson_loss(observed_ratings, exp(scores))`` without the logarithm of an exponential that may be zero.

    Element: exp(z) - o * z, z the score.   Args, Returns, Raises: as for ``regression_loss``.
    """
    _check_ratings(observed_ratings, scores)
    return _mean(torch.exp(scores) - observed_ratings * scores, mask)


def logistic_loss(observed_ratings: Tensor, predicted_ratings: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of yes (1) and no (-1 or 0) against scores.

    Element: -o * log s(z) - (1 - o) * log(1 - s(z)), z the score and o the observed rating brought into 0..1: what is
    negative counts as 0, what is above 1 as 1.

    Args:
        observed_ratings: shape (B,), or any other.
        predicted_ratings: scores before the logistic function, the same shape.
        mask: weights of the elements, the same shape, or None.
    Returns, Raises: as for ``regression_loss``.
    """
    _check_ratings(observed_ratings, predicted_ratings)
    targets = observed_ratings.clamp(0.0, 1.0)
    return _mean(binary_cross_entropy_with_logits(predicted_ratings, targets, reduction="none"), mask)


LOSSES: dict[str, Loss] = {
    "pointwise": pointwise_loss,
    "bpr": bpr_loss,
    "hinge": hinge_loss,
    "adaptive_hinge": adaptive_hinge_loss,
    "log_bpr": log_bpr_loss,
    "logistic": cross_entropy_loss,
    "warp": warp_loss,
    "softmax": softmax_loss,
}
"""The losses of ``ImplicitFactorizationModel`` by name."""

OF_SAMPLES = frozenset({"adaptive_hinge", "warp", "softmax"})
"""Those of them that contrast a positive with several negatives, shape (K, B)."""

RATING_LOSSES: dict[str, RatingLoss] = {
    "regression": regression_loss,
    "poisson": poisson_loss_of_scores,
    "logistic": logistic_loss,
}
"""The losses of ``ExplicitFactorizationModel`` by name, as functions of observed ratings and scores."""


def _mean(losses: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return losses.mean()
    _require_shape("mask", mask, losses)
    weights = mask.to(losses.dtype)
    return (losses * weights).sum() / weights.sum()


def _require_shape(name: str, tensor: Tensor, like: Tensor) -> None:
    # Broadcasting (B,) against (B, 1) would quietly give (B, B) pairs of different users.
    if tensor.shape != like.shape:
        raise ValueError(f"the shape of {name} is {tuple(tensor.shape)}, it must be {tuple(like.shape)}")


def _require_samples(negative: Tensor, positive: Tensor) -> None:
    if negative.ndim < 1 or negative.shape[0] < 1:
        shape = tuple(negative.shape)
        raise ValueError(f"negative_predictions needs an axis of at least one negative in front, its shape is {shape}")
    _require_shape("negative_predictions without its first axis", negative[0], positive)


def _check_ratings(observed: Tensor, predicted: Tensor) -> None:
    assert_no_grad(observed)
    _require_shape("predicted_ratings", predicted, observed)
