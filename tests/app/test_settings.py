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
    assert settings.max_bulk_bytes == 1024**3
    assert settings.retention_days is None
    assert settings.rate_limit_per_second is None
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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DB_URL", "DATABASE_URL"),
        ("MODEL_KEPT", "MODELS_KEPT"),
        ("RATE_LIMIT", "RATE_LIMIT_PER_SECOND"),
    ],
)
def test_a_misspelt_variable_names_the_nearest(name: str, meant: str) -> None:
    assert refusal(**{name: "3"}).endswith(f"; the nearest is LIKEWISE_{meant}")


@pytest.mark.parametrize("name", ["FOO", "SERVICE_HOST", "KEY", "URL"])
def test_a_name_that_is_near_to_nothing_gets_no_guess(name: str) -> None:
    assert "nearest" not in refusal(**{name: "3"})


@pytest.mark.parametrize("name", ["HOST", "PORT", "WORKERS"])
def test_what_is_an_option_of_serve_is_said_to_be_one(name: str) -> None:
    assert f"likewise serve --{name.lower()} " in refusal(**{name: "1"})


@pytest.mark.parametrize("name", ["likewise_models_kept", "Likewise_Models_Kept"])
def test_a_variable_in_lower_case_is_refused_rather_than_without_effect(name: str) -> None:
    with pytest.raises(ConfigurationError, match="the nearest is LIKEWISE_MODELS_KEPT"):
        load_settings({name: "7"}, secrets_folder=NO_SECRETS)


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({"HOME": "/x", "LIKEWISELY": "7"}, secrets_folder=NO_SECRETS) == load()


@pytest.mark.parametrize(
    "values",
    [
        {"MODELS_KEPT": "0"},
        {"MODELS_KEPT": "many"},
        {"REFRESH_SECONDS": "nan"},
        {"REFRESH_SECONDS": "inf"},
        {"TRAINING_INTERVAL_SECONDS": "-1"},
        {"MAX_BODY_BYTES": "1e999"},
        {"MAX_BULK_BYTES": "0"},
        {"RETENTION_DAYS": "0"},
        {"RATE_LIMIT_PER_SECOND": "0"},
        {"RATE_LIMIT_PER_SECOND": "-1"},
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
        {"DATABASE_URL": "sqlite+aiosqlite:///x"},
        {"DATABASE_URL": "sqlite:///x?mode=ro"},
        {"DATABASE_URL": "postgresql+asyncpg://me:open-sesame@h/d"},
        {"DATABASE_URL": "postgresql://h"},
        {"DATABASE_URL": "sqlite:///\udcff.db"},
        {"MODEL_DIR": "a\x00b"},
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(values: dict[str, str]) -> None:
    ((name, _),) = values.items()
    assert refusal(**values).startswith(f"LIKEWISE_{name} is wrong: ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ALLOW_ANONYMOUS": "maybe"}, "write true or false"),
        ({"TRAINER": "inside"}, "write embedded or external"),
        ({"LOG_LEVEL": "loud"}, "write debug, info, warning or error"),
        ({"MODELS_KEPT": "1.5"}, "write a whole number from 1 to 1,000"),
        ({"REFRESH_SECONDS": "soon"}, "write a number from 0.02 to 60"),
        ({"SEEN_DAYS": "0"}, "write a number over 0 and up to 36,500"),
    ],
)
def test_a_wrong_value_is_told_what_to_write(values: dict[str, str], said: str) -> None:
    ((name, _),) = values.items()
    assert refusal(**values) == f"LIKEWISE_{name} is wrong: {said}"


@pytest.mark.parametrize("field", [name for name in Settings.model_fields if not name.endswith("_dir")])
def test_no_message_speaks_in_the_words_of_a_library(field: str) -> None:
    # What is no event type either; a folder may have any name.
    assert not re.search("[Ii]nput|Value error|parse|valid", refusal(**{field.upper(): "Not This!"}))


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
