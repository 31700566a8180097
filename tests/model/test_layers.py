from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from model import BilinearNet, ImplicitFactorizationModel, Interactions
from model.hashing import murmurhash3_32
from model.layers import SEEDS, BloomEmbedding, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding

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


# Bloom embeddings


def bloom(*arguments: Any, **settings: Any) -> BloomEmbedding:
    return BloomEmbedding(*arguments, generator=torch.Generator().manual_seed(0), **settings)


def slow_vector(layer: BloomEmbedding, number: int) -> list[float]:
    """Row by row, from the definition."""
    table = layer.embeddings.weight.tolist()
    vector = [0.0] * layer.embedding_dim
    if number == layer.padding_idx:
        return vector
    for seed in SEEDS[: layer.num_hash_functions]:
        unsigned = int(murmurhash3_32(np.array([number]), seed)[0])
        row = table[(unsigned - 2**32 if unsigned >= 2**31 else unsigned) % len(table)]
        vector = [a + b for a, b in zip(vector, row, strict=True)]
    return vector


@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"padding_idx": None}, {"padding_idx": 39}, {"compression_ratio": 1.5, "num_hash_functions": 24}],
    ids=str,
)
def test_the_vector_of_an_id_is_the_sum_of_its_rows(settings: dict[str, Any], bag: bool) -> None:
    layer = bloom(40, 3, bag=bag, **settings)
    expected = torch.tensor([slow_vector(layer, number) for number in range(40)])
    torch.testing.assert_close(layer(torch.arange(40))[:, 0], expected)
    torch.testing.assert_close(layer(torch.arange(40).view(8, 5)), expected.view(8, 5, 3))


@pytest.mark.parametrize("bag", [False, True])
def test_the_table_has_as_many_rows_as_the_ratio_says_and_is_the_one_thing_saved(bag: bool) -> None:
    layer = bloom(99, 5, 0.25, bag=bag)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {"embeddings.weight": (24, 5)}
    twin = BloomEmbedding(99, 5, 0.25, bag=not bag)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(twin(torch.arange(99)), layer(torch.arange(99)))


def test_the_table_starts_scaled_and_from_the_generator() -> None:
    layer = bloom(10_000, 8, 0.5)
    assert layer.embeddings.weight.std().item() == pytest.approx(1 / 8, rel=0.02)
    assert torch.equal(layer.embeddings.weight, bloom(10_000, 8, 0.5).embeddings.weight)


@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("padding_idx", [0, 7])
def test_the_padding_is_zero_and_stays_so(padding_idx: int, bag: bool) -> None:
    layer = bloom(40, 3, padding_idx=padding_idx, bag=bag)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(2):
        assert not layer(torch.tensor([padding_idx])).any()
        optimizer.zero_grad()
        layer(torch.arange(40)).sum().backward()
        optimizer.step()
    assert layer(torch.tensor([1])).any()


@pytest.mark.parametrize("bag", [False, True])
def test_both_ways_of_adding_up_have_the_same_gradient_dense_or_sparse(bag: bool) -> None:
    gradients = []
    for sparse in (False, True):
        layer = bloom(40, 3, bag=bag, sparse=sparse)
        layer(torch.arange(12)).sin().sum().backward()
        gradient = layer.embeddings.weight.grad
        assert gradient is not None
        assert gradient.is_sparse == sparse
        gradients.append(gradient.to_dense())
    torch.testing.assert_close(gradients[0], gradients[1])
    layer = bloom(40, 3, bag=not bag)
    layer(torch.arange(12)).sin().sum().backward()
    torch.testing.assert_close(gradients[0], layer.embeddings.weight.grad)


def test_ids_spread_evenly_and_hardly_two_share_all_rows() -> None:
    layer = BloomEmbedding(20_000, 1, 0.05, padding_idx=None)
    counts = torch.bincount(layer.row_of_hash.reshape(-1), minlength=1000)
    # 80 for each row: of independent draws the variance is that as well.
    assert counts.double().var().item() == pytest.approx(80, rel=0.15)
    assert len(torch.unique(layer.row_of_hash, dim=0)) > 19_990
    for first, second in ((0, 1), (1, 3)):
        equal = (layer.row_of_hash[:, first] == layer.row_of_hash[:, second]).sum().item()
        assert equal == pytest.approx(20, abs=20)


def test_the_seeds_are_fixed_and_differ() -> None:
    assert SEEDS[:2] == (0x9E3779B1, 0x3C6EF362)
    assert len(set(SEEDS)) == 24


def test_the_rows_of_ids_follow_the_layer_to_another_device() -> None:
    assert bloom(9, 2, 1.0).to("meta").row_of_hash.is_meta


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hash_functions": 25}, r"num_hash_functions is 25; it must be in 1\.\.24"),
        ({"num_hash_functions": 0}, "num_hash_functions is 0"),
        ({"compression_ratio": 0.02}, r"compression_ratio 0\.02 of 40 ids gives 0\.8 rows"),
        ({"compression_ratio": float("nan")}, "gives nan rows"),
        ({"padding_idx": 40}, r"padding_idx is 40; it must be in 0\.\.39 or None"),
        ({"padding_idx": -1}, "padding_idx is -1"),
        ({"num_embeddings": 0}, "num_embeddings is 0"),
        ({"embedding_dim": 0}, "both must be at least 1"),
    ],
)
def test_a_layer_nobody_can_mean_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BloomEmbedding(**{"num_embeddings": 40, "embedding_dim": 3} | settings)


def test_ids_that_the_layer_has_not_are_refused() -> None:
    for number in (40, -1):
        with pytest.raises(IndexError):
            bloom(40, 3)(torch.tensor([number]))
    with pytest.raises(ValueError, match=r"shape \(1, 1, 1\)"):
        bloom(40, 3)(torch.zeros(1, 1, 1, dtype=torch.int64))


@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_model_learns_and_predicts_with_bloom_layers(bag: bool, sparse: bool) -> None:
    users, items = (grid.ravel() for grid in np.divmod(np.arange(256).reshape(16, 16), 16))
    liked = (users + items) % 2 == 0
    layers = [bloom(16, 4, 0.8, bag=bag, sparse=sparse, padding_idx=None) for _ in range(2)]
    net = BilinearNet(16, 16, 4, *layers, sparse=sparse)
    model = ImplicitFactorizationModel(
        loss="bpr", representation=net, n_iter=60, batch_size=32, learning_rate=0.05, random_state=0
    )
    model.fit(Interactions(users[liked], items[liked]))
    scores = np.stack([model.predict(user) for user in range(16)])
    better = [(scores[u][u % 2 :: 2, None] > scores[u][(u + 1) % 2 :: 2]).mean() for u in range(16)]
    assert np.mean(better) > 0.9
    # Every form of asking gives the same bits.
    assert [model.predict(3, item)[0] for item in range(16)] == scores[3].tolist()
    assert np.array_equal(model.predict(users, items), scores.ravel())
    copied = copy.deepcopy(model)
    assert np.array_equal(copied.predict(3), scores[3])
