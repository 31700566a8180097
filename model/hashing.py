"""MurmurHash3 of numbers: what spreads ids over the rows of a smaller table.

Source: Austin Appleby, MurmurHash3_x86_32 (public domain); here for keys of four bytes only, many at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_FACTORS = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
_STATE_FACTOR, _STATE_TERM = np.uint32(5), np.uint32(0xE6546B64)
_FINAL_FACTORS = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_KEY_BYTES = np.uint32(4)


def murmurhash3_32(keys: NDArray[np.integer[Any]], seed: int) -> NDArray[np.uint32]:
    """Hash 32-bit integers, each as its four bytes in little-endian order.

    Args:
        keys: integers of -2**31..2**32-1 (of a number and its two's complement the hash is the same), any shape.
        seed: 0..2**32-1; another seed is another hash function.
    Returns: uint32, the shape of keys.   Raises: ValueError for keys or a seed outside their limits.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is outside 0..{2**32 - 1}")
    if keys.size and (int(keys.min()) < -(2**31) or int(keys.max()) >= 2**32):
        raise ValueError(f"keys from {keys.min()} to {keys.max()} do not fit into 32 bits")
    first, second = _BLOCK_FACTORS
    blocks: NDArray[np.uint32] = _rotated(keys.astype(np.uint32) * first, 15) * second
    state: NDArray[np.uint32] = _rotated(blocks ^ np.uint32(seed), 13) * _STATE_FACTOR + _STATE_TERM
    state ^= _KEY_BYTES
    for shift, factor in zip((16, 13), _FINAL_FACTORS, strict=True):
        state ^= state >> np.uint32(shift)
        state *= factor
    state ^= state >> np.uint32(16)
    return state


def _rotated(words: NDArray[np.uint32], by: int) -> NDArray[np.uint32]:
    return (words << np.uint32(by)) | (words >> np.uint32(32 - by))
