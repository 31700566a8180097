"""What pydantic finds wrong, in words for people who have never heard of it.

The codes are pydantic's, or those of our own validators; inputs and the names of classes are never told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from app.errors import FieldError, pointer_to

SENTENCES: Mapping[str, str] = {
    "missing": "this {noun} is needed",
    "extra_forbidden": "there is no such {noun}; {known}",
    "model_type": "send a JSON object",
    "dict_type": "send a JSON object",
    "list_type": "send a JSON array",
    "too_short": "send {min_length} or more of these",
    "too_long": "send at most {max_length} of these",
    "string_type": "send a text",
    "string_too_short": "send a text of {min_length} or more characters",
    "string_too_long": "send a text of at most {max_length} characters",
    "string_unicode": "the text is not valid Unicode: it holds a lone surrogate",
    "int_type": "send a whole number",
    "float_type": "send a number",
    "finite_number": "send a finite number",
    "greater_than": "send a number over {gt}",
    "greater_than_equal": "send a number of at least {ge}",
    "less_than_equal": "send a number of at most {le}",
    "bool_type": "write true or false",
    "literal_error": "write {expected}",
}
"""A sentence for each kind of error that our models can raise (a test walks them all); filled from its context."""

_BUILT_IN = frozenset(get_args(ErrorType))


def field_errors(
    error: ValidationError, *, model: type[BaseModel], prefix: Sequence[str | int] = ()
) -> list[FieldError]:
    """What pydantic found, as pointers under `prefix`; `model` is what was validated."""
    noun = "parameter" if tuple(prefix) == ("query",) else "field"
    return [
        FieldError(pointer_to((*prefix, *entry["loc"])), entry["type"], _sentence(entry, model, noun))
        for entry in error.errors(include_url=False, include_input=False)
    ]


def _sentence(entry: ErrorDetails, model: type[BaseModel], noun: str) -> str:
    kind = entry["type"]
    if kind not in _BUILT_IN:
        return entry["msg"]  # from a validator of ours
    if kind == "value_error":
        return str(entry["ctx"]["error"])
    words = {"noun": noun, **entry.get("ctx", {})}
    if kind == "extra_forbidden":
        words["known"] = _known(model, entry["loc"][:-1], noun)
    if kind == "literal_error":
        words["expected"] = words["expected"].replace("'", "")
    return SENTENCES.get(kind, "this is not taken here").format_map(words)


def _known(model: type[BaseModel], place: Sequence[str | int], noun: str) -> str:
    """Which names there are in the object at `place`."""
    found: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, str) and found is not None:
            found = _model_in(found.model_fields[part].annotation)
    if found is None or not found.model_fields:
        return f"there are no {noun}s here"
    return f"those there are: {', '.join(found.model_fields)}"


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation such as `list[Pair] | None` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
