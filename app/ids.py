"""The rules of external ids: opaque strings of 1 to 256 characters, compared as they are, never normalised.

The same rules hold wherever an id comes in: in a body, in a path, in a query, in a file. A JSON integer means its
decimal string, so that catalogues with numeric ids need no conversion; a boolean or a float is refused, since two
systems would not agree on its text.
"""

from __future__ import annotations

import os
import random
import re
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_ID_LENGTH = 256

# C0 and C1 with DEL between them, lone surrogates (not encodable), and the mark a broken decoder leaves behind.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_MAX_INTEGER = 10**MAX_ID_LENGTH


# Unique, not secret: seeded anew in every process, and thirty times as fast as asking the system for each.
_random = random.Random(os.urandom(32))  # noqa: S311


def new_id() -> str:
    """A new id of our own: 32 hexadecimal digits that no other process gives."""
    return f"{_random.getrandbits(128):032x}"


class InvalidId(ValueError):
    """An id that breaks the rules; `code` is stable, the message is for people and does not repeat the id."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def check_id(value: str) -> str:
    """Return `value` if it is a valid external id. Raises: InvalidId."""
    if value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID_LENGTH and " " not in (value[0], value[-1]):
        return value  # nearly every id; the checks below cost ten times as much
    if not value:
        raise InvalidId("id_empty", "an id has at least one character")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidId("id_too_long", f"an id has at most {MAX_ID_LENGTH} characters, this one {len(value)}")
    if _CONTROL.search(value):
        raise InvalidId("id_control_character", "an id holds no control characters")
    if _SURROGATE.search(value):
        raise InvalidId("id_not_unicode", "an id is valid Unicode text: no lone surrogates, no broken UTF-8")
    if "\ufffd" in value:
        raise InvalidId("id_replacement_character", "an id holds no U+FFFD: it is the trace of text decoded wrongly")
    if value[0].isspace() or value[-1].isspace():
        raise InvalidId("id_surrounding_space", "an id neither starts nor ends with white space")
    return value


def id_from_json(value: object) -> str:
    """The id that a JSON value means: a string, or an integer's decimal digits. Raises: InvalidId."""
    if type(value) is str:
        return check_id(value)
    if type(value) is int:
        if not -_MAX_INTEGER < value < _MAX_INTEGER:
            raise InvalidId("id_too_long", f"an id has at most {MAX_ID_LENGTH} characters")
        return check_id(str(value))
    raise InvalidId("id_type", "an id is a string or an integer")


def percent_decoded(raw: str) -> str:
    """Decode %XX strictly: every escape complete, valid UTF-8, nothing unescaped beyond ASCII. Raises: InvalidId."""
    if "%" not in raw and raw.isascii():
        return raw
    if not raw.isascii() or _BROKEN_ESCAPE.search(raw):
        raise InvalidId("percent_encoding", "percent-encode it as UTF-8: every % is followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidId("percent_encoding", "the percent-encoded bytes are not valid UTF-8") from error


def id_from_path(raw: str) -> str:
    """The id in one still-encoded path segment (`a%2Fb` is the id `a/b`). Raises: InvalidId."""
    return check_id(percent_decoded(raw))


def _validated(value: object) -> str:
    try:
        return id_from_json(value)
    except InvalidId as error:
        # The template goes in as a constant: pydantic would read braces in it as placeholders.
        raise PydanticCustomError(error.code, "{detail}", {"detail": error.detail}) from error


ExternalId = Annotated[
    str,
    PlainValidator(_validated),
    WithJsonSchema(
        {
            "description": "An opaque id of 1 to 256 characters; an integer means its decimal string.",
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH},
                {"type": "integer"},
            ],
        }
    ),
]
"""An id in a JSON body, as a pydantic type: accepts a string or an integer, validates to a string."""
