"""What docker-compose.yml says, read as Docker would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


def services() -> dict[str, dict[str, Any]]:
    """The services, anchors and merges resolved."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def interpolated(text: str, variables: dict[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?error}` replaced. Raises: KeyError where one is needed and missing."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if operator == "-":
            return rest
        raise KeyError(f"{name}: {rest}")

    return _VARIABLE.sub(value, text)


def environment(service: str, variables: dict[str, str]) -> dict[str, str]:
    """The environment of a service's process."""
    given = services()[service].get("environment", {})
    return {name: interpolated(str(value), variables) for name, value in given.items()}
