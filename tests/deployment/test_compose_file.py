"""The promises of the deployment files that no linter checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.security import check_bind
from app.settings import load_settings
from tests.deployment import compose

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "api", "trainer")
PASSWORD = {"POSTGRES_PASSWORD": "0123abcd"}


def test_only_the_api_is_published_and_only_on_the_loopback_address() -> None:
    published = {name: service["ports"] for name, service in compose.services().items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"]}


@pytest.mark.parametrize("name", [*OURS, "database"])
def test_every_service_runs_with_as_little_as_it_can(name: str) -> None:
    service = compose.services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert "tmp" in {Path(entry.partition(":")[0]).name for entry in service["tmpfs"]}
    assert "cap_add" not in service or name == "database"


def test_api_and_trainer_start_after_the_migration_and_share_the_models() -> None:
    services = compose.services()
    for name in ("api", "trainer"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["depends_on"]["database"]["condition"] == "service_healthy"
        assert services[name]["restart"] == "unless-stopped"
    assert services["api"]["volumes"] == services["trainer"]["volumes"]
    assert (
        compose.environment("api", PASSWORD)["LIKEWISE_MODEL_DIR"]
        == (compose.environment("trainer", PASSWORD)["LIKEWISE_MODEL_DIR"])
    )
    assert services["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_the_variables_are_settings_of_the_service(name: str) -> None:
    settings = load_settings(compose.environment(name, PASSWORD), secrets_folder=ROOT / "no such folder")
    assert settings.database_url == "postgresql://likewise:0123abcd@database:5432/likewise"


@pytest.mark.parametrize("name", [*OURS, "database"])
def test_nothing_starts_without_a_password_of_its_own(name: str) -> None:
    with pytest.raises(KeyError, match="POSTGRES_PASSWORD"):
        compose.environment(name, {})


def test_without_the_line_that_allows_anonymous_callers_the_api_refuses_its_address() -> None:
    environment = compose.environment("api", PASSWORD)
    host = compose.services()["api"]["command"][2]
    nowhere = ROOT / "no such folder"
    check_bind(host, load_settings(environment, secrets_folder=nowhere), has_keys=False)
    del environment["LIKEWISE_ALLOW_ANONYMOUS"]
    with pytest.raises(ConfigurationError, match="LIKEWISE_ALLOW_ANONYMOUS"):
        check_bind(host, load_settings(environment, secrets_folder=nowhere), has_keys=False)


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = dockerfile.rsplit("\nFROM ", 1)[1]
    user = re.search(r"^USER (\d+):(\d+)$", final, flags=re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "HEALTHCHECK" in final
    assert 'ENTRYPOINT ["likewise"]' in final


def test_nothing_but_sources_enters_the_build() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in rules
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    assert {name for line in copied for name in line.split()} == allowed
