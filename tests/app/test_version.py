from __future__ import annotations

import tomllib
from pathlib import Path

from app.version import VERSION


def test_the_version_is_the_one_that_is_packaged() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
