from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from model.manifest import DTYPES, MAX_MANIFEST_BYTES
from model.snapshot import CHECK_BLOCK, SnapshotError, load_snapshot, write_snapshot

STORE = "5b0e7c1e-8a53-4b8e-9c55-0f3a3a1f6a11"
CREATED_AT = "2026-01-02T03:04:05Z"
ARRAYS = {
    "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
    "keys": np.array([3, 5, 9, 2**60]),
    "nothing": np.empty((0, 3), dtype=np.float64),
}


def _is_utf8(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
).filter(_is_utf8)


def array_of(dtype: str):
    shapes = npst.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=6)
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None
    native = npst.arrays(dtype, shapes, elements=elements)
    # Big-endian and Fortran order are not what lies on the disk, and must come back the same.
    return (
        native | native.map(lambda array: array.astype(array.dtype.newbyteorder(">"))) | native.map(np.asfortranarray)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "version-7"
    write(folder)
    return folder


def write(folder: Path, arrays: dict[str, Any] | None = None, facts: dict[str, Any] | None = None) -> str:
    return write_snapshot(
        folder,
        ARRAYS if arrays is None else arrays,
        kind="model",
        store_id=STORE,
        created_at=CREATED_AT,
        facts={"beta": 0.25} if facts is None else facts,
    )


def load(folder: Path, **changed: Any):
    return load_snapshot(folder, **{"kind": "model", "store_id": STORE, **changed})


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), "utf-8")


def set_entry(folder: Path, name: str, **fields: Any) -> None:
    change_manifest(folder, lambda manifest: manifest["arrays"][name].update(fields))


def replace_content(folder: Path, name: str, content: bytes) -> None:
    """Other content under a manifest that is right about it."""
    (folder / f"{name}.bin").write_bytes(content)
    set_entry(folder, name, sha256=hashlib.sha256(content).hexdigest())


# Each example is flushed to the disk: fewer than usual.
@settings(max_examples=40)
@given(
    arrays=st.dictionaries(
        st.text("abz09_", min_size=1, max_size=8), st.sampled_from(DTYPES).flatmap(array_of), max_size=4
    ),
    facts=st.dictionaries(st.text(max_size=5).filter(_is_utf8), JSON, max_size=3),
    verify=st.booleans(),
)
def test_what_is_written_is_what_is_loaded(arrays, facts, verify):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "snapshot"
        sha256 = write(folder, arrays, facts)

        snapshot = load(folder, verify=verify)

        assert (snapshot.kind, snapshot.store_id, snapshot.created_at) == ("model", STORE, CREATED_AT)
        assert snapshot.sha256 == sha256 == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        assert snapshot.facts == facts
        assert set(snapshot.arrays) == set(arrays)
        for name, array in arrays.items():
            loaded = snapshot.arrays[name]
            assert loaded.dtype == array.dtype.newbyteorder("=")
            assert loaded.shape == array.shape
            assert loaded.tobytes() == array.astype(loaded.dtype).tobytes()
            assert not loaded.flags.writeable


def test_files_are_raw_little_endian_rows(folder):
    assert (folder / "keys.bin").read_bytes() == b"".join(int(key).to_bytes(8, "little") for key in ARRAYS["keys"])
    assert (folder / "nothing.bin").read_bytes() == b""
    assert sorted(path.name for path in folder.iterdir()) == ["keys.bin", "manifest.json", "nothing.bin", "vectors.bin"]


def test_loaded_arrays_are_mapped_from_the_file_and_not_read(folder):
    snapshot = load(folder, verify=False)
    # Only a mapping shows what is written to the file later.
    with (folder / "keys.bin").open("r+b") as file:
        file.write((77).to_bytes(8, "little"))

    assert snapshot.arrays["keys"].tolist() == [77, 5, 9, 2**60]


def test_loading_leaves_no_descriptor_of_the_folder_open(folder):
    load(folder)
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        load(folder)
        with pytest.raises(SnapshotError):
            load(folder, kind="history")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_any_store_is_accepted_when_none_is_asked_for(folder):
    assert load(folder, store_id=None).store_id == STORE


def test_files_nobody_asked_for_do_no_harm(folder):
    (folder / "resume.bin").write_bytes(b"something else")

    assert set(load(folder).arrays) == set(ARRAYS)


def test_an_existing_folder_is_not_touched(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(FileExistsError):
        write(folder, {"other": np.zeros(3)})

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arrays", "facts", "problem"),
    [
        ({"a": np.array([None])}, {}, "a.bin: dtype object"),
        ({"a": np.array(["x"])}, {}, "a.bin: dtype <U1"),
        ({"a": np.array([True])}, {}, "a.bin: dtype bool"),
        ({"a": np.array([1j])}, {}, "a.bin: dtype complex128"),
        ({"a": np.zeros(())}, {}, "a.bin: an array has one or two dimensions, not 0"),
        ({"a": np.zeros((1, 1, 1))}, {}, "a.bin: an array has one or two dimensions, not 3"),
        ({"a": np.array([0, np.nan])}, {}, "a.bin: holds values that are not finite"),
        ({"a": np.array([0, np.inf], dtype=np.float32)}, {}, "a.bin: holds values that are not finite"),
        ({"../a": np.zeros(1)}, {}, "'../a': an array's name"),
        ({"A": np.zeros(1)}, {}, "'A': an array's name"),
        ({"": np.zeros(1)}, {}, "'': an array's name"),
        ({}, {"x": float("nan")}, "manifest.json: the facts are not JSON"),
        ({}, {"x": {1, 2}}, "manifest.json: the facts are not JSON"),
        ({}, {"x": "\ud800"}, "manifest.json: the facts are not JSON"),
        ({}, {"x": "x" * MAX_MANIFEST_BYTES}, "manifest.json: 8388"),
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path, arrays, facts, problem):
    folder = tmp_path / "version-8"

    with pytest.raises(SnapshotError) as caught:
        write(folder, arrays, facts)

    assert str(caught.value).startswith(f"snapshot version-8: {problem}")
    assert not folder.exists()


def truncate(folder: Path) -> None:
    os.truncate(folder / "vectors.bin", 47)


def lengthen(folder: Path) -> None:
    with (folder / "vectors.bin").open("ab") as file:
        file.write(b"\0")


def empty(folder: Path) -> None:
    os.truncate(folder / "vectors.bin", 0)


def fill_the_empty_one(folder: Path) -> None:
    (folder / "nothing.bin").write_bytes(b"\0" * 24)


def write_random_bytes(folder: Path) -> None:
    (folder / "vectors.bin").write_bytes(np.random.default_rng(1).bytes(48))


def flip_one_bit(folder: Path) -> None:
    content = bytearray((folder / "vectors.bin").read_bytes())
    content[17] ^= 0b100
    (folder / "vectors.bin").write_bytes(content)


def write_nan(folder: Path) -> None:
    replace_content(folder, "vectors", np.array([*range(11), np.nan], dtype=np.float32).tobytes())


def write_infinity(folder: Path) -> None:
    replace_content(folder, "vectors", np.array([-np.inf, *range(11)], dtype=np.float32).tobytes())


def link_out(folder: Path) -> None:
    outside = folder.parent / "outside.bin"
    (folder / "vectors.bin").rename(outside)
    (folder / "vectors.bin").symlink_to(outside)


def link_inside(folder: Path) -> None:
    (folder / "vectors.bin").rename(folder / "other.bin")
    (folder / "vectors.bin").symlink_to("other.bin")


def make_a_pipe(folder: Path) -> None:
    (folder / "vectors.bin").unlink()
    os.mkfifo(folder / "vectors.bin")


def make_a_folder(folder: Path) -> None:
    (folder / "vectors.bin").unlink()
    (folder / "vectors.bin").mkdir()


def remove_file(folder: Path) -> None:
    (folder / "vectors.bin").unlink()


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (truncate, "vectors.bin", "has 47 bytes, not 48"),
        (lengthen, "vectors.bin", "has 49 bytes, not 48"),
        (empty, "vectors.bin", "has 0 bytes, not 48"),
        (fill_the_empty_one, "nothing.bin", "has 24 bytes, not 0"),
        (link_out, "vectors.bin", "symbolic link"),
        (link_inside, "vectors.bin", "symbolic link"),
        (make_a_pipe, "vectors.bin", "is not a regular file"),
        (make_a_folder, "vectors.bin", "is not a regular file"),
        (remove_file, "vectors.bin", "is missing"),
    ],
)
def test_a_damaged_file_is_refused_by_name(folder, damage, file, problem, verify):
    damage(folder)

    with pytest.raises(SnapshotError) as caught:
        load(folder, verify=verify)

    assert str(caught.value).startswith(f"snapshot version-7: {file}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (write_random_bytes, "sha256 does not match the manifest"),
        (flip_one_bit, "sha256 does not match the manifest"),
        (write_nan, "holds values that are not finite"),
        (write_infinity, "holds values that are not finite"),
    ],
)
def test_damaged_content_is_refused_when_verified(folder, damage, problem):
    damage(folder)

    with pytest.raises(SnapshotError) as caught:
        load(folder)

    assert str(caught.value) == f"snapshot version-7: vectors.bin: {problem}"
    load(folder, verify=False)  # only verification reads the content


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"shape": [4, 4]}, "vectors.bin: shape [4, 4] of float32 takes 64 bytes, not 48"),
        ({"shape": [3, 4], "bytes": 47}, "takes 48 bytes, not 47"),
        ({"shape": [4, -3]}, "is not one or two lengths"),
        ({"shape": [4, 3.0]}, "is not one or two lengths"),
        ({"shape": [True, 12]}, "is not one or two lengths"),
        ({"shape": [0, 2**60], "bytes": 0}, "is not one or two lengths"),
        ({"shape": [2, 2, 3]}, "is not one or two lengths"),
        ({"shape": []}, "is not one or two lengths"),
        ({"shape": "4x3"}, "is not one or two lengths"),
        ({"bytes": "48"}, "not '48'"),
        ({"bytes": 48.0}, "not 48.0"),
        ({"dtype": "object"}, "vectors.bin: dtype 'object' is not one of"),
        ({"dtype": ">f4"}, "vectors.bin: dtype '>f4' is not one of"),
        ({"dtype": ["float32"]}, "vectors.bin: dtype ['float32'] is not one of"),
        ({"dtype": "float64"}, "takes 96 bytes, not 48"),
        ({"sha256": "0" * 63}, "vectors.bin: sha256 is not 64 hexadecimal digits"),
        ({"sha256": None}, "vectors.bin: sha256 is not 64 hexadecimal digits"),
        ({"file": "keys.bin"}, "the file of vectors is 'keys.bin'"),
        ({"file": "../version-7/vectors.bin"}, "the file of vectors is '../version-7/vectors.bin'"),
        ({"file": "/etc/passwd"}, "the file of vectors is '/etc/passwd'"),
        ({"surprise": 1}, "the entry of vectors has missing or unknown fields: 'surprise'"),
    ],
    ids=str,
)
def test_an_array_the_manifest_describes_wrongly_is_refused(folder, fields, problem):
    set_entry(folder, "vectors", **fields)

    with pytest.raises(SnapshotError) as caught:
        load(folder, verify=False)

    assert str(caught.value).startswith("snapshot version-7: manifest.json: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.update(schema=1), "schema is 1; this version reads 2"),
        (lambda m: m.update(schema=True), "schema is True"),
        (lambda m: m.pop("schema"), "schema is None"),
        (lambda m: m.update(kind="history"), "kind is 'history', not 'model'"),
        (lambda m: m.update(kind=None), "kind is not a string"),
        (lambda m: m.update(store="another"), f"comes from store 'another', not '{STORE}'"),
        (lambda m: m.update(created_at=5), "created_at is not a string"),
        (lambda m: m.pop("facts"), "missing or unknown fields: 'facts'"),
        (lambda m: m.update(facts=[]), "facts is not an object"),
        (lambda m: m.update(arrays=[]), "arrays is not an object"),
        (lambda m: m.update(more=1), "missing or unknown fields: 'more'"),
        (lambda m: m["arrays"].update(keys=3), "the entry of keys is not an object"),
        (lambda m: m["arrays"]["keys"].pop("sha256"), "the entry of keys has missing or unknown fields: 'sha256'"),
        (lambda m: m["arrays"].update({"../keys": m["arrays"]["keys"]}), "'../keys' is not an array's name"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder, change, problem):
    change_manifest(folder, change)

    with pytest.raises(SnapshotError) as caught:
        load(folder)

    assert str(caught.value).startswith("snapshot version-7: manifest.json: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b'{"schema": 1, "schema": 1}', "a name is there twice"),
        (b'{"schema": 1, "facts": {"x": NaN}}', "NaN is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "8388609 bytes; at most 8388608 are allowed"),
    ],
    ids=["empty", "cut", "binary", "bom", "deep", "digits", "repeated", "nan", "list", "null", "large"],
)
def test_a_manifest_that_cannot_be_read_is_refused(folder, content, problem):
    (folder / "manifest.json").write_bytes(content)

    with pytest.raises(SnapshotError) as caught:
        load(folder)

    assert str(caught.value).startswith("snapshot version-7: manifest.json: ")
    assert problem in str(caught.value)


def test_a_missing_manifest_is_refused(folder):
    (folder / "manifest.json").unlink()

    with pytest.raises(SnapshotError, match=r"^snapshot version-7: manifest\.json: is missing$"):
        load(folder)


def test_a_manifest_that_is_a_link_is_refused(folder):
    (folder / "manifest.json").rename(folder / "real.json")
    (folder / "manifest.json").symlink_to("real.json")

    with pytest.raises(SnapshotError, match=r"^snapshot version-7: manifest\.json: .*symbolic link"):
        load(folder)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(SnapshotError, match=r"^snapshot gone: folder: is missing$"):
        load(tmp_path / "gone")


def test_a_folder_that_is_a_link_is_refused(folder):
    link = folder.parent / "link"
    link.symlink_to(folder)

    with pytest.raises(SnapshotError, match=r"^snapshot link: folder: .*symbolic link"):
        load(link)


def test_any_flipped_bit_is_noticed(folder):
    path = folder / "vectors.bin"
    content = path.read_bytes()

    for position in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(SnapshotError, match=r"vectors\.bin: sha256 does not match"):
            load(folder)


def test_checking_pauses_after_every_block_and_not_checking_never(tmp_path: Path) -> None:
    arrays = {"large": np.ones(CHECK_BLOCK, dtype=np.float32), "small": np.ones(3)}
    write_snapshot(tmp_path / "one", arrays, kind="test", store_id="store", created_at="now", facts={})
    pauses: list[None] = []

    load_snapshot(tmp_path / "one", kind="test", store_id=None, pause=lambda: pauses.append(None))

    # Checksum and floats: four blocks of the large array each, one of the small one.
    assert len(pauses) == 2 * (4 + 1)
    load_snapshot(tmp_path / "one", kind="test", store_id=None, verify=False, pause=lambda: pauses.append(None))
    assert len(pauses) == 10
