from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.solvers.blocks import Blocks, stable_order


@given(
    users=st.lists(st.integers(0, 4), max_size=40),
    block=st.integers(1, 5),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 3),
)
def test_an_epoch_has_every_interaction_once(users, block, batch_size, seed):
    user_ids = np.array(users, dtype=np.int64)
    item_ids = np.arange(len(users)) + 100
    blocks = Blocks(user_ids, item_ids, num_users=5, block=block)
    batches = list(blocks.shuffled(np.random.default_rng(seed), batch_size))

    assert len(batches) == blocks.batches(batch_size)
    assert all(len(places) == batch_size for _, places in batches[:-1])
    drawn = [(user, item) for some, places in batches for user, item in zip(some, blocks.items[places], strict=True)]
    assert sorted(drawn) == sorted(zip(user_ids, item_ids, strict=True))
    assert sorted(blocks.order) == list(range(len(users)))
    assert np.array_equal(item_ids[blocks.order], blocks.items)


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6), block=st.integers(1, 4), seed=st.integers(0, 5))
def test_a_user_has_as_few_blocks_as_possible_each_in_one_piece(counts, block, seed):
    user_ids = np.repeat(np.arange(len(counts)), counts)
    blocks = Blocks(user_ids, np.arange(len(user_ids)), num_users=len(counts), block=block)
    order = [user for users, _ in blocks.shuffled(np.random.default_rng(seed), max(1, len(user_ids))) for user in users]
    pieces = 0
    at = 0
    left = np.array(counts)
    while at < len(order):
        user = order[at]
        # All pieces of a user are full, but for one.
        size = min(block, left[user])
        run = order[at : at + size]
        if run != [user] * size:
            size = left[user] % block
            run = order[at : at + size]
        assert run == [user] * size
        at, left[user], pieces = at + size, left[user] - size, pieces + 1
    assert pieces == sum(-(-count // block) for count in counts)


@given(numbers=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3) | st.integers(2**16 - 1, 2**16 + 1)))
def test_a_sort_by_halves_is_numpy_s_stable_one(numbers):
    given_numbers = np.array(numbers, dtype=np.int64)

    assert np.array_equal(stable_order(given_numbers), np.argsort(given_numbers, kind="stable"))


def test_epochs_come_in_different_orders_and_the_same_order_with_the_same_seed():
    blocks = Blocks(np.repeat(np.arange(10), 7), np.arange(70), num_users=10, block=3)

    def order(seed):
        return np.concatenate([places for _, places in blocks.shuffled(np.random.default_rng(seed), 16)]).tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_with_halves_no_block_has_more_than_half_of_a_user() -> None:
    users = np.repeat(np.arange(5), 5)

    def longest_piece(*, halves: bool, seed: int) -> int:
        blocks = Blocks(users, np.arange(25), num_users=5, block=16, halves=halves)
        ((order, _),) = blocks.shuffled(np.random.default_rng(seed), 25)
        return max(len(list(piece)) for _, piece in itertools.groupby(order.tolist()))

    # Two blocks of a user may still come one after the other, by chance.
    assert min(longest_piece(halves=True, seed=seed) for seed in range(50)) == 3
    assert min(longest_piece(halves=False, seed=seed) for seed in range(50)) == 5
