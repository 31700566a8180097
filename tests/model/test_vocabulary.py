from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.vocabulary import StringTable, Vocabulary, hash_id

# Everything UTF-8 can hold, which is everything but surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HASHES = {
    "blake2b": hash_id,
    "everything collides": lambda encoded: 7,
    "three hashes": lambda encoded: 2**64 - 1 - len(encoded) % 3,
}

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.fixture(params=HASHES, ids=lambda name: name.replace(" ", "-"))
def hashing(request: pytest.FixtureRequest):
    return HASHES[request.param]


@given(ids=st.lists(TEXT, unique=True, max_size=30), others=st.lists(TEXT, max_size=10), data=st.data())
def test_it_answers_like_a_dict(ids, others, data):
    hashing = HASHES[data.draw(st.sampled_from(sorted(HASHES)))]
    vocabulary = Vocabulary.from_ids(ids, hash_id=hashing)
    expected = {external_id: number for number, external_id in enumerate(ids)}

    asked = data.draw(st.permutations(ids)) + others
    assert [vocabulary.number(external_id) for external_id in asked] == [expected.get(name) for name in asked]
    assert vocabulary.numbers(asked).tolist() == [expected.get(external_id, -1) for external_id in asked]
    assert vocabulary.ids(range(len(ids))) == ids
    assert [vocabulary.id(number) for number in range(len(ids))] == ids
    assert len(vocabulary) == len(ids)


def test_ids_that_share_a_hash_stay_apart(hashing):
    vocabulary = Vocabulary.from_ids(["aa", "bb", "cc"], hash_id=hashing)

    assert vocabulary.numbers(["cc", "bb", "aa", "dd"]).tolist() == [2, 1, 0, -1]
    assert vocabulary.number("dd") is None


def test_hashes_that_differ_in_their_last_bit_only_are_told_apart():
    # Beside a small plain int numpy searches uint64 in float64, which holds 53 bits.
    hashes = {b"low": 2**62, b"high": 2**62 + 1}
    vocabulary = Vocabulary.from_ids(["high", "low"], hash_id=hashes.__getitem__)

    assert vocabulary.numbers(["low", "high"]).tolist() == [1, 0]
    assert vocabulary.number("low") == 1
    assert vocabulary.number("high") == 0


def test_ids_are_compared_byte_for_byte():
    vocabulary = Vocabulary.from_ids([NFC, NFD, "a", "A", "a ", ""])

    assert vocabulary.numbers([NFD, NFC, "A", "a", "a ", ""]).tolist() == [1, 0, 3, 2, 4, 5]
    assert vocabulary.ids([0, 1]) == [NFC, NFD]


@pytest.mark.parametrize("repeated", ["x", "", "\u00e9\U0001f600"])
def test_a_repeated_id_is_refused_and_named(repeated, hashing):
    with pytest.raises(ValueError, match="is there twice") as caught:
        Vocabulary.from_ids(["a", repeated, "b", repeated], hash_id=hashing)
    assert repr(repeated) in str(caught.value)


def test_a_lone_surrogate_is_unknown_and_cannot_be_stored():
    vocabulary = Vocabulary.from_ids(["a", "b"])

    assert vocabulary.number("\ud800") is None
    assert vocabulary.numbers(["b", "\ud800"]).tolist() == [1, -1]
    with pytest.raises(ValueError, match="surrogates"):
        Vocabulary.from_ids(["\ud800"])


def test_an_empty_vocabulary_knows_nothing():
    vocabulary = Vocabulary.from_ids([])

    assert len(vocabulary) == 0
    assert vocabulary.number("a") is None
    assert vocabulary.numbers(["a"]).tolist() == [-1]
    assert vocabulary.numbers([]).dtype == np.int64
    assert vocabulary.ids([]) == []


@pytest.mark.parametrize("number", [-1, 2])
def test_a_number_out_of_range_is_refused(number):
    vocabulary = Vocabulary.from_ids(["a", "b"])

    with pytest.raises(IndexError, match=rf"number {number} is outside 0\.\.1"):
        vocabulary.id(number)
    with pytest.raises(IndexError, match=rf"number {number} is outside 0\.\.1"):
        vocabulary.ids([0, number])


def test_it_works_on_read_only_memory_mapped_arrays(tmp_path: Path):
    ids = [f"user-{n}-\u00e9" for n in range(1000)]
    mapped = _mapped(Vocabulary.from_ids(ids).arrays(), tmp_path)
    vocabulary = Vocabulary.from_arrays(mapped)

    assert vocabulary.numbers(ids).tolist() == list(range(1000))
    assert vocabulary.number(ids[512]) == 512
    assert vocabulary.ids([999, 0]) == [ids[999], ids[0]]
    assert all(np.shares_memory(array, mapped[name]) for name, array in vocabulary.arrays().items())


def test_the_stored_hash_never_changes():
    # Snapshots on disk depend on it. The same as: printf user-1 | b2sum -l 64
    assert hash_id(b"user-1") == int.from_bytes(bytes.fromhex("9aac5a8621eae188"), "little")


def test_it_costs_24_bytes_an_id_and_the_ids():
    ids = [f"{n:010}" for n in range(5000)]

    stored = sum(array.nbytes for array in Vocabulary.from_ids(ids).arrays().values())

    assert stored == 5000 * (10 + 24) + 8


@given(strings=st.lists(TEXT, max_size=30))
def test_a_string_table_gives_its_strings_back(strings):
    table = StringTable.from_arrays(StringTable.from_strings(strings).arrays())

    assert len(table) == len(strings)
    assert [table[number] for number in range(len(strings))] == strings
    assert table.take(np.arange(len(strings))[::-1]) == strings[::-1]


def test_a_string_table_may_hold_a_string_twice_and_none_at_all():
    assert StringTable.from_strings(["", "a", "", "a"]).take([0, 1, 2, 3, 3]) == ["", "a", "", "a", "a"]
    assert len(StringTable.from_strings([])) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"blob": np.zeros(2, dtype=np.int8)}, "blob must be"),
        ({"blob": np.zeros(3, dtype=np.uint8)}, "3 bytes"),
        ({"offsets": np.array([0, 1, 2], dtype=np.int32)}, "offsets must be"),
        ({"offsets": np.array([], dtype=np.int64)}, "offsets must run from 0"),
        ({"offsets": np.array([1, 1, 2])}, "offsets must run from 0"),
        ({"offsets": np.array([0, 3, 2])}, "must not decrease"),
        ({"hashes": np.array([9, 8], dtype=np.uint64)}, "ascending"),
        ({"hashes": np.array([8, 9], dtype=np.int64)}, "hashes must be"),
        ({"hashes": np.array([8], dtype=np.uint64)}, "not the same count"),
        ({"order": np.array([0, 2])}, "outside 0..1"),
        ({"order": np.array([-1, 0])}, "outside 0..1"),
        ({"order": np.array([[0, 1]])}, "order must be"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], problem: str):
    arrays = Vocabulary.from_ids(["a", "b"]).arrays()

    with pytest.raises(ValueError, match=problem):
        Vocabulary.from_arrays({**arrays, **change})


def _mapped(arrays: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    for name, array in arrays.items():
        array.tofile(folder / name)
    return {name: np.memmap(folder / name, dtype=array.dtype, mode="r") for name, array in arrays.items()}
