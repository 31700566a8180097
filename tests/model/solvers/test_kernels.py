"""How functions become machine code."""

from __future__ import annotations

from typing import Any

from model.solvers.kernels import compiled


def test_a_function_whose_machine_code_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    # As a file in a folder that nobody can write to, a function without a file has no place for its machine code.
    made: dict[str, Any] = {}
    exec("def twice(number):\n    return number * 2", made)  # noqa: S102 - the point of the test
    assert compiled(made["twice"])(21) == 42
