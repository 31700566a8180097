from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import Settings, load_settings, variable_name

NO_SECRETS = Path("/nowhere")
CONFIGURATION = Path(__file__).parents[2] / "docs" / "configuration.md"


def load(secrets_folder: Path = NO_SECRETS, **values: str) -> Settings:
    return load_settings({f"LIKEWISE_{name}": value for name, value in values.items()}, secrets_folder=secrets_folder)


def refusal(**values: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load()
    assert settings.database_url == "sqlite:///./data/likewise.db"
    assert settings.model_dir == Path("./data/models")
    assert settings.trainer == "embedded"
    assert settings.training_interval_seconds == 3600
    assert settings.training_min_new_interactions == 1000
    assert settings.models_kept == 5
    assert settings.device == "auto"
    assert settings.refresh_seconds == 0.25
    assert settings.event_weights == {"click": 1.0, "purchase": 4.0, "dislike": "hide"}
    assert settings.repeats == "auto"
    assert settings.max_body_bytes == 1024 * 1024
    assert settings.shutdown_delay_seconds == 0
    assert settings.seen_event_types is None
    assert settings.half_life_days is None
    assert not settings.allow_anonymous


def test_values_are_parsed() -> None:
    settings = load(
        EVENT_WEIGHTS=" view = 0.5 , buy=3,skip=hide ",
        SEEN_EVENT_TYPES="buy,play",
        SEEN_DAYS="30",
        LOG_LEVEL="WARNING",
        ALLOW_ANONYMOUS="true",
    )
    assert settings.event_weights == {"view": 0.5, "buy": 3.0, "skip": "hide"}
    assert settings.seen_event_types == ("buy", "play")
    assert settings.seen_days == 30
    assert settings.log_level == "warning"
    assert settings.allow_anonymous


def test_all_event_types_and_empty_variables_mean_the_default() -> None:
    assert load(SEEN_EVENT_TYPES="all", HALF_LIFE_DAYS="", SEEN_DAYS="  ") == load()


def test_a_misspelt_variable_names_the_nearest() -> None:
    assert "LIKEWISE_DATABASE_URL" in refusal(DATABSE_URL="sqlite:///x.db")
    assert "LIKEWISE_MODELS_KEPT" in refusal(MODEL_KEPT="3")


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({"HOME": "/x", "likewise_models_kept": "7"}, secrets_folder=NO_SECRETS) == load()


@pytest.mark.parametrize(
    "values",
    [
        {"MODELS_KEPT": "0"},
        {"MODELS_KEPT": "many"},
        {"REFRESH_SECONDS": "nan"},
        {"REFRESH_SECONDS": "inf"},
        {"TRAINING_INTERVAL_SECONDS": "-1"},
        {"MAX_BODY_BYTES": "1e999"},
        {"TRAINER": "inside"},
        {"EVENT_WEIGHTS": "click"},
        {"EVENT_WEIGHTS": "click=1,click=2"},
        {"EVENT_WEIGHTS": "click=0"},
        {"EVENT_WEIGHTS": "click=nan"},
        {"EVENT_WEIGHTS": "Click=1"},
        {"SEEN_EVENT_TYPES": "a b"},
        {"DATABASE_URL": "mysql://x/y"},
        {"DATABASE_URL": "sqlite://"},
        {"DATABASE_URL": "sqlite:///:memory:"},
        {"DATABASE_URL": "nonsense"},
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(values: dict[str, str]) -> None:
    ((name, _),) = values.items()
    assert refusal(**values).startswith(f"LIKEWISE_{name} is wrong: ")


def test_a_password_in_a_wrong_url_is_not_repeated() -> None:
    assert "hunter2" not in refusal(DATABASE_URL="mysql://me:hunter2@host/db")
    assert "hunter2" not in repr(load(DATABASE_URL="postgresql://me:hunter2@host/db"))


@pytest.mark.parametrize("name", ["likewise_database_url", "LIKEWISE_DATABASE_URL"])
def test_settings_are_read_from_secret_files_in_either_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("postgresql://me@host/db\n")
    (tmp_path / "postgres_password").write_text("not ours")
    assert load(tmp_path).database_url == "postgresql://me@host/db"


def test_a_variable_wins_over_a_secret_file(tmp_path: Path) -> None:
    (tmp_path / "likewise_models_kept").write_text("3")
    assert load(tmp_path, MODELS_KEPT="9").models_kept == 9


def test_a_misspelt_secret_file_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "likewise_databse_url").write_text("x")
    with pytest.raises(ConfigurationError, match="LIKEWISE_DATABASE_URL"):
        load(tmp_path)


def test_every_setting_is_documented_with_its_default_and_nothing_else_is() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    documented = re.findall(r"^### `(LIKEWISE_[A-Z_]+)`", text, flags=re.MULTILINE)
    assert sorted(documented) == sorted(variable_name(field) for field in Settings.model_fields)
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        assert "Default:" in section
        assert "Example:" in section


def test_the_documented_examples_are_valid() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    examples = dict(re.findall(r"^Example: `(LIKEWISE_[A-Z_]+)=([^`]*)`", text, flags=re.MULTILINE))
    assert set(examples) == {variable_name(field) for field in Settings.model_fields}
    load_settings(examples, secrets_folder=NO_SECRETS)
