from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from model.torch_utils import WORTH_SHARING, cpu, evaluation_mode, gpu, minibatch, set_seed, shuffle, threads_for


def test_without_the_flag_tensors_and_modules_stay_where_they_are() -> None:
    tensor, module = torch.ones(2), nn.Linear(1, 1)
    assert gpu(tensor) is tensor
    assert gpu(module, False) is module
    assert cpu(tensor) is tensor


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_with_the_flag_a_tensor_travels_to_the_device_and_back() -> None:
    assert gpu(torch.ones(2), True).is_cuda
    assert not cpu(gpu(torch.ones(2), True)).is_cuda


def test_batches_are_consecutive_and_the_last_is_short() -> None:
    batches = list(minibatch(torch.arange(5), batch_size=2))
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]


def test_several_tensors_are_cut_together() -> None:
    batches = list(minibatch(torch.arange(3), np.arange(10, 13), batch_size=2))
    assert [(left.tolist(), right.tolist()) for left, right in batches] == [([0, 1], [10, 11]), ([2], [12])]


def test_the_default_batch_has_128_rows() -> None:
    assert [len(batch) for batch in minibatch(np.arange(130))] == [128, 2]


def test_batches_of_nothing_and_unequal_tensors_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        minibatch(np.arange(3), batch_size=0)
    with pytest.raises(ValueError, match=r"lengths differ: \[3, 4\]"):
        minibatch(np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match="no arrays"):
        minibatch()


def test_shuffle_uses_one_order_for_all_arrays() -> None:
    order = np.arange(9)
    np.random.RandomState(4).shuffle(order)
    left, right = shuffle(np.arange(9), np.arange(9) * 10, random_state=np.random.RandomState(4))
    assert np.array_equal(left, order)
    assert np.array_equal(right, order * 10)
    assert np.array_equal(shuffle(np.arange(9), random_state=4), order)


def test_shuffle_refuses_arrays_of_different_lengths() -> None:
    with pytest.raises(ValueError, match=r"lengths differ: \[2, 3\]"):
        shuffle(np.arange(2), np.arange(3))


def test_set_seed_repeats_torchs_global_stream() -> None:
    set_seed(-5)
    first = torch.rand(3)
    set_seed(-5, cuda=False)
    assert torch.equal(torch.rand(3), first)


def test_evaluation_mode_gives_every_module_its_own_mode_back() -> None:
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    net[1].eval()

    def fail_in_evaluation_mode() -> None:
        with evaluation_mode(net):
            assert not any(module.training for module in net.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_evaluation_mode()
    assert (net.training, net[0].training, net[1].training) == (True, True, False)


def test_small_work_uses_one_thread_and_large_work_all() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for(WORTH_SHARING - 1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with threads_for(WORTH_SHARING):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
