"""What can be set from outside: environment variables with the prefix LIKEWISE_, or files in /run/secrets.

Each setting has a bound, a default that works, and a paragraph in docs/configuration.md (a test compares the two).
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from app.db.url import parsed
from app.errors import ConfigurationError

PREFIX = "LIKEWISE_"
SECRETS_FOLDER = Path("/run/secrets")
# What others call a setting is here an option of `likewise serve`.
_OPTIONS = {f"{PREFIX}HOST": "--host 127.0.0.1", f"{PREFIX}PORT": "--port 8000", f"{PREFIX}WORKERS": "--workers 1"}
# How much of a name must agree with a setting's before that is offered as what was meant.
_NEAR = 0.6
# What the system hands over for bytes that are not UTF-8, and a character that no file or URL may hold.
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
EVENT_TYPE = re.compile(r"[a-z0-9_.-]{1,64}")

HIDE: Literal["hide"] = "hide"
EventWeight = float | Literal["hide"]


def _event_type(name: str) -> str:
    if not EVENT_TYPE.fullmatch(name):
        raise ValueError("an event type consists of 1 to 64 of a-z 0-9 _ . -")
    return name


def _event_weights(value: object) -> object:
    """`click=1,purchase=4,dislike=hide` as a dict; a dict passes through."""
    if not isinstance(value, str):
        return value
    weights: dict[str, EventWeight] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, separator, text = (piece.strip() for piece in part.partition("="))
        if not separator or name in weights:
            raise ValueError("write it as click=1,purchase=4,dislike=hide with each event type once")
        if text == HIDE:
            weights[_event_type(name)] = HIDE
            continue
        try:
            weight = float(text)
        except ValueError:
            raise ValueError("a weight is a number, or the word hide") from None
        if not (math.isfinite(weight) and 0 < weight <= 1e6):
            raise ValueError("a weight is over 0 and at most 1e6; to leave an event type out write hide")
        weights[_event_type(name)] = weight
    return weights


def _event_types(value: object) -> object:
    """`all` as None, `purchase,play` as a tuple."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "all":
        return None
    return tuple(_event_type(part.strip()) for part in value.split(",") if part.strip())


def _database_url(value: object) -> object:
    """Refuse what cannot be opened, without repeating it: it may hold a password."""
    if isinstance(value, str):
        parsed(value)
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _default_weights() -> dict[str, EventWeight]:
    return {"click": 1.0, "purchase": 4.0, "dislike": HIDE}


class Settings(BaseModel):
    """Every setting, parsed and bounded. Names are those of the variables without LIKEWISE_, in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())

    database_url: Annotated[str, BeforeValidator(_database_url)] = Field("sqlite:///./data/likewise.db", repr=False)
    model_dir: Path = Path("./data/models")
    spool_dir: Path = Path("./data/spool")
    store_timeout_seconds: float = Field(10.0, ge=0.1, le=300)

    trainer: Annotated[Literal["embedded", "external"], BeforeValidator(_lower)] = "embedded"
    training_interval_seconds: float = Field(3600.0, ge=1, le=31 * 86_400)
    training_min_new_interactions: int = Field(1000, ge=1, le=10**9)
    training_time_budget_seconds: float = Field(1800.0, ge=1, le=7 * 86_400)
    training_lease_seconds: float = Field(30.0, ge=1, le=3600)
    models_kept: int = Field(5, ge=1, le=1000)
    device: Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(_lower)] = "auto"

    refresh_seconds: float = Field(0.25, ge=0.02, le=60)
    event_weights: Annotated[dict[str, EventWeight], BeforeValidator(_event_weights)] = Field(
        default_factory=_default_weights
    )
    half_life_days: float | None = Field(None, gt=0, le=36_500)
    seen_event_types: Annotated[tuple[str, ...] | None, BeforeValidator(_event_types)] = None
    seen_days: float | None = Field(None, gt=0, le=36_500)
    repeats: Annotated[Literal["auto", "exclude", "include"], BeforeValidator(_lower)] = "auto"

    retention_days: float | None = Field(None, gt=0, le=36_500)

    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    max_bulk_bytes: int = Field(1024**3, ge=1024, le=1024**4)
    rate_limit_per_second: float | None = Field(None, gt=0, le=1e6)
    shutdown_delay_seconds: float = Field(0.0, ge=0, le=300)
    allow_anonymous: bool = False
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = "console"


def variable_name(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def load_settings(environ: Mapping[str, str] | None = None, *, secrets_folder: Path = SECRETS_FOLDER) -> Settings:
    """Read the settings; a variable that is set wins over a file, an empty one counts as not set.

    Args:
        environ: the variables, os.environ by default.
        secrets_folder: files named like the variables, in upper or lower case; need not exist.
    Raises: ConfigurationError with one line that names the variable and never shows a value.
    """
    given = _from_files(secrets_folder) | _from_variables(os.environ if environ is None else environ)
    known = {variable_name(field): field for field in Settings.model_fields}
    for name in sorted(given.keys() - known.keys()):
        raise ConfigurationError(_unknown(name, known))
    values = {known[name]: value.strip() for name, value in given.items() if value.strip()}
    for field, value in values.items():
        if _UNREADABLE.search(value):
            raise ConfigurationError(f"{variable_name(field)} is wrong: it holds bytes that are not UTF-8 text")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_one_line(error)) from None


def _from_variables(environ: Mapping[str, str]) -> dict[str, str]:
    # In lower case too, though no setting is: it would be without effect, and nobody would be told.
    return {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}


def _unknown(name: str, known: Iterable[str]) -> str:
    if option := _OPTIONS.get(name.upper()):
        return f"{name} is not a setting of Likewise, but an option of the command: likewise serve {option}"
    # Without the prefix, which would make any two names look alike.
    bare = {other.removeprefix(PREFIX): other for other in known}
    nearest = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, n=1, cutoff=_NEAR)
    hint = f"the nearest is {bare[nearest[0]]}" if nearest else "docs/configuration.md lists those there are"
    return f"{name} is not a setting of Likewise; {hint}"


def _from_files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.upper()
        if not name.startswith(PREFIX) or not path.is_file():
            continue
        try:
            found[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the secret file {path} cannot be read: {type(error).__name__}") from None
    return found


def _one_line(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0])
    own_words = first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else None
    return f"{variable_name(field)} is wrong: {own_words or _wanted(Settings.model_fields[field])}"


def _wanted(field: FieldInfo) -> str:
    """What to write for a setting that is a choice or a number, in words of our own."""
    choices = get_args(field.annotation)
    if get_origin(field.annotation) is Literal:
        return f"write {', '.join(choices[:-1])} or {choices[-1]}"
    if field.annotation is bool:
        return "write true or false"
    kind = "a whole number" if field.annotation is int else "a number"
    bound = {
        side: getattr(limit, side) for limit in field.metadata for side in ("ge", "gt", "le") if hasattr(limit, side)
    }
    least = f"from {_shown(bound['ge'])}" if "ge" in bound else f"over {_shown(bound['gt'])} and up"
    return f"write {kind} {least} to {_shown(bound['le'])}"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
