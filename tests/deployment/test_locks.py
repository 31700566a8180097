"""The locks say exactly what is installed, and say it for every dependency that pyproject.toml names."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-runtime.lock", "requirements-build.lock")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?==(?P<version>[^ ;\\]+)")
UNLOCKED = "bench"  # what only comparisons need: neither a test nor an installation asks for it
APART = "torch"  # its builds differ from machine to machine, so that no one hash would fit


def pins(lock: str) -> dict[str, set[str]]:
    """Name -> versions; several where they differ by Python version."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if match := PIN.match(line):
            found.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return found


def pinned_extras(lock: str) -> dict[str, set[str]]:
    """Name -> extras it is pinned with."""
    matches = map(PIN.match, (ROOT / lock).read_text(encoding="utf-8").splitlines())
    return {canonicalize_name(match["name"]): set((match["extras"] or "").split(",")) for match in matches if match}


def required(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return [each for each in map(Requirement, texts) if each.name != APART]


def all_extras() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def locked_extras() -> list[str]:
    return [extra for extra in all_extras() if extra != UNLOCKED]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [("requirements.lock", required(*locked_extras())), ("requirements-runtime.lock", required("train"))],
)
def test_every_dependency_is_pinned_within_its_bounds(lock: str, requirements: list[Requirement]) -> None:
    pinned = pins(lock)
    for requirement in requirements:
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not in {lock}: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: {versions}"


@pytest.mark.parametrize("lock", LOCKS)
def test_what_the_dependencies_need_is_pinned_too(lock: str) -> None:
    pinned, extras = pins(lock), pinned_extras(lock)
    for name in pinned:
        try:
            texts = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for requirement in map(Requirement, texts):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in pinned, (
                    f"{requirement.name}, which {name} needs, is not in {lock}"
                )
                # pip would look for them itself, find a newer release, and refuse that one for want of a hash.
                assert requirement.extras <= extras[canonicalize_name(requirement.name)], f"{requirement} in {lock}"


def test_the_image_installs_the_versions_that_were_tested() -> None:
    everything = pins("requirements.lock")
    for lock in LOCKS[1:]:
        for name, versions in pins(lock).items():
            assert versions <= everything[name], f"{name} in {lock}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_nothing_names_a_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        if PIN.match(block):
            assert "--hash=sha256:" in block, block.splitlines()[0]
    for place in ("://", "--index-url", "--find-links", "file:", " /"):
        assert place not in text


def test_torch_is_the_same_everywhere_and_in_no_lock() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (version,) = {str(each.specifier) for each in map(Requirement, extras["train"]) if each.name == APART}
    version = version.removeprefix("==")
    assert f"TORCH_VERSION ?= {version}\n" in (ROOT / "Makefile").read_text()
    assert f"ARG TORCH_VERSION={version}\n" in (ROOT / "Dockerfile").read_text()
    assert f'TORCH_VERSION: "{version}"\n' in (ROOT / "docker-compose.yml").read_text()
    assert all(APART not in pins(lock) for lock in LOCKS)


def test_what_only_comparisons_need_is_in_no_lock() -> None:
    apart = {each.name for each in required(UNLOCKED)} - {each.name for each in required(*locked_extras())}
    assert apart
    for lock in LOCKS:
        assert not apart & pins(lock).keys()


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([^`\[]+)(?:\[[^\]]*\])?`", reasons, flags=re.MULTILINE))
    assert {each.name for each in required(*all_extras())} | {APART, "hatchling", "uv"} == named
