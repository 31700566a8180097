from __future__ import annotations

import pytest
import torch
from torch import nn

from model.layers import ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding

SCALED = [ScaledEmbedding, ScaledEmbeddingBag]


@pytest.mark.parametrize("layer", SCALED)
def test_values_are_the_generators_normal_draws_over_the_dimension(layer: type[ScaledEmbedding]) -> None:
    table = layer(40, 8, generator=torch.Generator().manual_seed(5)).weight
    expected = torch.empty(40, 8).normal_(0.0, 1.0 / 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(table, expected)


@pytest.mark.parametrize("layer", SCALED)
def test_a_generator_leaves_torchs_global_stream_alone(layer: type[ScaledEmbedding]) -> None:
    before = torch.get_rng_state()
    layer(40, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layer", SCALED)
def test_without_a_generator_the_global_one_is_used_once(layer: type[ScaledEmbedding]) -> None:
    torch.manual_seed(3)
    table = layer(40, 8).weight
    torch.manual_seed(3)
    assert torch.equal(table, torch.empty(40, 8).normal_(0.0, 1.0 / 8))


def test_the_deviation_is_one_over_the_dimension_and_not_its_root() -> None:
    table = ScaledEmbedding(4000, 16, generator=torch.Generator().manual_seed(0)).weight
    assert table.std().item() == pytest.approx(1 / 16, rel=0.02)
    assert table.mean().item() == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize("layer", SCALED)
def test_the_padding_row_is_zero_also_after_a_reset(layer: type[ScaledEmbedding]) -> None:
    made = layer(5, 3, padding_idx=2)
    assert not made.weight[2].any()
    made.reset_parameters()
    assert not made.weight[2].any()
    assert made.weight[1].any()
    assert made.weight.requires_grad


def test_a_given_table_is_used_as_it_is() -> None:
    table = torch.ones(5, 3)
    assert torch.equal(ScaledEmbedding(5, 3, 1, _weight=table).weight, table)


@pytest.mark.parametrize("layer", SCALED)
@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 3)])
def test_an_empty_table_is_refused(layer: type[ScaledEmbedding], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        layer(*size)


def test_zero_embeddings_are_zero_and_trained() -> None:
    layer = ZeroEmbedding(4, 1, sparse=True)
    assert not layer.weight.any()
    layer(torch.tensor([1])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.is_sparse


@pytest.mark.parametrize("layer", [*SCALED, ZeroEmbedding])
def test_layers_are_torchs_own_kind(layer: type[nn.Module]) -> None:
    assert issubclass(layer, nn.EmbeddingBag if layer is ScaledEmbeddingBag else nn.Embedding)
