"""JSON text, decoded so that two readers cannot understand it differently."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from app.errors import ApiError, invalid_at

# No body of ours has so many; a validator would answer each unknown one with an error of a few hundred bytes.
_MAX_NAMES = 1000

# Stands for an integer of over 4,300 digits, which Python does not read (quadratic time). It is beyond every bound that
# a number or its text has anywhere in the service, so that it is refused where it stands and for the right reason.
_OVERLONG = 10**4299


class RepeatedNames(dict[str, Any]):
    """A JSON object in which a name stood more than once: two readers would take two different values of it.

    Attributes:
        repeated: the first such name.
    """

    repeated: str = ""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                self.repeated = name
                break
            seen.add(name)


def decode_json(body: bytes, *, keep_repeated: bool = False) -> object:
    """What the body says. NaN, Infinity and 1e999 come through as floats, an integer of over 4,300
    digits as one of 4,300: the validators refuse them where they stand.

    Args:
        keep_repeated: leave objects with a repeated name as RepeatedNames, for the caller to point at.
    Raises: ApiError 422 for anything that is not one JSON value in UTF-8.
    """
    repeated: list[RepeatedNames] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > _MAX_NAMES:
            raise invalid_at("", "too_many_names", f"an object in the body has over {_MAX_NAMES} names")
        built = dict(pairs)
        if len(built) != len(pairs):
            built = RepeatedNames(pairs)
            repeated.append(built)
        return built

    if not body.strip():
        raise _not_json("the body is empty; send JSON")
    if body.startswith(b"\xef\xbb\xbf"):
        raise _not_json("the body starts with a byte order mark; send plain UTF-8")
    try:
        value = _decoded(body.decode("utf-8"), build)
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _not_json("arrays and objects are nested too deeply") from None
    if repeated and not keep_repeated:
        raise invalid_at("", "duplicate_name", "a name stands more than once in one object")
    return value


def _decoded(text: str, build: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> object:
    try:
        return json.JSONDecoder(object_pairs_hook=build).decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer with more digits than Python reads
        # Again, with a hook for integers: it would cost every other body a call for each of them.
        return json.JSONDecoder(object_pairs_hook=build, parse_int=_integer).decode(text)


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        return -_OVERLONG if digits.startswith("-") else _OVERLONG


def _not_json(detail: str) -> ApiError:
    return invalid_at("", "json_invalid", detail)
