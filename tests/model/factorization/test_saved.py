from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.factorization.saved import read_saved, write_saved
from model.snapshot import write_snapshot

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def there_and_back(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    write_saved(folder / "saved", state, kind="test")
    return read_saved(folder / "saved", kind="test")


@settings(max_examples=8)  # each writes and flushes files; a list holds many values
@given(value=st.lists(plain, min_size=5, max_size=10))
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert repr(there_and_back({"value": value}, Path(folder))) == repr({"value": value})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4), (2, 3, 4)])
def test_tensors_come_back_with_dtype_shape_and_bits(
    dtype: torch.dtype, shape: tuple[int, ...], tmp_path: Path
) -> None:
    tensor = torch.randint(0, 200, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    back = there_and_back({"tensor": tensor}, tmp_path)["tensor"]
    assert back.dtype == dtype
    assert torch.equal(back, tensor)
    back.zero_()  # it may be trained on


def test_columns_and_values_that_are_not_finite_come_back(tmp_path: Path) -> None:
    state = {"a b": torch.arange(6).reshape(2, 3).T, "A-B": torch.tensor([math.nan, math.inf]), "state": torch.ones(2)}
    back = there_and_back(state | {"low": -math.inf, "unknown": math.nan, "count": np.int64(3)}, tmp_path)
    for name, tensor in state.items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=0, equal_nan=True)
    assert back["low"] == -math.inf
    assert math.isnan(back["unknown"])
    assert back["count"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0, object()]}, "value_a_1 is a object"),
        ({(1, 2): 3}, r"\(1, 2\) is a tuple: only numbers and texts"),
        (torch.eye(2).to_sparse(), "value is a tensor of float32, torch.sparse_coo"),
        (torch.ones(2, dtype=torch.complex64), "value is a tensor of complex64"),
    ],
)
def test_what_is_not_plain_is_refused_before_anything_is_written(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        write_saved(tmp_path / "saved", {"value": value}, kind="test")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"dict": [[1]]}',
        '{"dict": [[[], 1]]}',
        '{"code": "print()"}',
        '{"dict": [], "tuple": []}',
        '{"tensor": {"name": "nowhere", "dtype": "uint8", "shape": [1]}}',
        '{"tensor": {"name": "state", "dtype": "Tensor", "shape": [1]}}',
        '{"tensor": {"name": "state", "dtype": "uint8", "shape": [-1]}}',
        '{"tensor": {"name": "state", "dtype": "uint8", "shape": [1000000000000]}}',
        "[" * 100_000,
    ],
)
def test_a_state_that_nobody_wrote_is_refused_by_name(text: str, tmp_path: Path) -> None:
    arrays = {"state": np.frombuffer(text.encode(), dtype=np.uint8)}
    write_snapshot(tmp_path / "saved", arrays, kind="test", store_id="", created_at="", facts={})
    with pytest.raises(ValueError, match=r"snapshot saved: state\.bin: does not describe"):
        read_saved(tmp_path / "saved", kind="test")


def test_a_snapshot_without_a_state_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "saved", {}, kind="test", store_id="", created_at="", facts={})
    with pytest.raises(ValueError, match=r"state\.bin: is missing"):
        read_saved(tmp_path / "saved", kind="test")
