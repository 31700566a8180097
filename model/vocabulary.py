"""External ids and their numbers, kept in flat arrays that can be memory-mapped.

A Python dict of a million ids costs over 100 MB in every process. The arrays here cost the bytes of the ids plus 24
bytes an id, and processes that map the same file share them.

Letters used for shapes: N ids, B bytes of all ids together, Q ids asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

HashId = Callable[[bytes], int]


def hash_id(encoded: bytes) -> int:
    """The first 64 bits of BLAKE2b of an id's UTF-8 bytes; part of the stored format."""
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "little")


class StringTable:
    """Number to string: one blob of UTF-8 and where each string starts in it.

    Args:
        blob: UTF-8 bytes of all strings one after another, uint8, shape (B,).
        offsets: string n is blob[offsets[n]:offsets[n + 1]], int64, shape (N + 1,).
    Raises: ValueError if the two do not fit.
    """

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        _check_array("blob", blob, np.uint8)
        _check_array("offsets", offsets, np.int64)
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(blob):
            raise ValueError(f"offsets must run from 0 to the {len(blob)} bytes of the blob")
        if (offsets[1:] < offsets[:-1]).any():
            raise ValueError("offsets must not decrease")
        self._blob = blob
        self._offsets = offsets
        # Views: a single element of one costs a third of what numpy's does.
        self._bytes, self._bounds = blob.data, offsets.data

    @classmethod
    def from_strings(cls, strings: Iterable[str]) -> StringTable:
        """Build from strings in the order of their numbers. Raises ValueError for a string that UTF-8 cannot hold."""
        return cls.from_encoded([text.encode("utf-8") for text in strings])

    @classmethod
    def from_encoded(cls, encoded: Sequence[bytes]) -> StringTable:
        """Build from strings that are UTF-8 already."""
        blob = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(blob, _offsets_of(encoded))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> StringTable:
        """The table whose `arrays()` these are; nothing is copied."""
        return cls(arrays["blob"], arrays["offsets"])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`blob` and `offsets`, to be stored."""
        return {"blob": self._blob, "offsets": self._offsets}

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> str:
        return str(self.encoded(number), "utf-8")

    def encoded(self, number: int) -> memoryview:
        """UTF-8 bytes of one string. Raises IndexError if there is no such number."""
        # numpy would count a negative number from the end and answer with a stranger's id.
        if not 0 <= number < len(self):
            raise IndexError(f"number {number} is outside 0..{len(self) - 1}")
        return self._bytes[self._bounds[number] : self._bounds[number + 1]]

    def take(self, numbers: Sequence[int] | NDArray[np.integer[Any]]) -> list[str]:
        """The strings of many numbers. Raises IndexError if one of them does not exist."""
        wanted = np.asarray(numbers, dtype=np.int64)
        if not wanted.size:
            return []
        if wanted.min() < 0 or wanted.max() >= len(self):
            wrong = wanted.min() if wanted.min() < 0 else wanted.max()
            raise IndexError(f"number {wrong} is outside 0..{len(self) - 1}")
        blob = self._bytes
        if not len(blob):
            return [""] * len(wanted)
        bounds = zip(self._offsets[wanted].tolist(), self._offsets[wanted + 1].tolist(), strict=True)
        return [str(blob[start:stop], "utf-8") if start < stop else "" for start, stop in bounds]

    def equal_to(self, numbers: NDArray[np.int64], encoded: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether string numbers[q] has exactly the bytes encoded[q], for every q at once; shape (Q,)."""
        starts = self._offsets[numbers]
        lengths = self._offsets[numbers + 1] - starts
        equal: NDArray[np.bool_] = lengths == np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        rows = np.flatnonzero(equal)
        asked = StringTable.from_encoded([encoded[row] for row in rows.tolist()])
        begins = asked._offsets[:-1]
        places = np.arange(len(asked._blob)) + np.repeat(starts[rows] - begins, lengths[rows])
        wrong_bytes = np.concatenate(([0], np.cumsum(self._blob[places] != asked._blob)))
        equal[rows] = wrong_bytes[asked._offsets[1:]] == wrong_bytes[begins]
        return equal


class Vocabulary:
    """External ids and their numbers 0..N-1. Ids are compared byte for byte and never normalised.

    An id is found by binary search for its hash and then by its bytes, so ids that share a hash stay apart.

    Args:
        table: the ids in the order of their numbers.
        hashes: 64-bit hashes of all ids, ascending, uint64, shape (N,).
        order: number of the id behind each hash, int64, shape (N,).
        hash_id: the function that made the hashes.
    Raises: ValueError if the arrays do not fit together.
    """

    def __init__(
        self,
        table: StringTable,
        hashes: NDArray[np.uint64],
        *,
        order: NDArray[np.int64],
        hash_id: HashId = hash_id,
    ) -> None:
        _check_array("hashes", hashes, np.uint64)
        _check_array("order", order, np.int64)
        if not len(table) == len(hashes) == len(order):
            raise ValueError(f"{len(table)} ids, {len(hashes)} hashes and {len(order)} numbers: not the same count")
        if (hashes[1:] < hashes[:-1]).any():
            raise ValueError("hashes must be in ascending order")
        if len(order) and (order.min() < 0 or order.max() >= len(table)):
            raise ValueError(f"order holds a number outside 0..{len(table) - 1}")
        self._table = table
        self._hashes = hashes
        self._order = order
        # As in StringTable.
        self._hash_view, self._order_view = hashes.data, order.data
        self._hash_id = hash_id

    @classmethod
    def from_ids(cls, ids: Iterable[str], *, hash_id: HashId = hash_id) -> Vocabulary:
        """Number the ids in the order given. Raises ValueError if an id stands there twice or is not valid UTF-8."""
        encoded = [text.encode("utf-8") for text in ids]
        hashes = _hashes_of(encoded, hash_id)
        order = np.argsort(hashes, kind="stable").astype(np.int64, copy=False)
        hashes = hashes[order]
        _refuse_duplicates(encoded, hashes, order)
        return cls(StringTable.from_encoded(encoded), hashes, order=order, hash_id=hash_id)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], *, hash_id: HashId = hash_id) -> Vocabulary:
        """The vocabulary whose `arrays()` these are; nothing is copied."""
        return cls(StringTable.from_arrays(arrays), arrays["hashes"], order=arrays["order"], hash_id=hash_id)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`blob`, `offsets`, `hashes` and `order`, to be stored."""
        return {**self._table.arrays(), "hashes": self._hashes, "order": self._order}

    def __len__(self) -> int:
        return len(self._table)

    def number(self, external_id: str) -> int | None:
        """The number of an id, or None if it is unknown."""
        return self._number(_encode_lookup(external_id))

    def numbers(self, external_ids: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of many ids, int64, shape (Q,); -1 where an id is unknown."""
        numbers = np.full(len(external_ids), -1, dtype=np.int64)
        if not len(self) or not len(external_ids):
            return numbers
        encoded = [_encode_lookup(external_id) for external_id in external_ids]
        hashes = _hashes_of(encoded, self._hash_id)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self) - 1)
        rows = np.flatnonzero(self._hashes[places] == hashes)
        first = self._order[places[rows]]
        equal = self._table.equal_to(first, [encoded[row] for row in rows.tolist()])
        numbers[rows] = np.where(equal, first, -1)
        for row in rows[~equal].tolist():  # ids that share a hash with another one: about never
            found = self._number(encoded[row])
            numbers[row] = -1 if found is None else found
        return numbers

    def id(self, number: int) -> str:
        """The id of a number. Raises IndexError if there is no such number."""
        return self._table[number]

    def ids(self, numbers: Sequence[int] | NDArray[np.integer[Any]]) -> list[str]:
        """The ids of many numbers. Raises IndexError if one of them does not exist."""
        return self._table.take(numbers)

    def _number(self, encoded: bytes) -> int | None:
        # As np.uint64: for a plain int numpy converts all hashes to float64, which is slow and merges neighbours.
        wanted = self._hash_id(encoded)
        place = int(self._hashes.searchsorted(np.uint64(wanted)))
        hashes = self._hash_view
        while place < len(hashes) and hashes[place] == wanted:
            number = self._order_view[place]
            if self._table.encoded(number).tobytes() == encoded:
                return number
            place += 1
        return None


def _encode_lookup(external_id: str) -> bytes:
    # A lone surrogate has no UTF-8. Encoded this way it equals no stored id, so it is unknown, not an error.
    return external_id.encode("utf-8", "surrogatepass")


def _offsets_of(encoded: Sequence[bytes]) -> NDArray[np.int64]:
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)), out=offsets[1:])
    return offsets


def _hashes_of(encoded: Sequence[bytes], hash_id: HashId) -> NDArray[np.uint64]:
    return np.fromiter(map(hash_id, encoded), dtype=np.uint64, count=len(encoded))


def _refuse_duplicates(encoded: Sequence[bytes], hashes: NDArray[np.uint64], order: NDArray[np.int64]) -> None:
    """Equal ids have equal hashes, so only the ids behind repeated hashes are compared."""
    same_as_next = hashes[1:] == hashes[:-1]
    repeated = np.concatenate((same_as_next, [False])) | np.concatenate(([False], same_as_next))
    seen: set[bytes] = set()
    for number in order[repeated[: len(order)]].tolist():
        if encoded[number] in seen:
            raise ValueError(f"the id {encoded[number].decode('utf-8')!r} is there twice")
        seen.add(encoded[number])


def _check_array(name: str, array: NDArray[Any], dtype: type[np.generic]) -> None:
    if array.ndim != 1 or array.dtype != dtype:
        raise ValueError(
            f"{name} must be one-dimensional {np.dtype(dtype)}, not {array.dtype} of {array.ndim} dimensions"
        )
