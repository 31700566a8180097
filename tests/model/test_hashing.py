from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.hashing import murmurhash3_32

# Test vectors that circulate with ports of MurmurHash3_x86_32; those whose input has four bytes.
PUBLISHED = [
    (b"\x00\x00\x00\x00", 0, 0x2362F9DE),
    (b"\xff\xff\xff\xff", 0, 0x76293B50),
    (b"\x21\x43\x65\x87", 0, 0xF55B516B),
    (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
    (b"test", 0, 0xBA6BD213),
    (b"test", 0x9747B28C, 0x704B81DC),
    (b"aaaa", 0x9747B28C, 0x5A97808A),
    (b"abcd", 0x9747B28C, 0xF0478627),
]


@pytest.mark.parametrize(("key", "seed", "expected"), PUBLISHED)
def test_the_published_vectors_are_met(key: bytes, seed: int, expected: int) -> None:
    assert murmurhash3_32(np.frombuffer(key, dtype="<u4"), seed).tolist() == [expected]
    assert murmurhash3_32(np.frombuffer(key, dtype="<i4"), seed).tolist() == [expected]


def slow_murmur(key: int, seed: int) -> int:
    """The algorithm for one key in Python's unlimited integers."""
    mask = 2**32 - 1
    word = (key & mask) * 0xCC9E2D51 & mask
    word = (word << 15 | word >> 17) & mask
    state = seed ^ (word * 0x1B873593 & mask)
    state = ((state << 13 | state >> 19) & mask) * 5 + 0xE6546B64 & mask
    state ^= 4
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16


@given(keys=st.lists(st.integers(-(2**31), 2**32 - 1), max_size=6), seed=st.integers(0, 2**32 - 1))
def test_many_keys_are_hashed_as_one_at_a_time(keys: list[int], seed: int) -> None:
    hashes = murmurhash3_32(np.array(keys, dtype=np.int64), seed)
    assert hashes.dtype == np.uint32
    assert hashes.tolist() == [slow_murmur(key, seed) for key in keys]


def test_the_shape_and_the_keys_are_kept() -> None:
    keys = np.arange(6, dtype=np.uint32).reshape(2, 3)
    assert murmurhash3_32(keys, 7).shape == (2, 3)
    assert keys.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_does_not_fit_into_32_bits_is_refused() -> None:
    for keys in ([2**32], [-(2**31) - 1]):
        with pytest.raises(ValueError, match="do not fit into 32 bits"):
            murmurhash3_32(np.array(keys), 0)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed {seed} is outside"):
            murmurhash3_32(np.array([1]), seed)
