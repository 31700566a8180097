from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import model

GUIDE = Path(model.__file__).parents[1] / "docs" / "model.md"


@pytest.mark.slow
def test_the_examples_of_the_guide_run_and_print_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(example, str(GUIDE), "exec"), names)  # noqa: S102 - our own documentation
    shown = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert shown
    assert capsys.readouterr().out == "".join(shown)
    assert names["own"].loss_history
