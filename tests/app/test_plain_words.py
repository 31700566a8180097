"""What callers are told about values that break the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core.core_schema import ErrorType

from app.api.interactions import UploadQuery
from app.api.lists import PersonalQuery
from app.api.operations import Body
from app.api.parameters import QueryModel
from app.api.predictions import Pairs, UserItems
from app.api.trainings import TrainingRequest
from app.errors import FieldError
from app.importing.items import ItemRow
from app.interaction_rows import InteractionRow
from app.main import operations
from app.plain_words import SENTENCES, field_errors

CASES: list[tuple[type[BaseModel], Any, str, str, str]] = [
    (UserItems, {}, "/user_id", "missing", "this field is needed"),
    (Pairs, {"pairs": [{"user_id": "a"}]}, "/pairs/0/item_id", "missing", "this field is needed"),
    (Pairs, {"pairs": [], "x": 1}, "/x", "extra_forbidden", "there is no such field; those there are: pairs"),
    (
        Pairs,
        {"pairs": [{"user_id": "a", "item_id": "b", "item": "b"}]},
        "/pairs/0/item",
        "extra_forbidden",
        "there is no such field; those there are: user_id, item_id",
    ),
    (TrainingRequest, [], "", "model_type", "send a JSON object"),
    (TrainingRequest, {"config": 7}, "/config", "model_type", "send a JSON object"),
    (ItemRow, {"item_id": "a", "metadata": 7}, "/metadata", "dict_type", "send a JSON object"),
    (Pairs, {"pairs": 7}, "/pairs", "list_type", "send a JSON array"),
    (Pairs, {"pairs": []}, "/pairs", "too_short", "send 1 or more of these"),
    (
        UserItems,
        {"user_id": "a", "item_ids": ["b"] * 50_001},
        "/item_ids",
        "too_long",
        "send at most 50000 of these",
    ),
    (TrainingRequest, {"note": 7}, "/note", "string_type", "send a text"),
    (
        ItemRow,
        {"item_id": "a", "categories": [""]},
        "/categories/0",
        "string_too_short",
        "send a text of 1 or more characters",
    ),
    (TrainingRequest, {"note": "x" * 501}, "/note", "string_too_long", "send a text of at most 500 characters"),
    (
        TrainingRequest,
        {"note": "\ud800"},
        "/note",
        "string_unicode",
        "the text is not valid Unicode: it holds a lone surrogate",
    ),
    (TrainingRequest, {"config": {"n_iter": 1.5}}, "/config/n_iter", "int_type", "send a whole number"),
    (TrainingRequest, {"config": {"l2": "1"}}, "/config/l2", "float_type", "send a number"),
    (TrainingRequest, {"config": {"l2": float("nan")}}, "/config/l2", "finite_number", "send a finite number"),
    (
        TrainingRequest,
        {"config": {"learning_rate": 0}},
        "/config/learning_rate",
        "greater_than",
        "send a number over 0.0",
    ),
    (
        TrainingRequest,
        {"config": {"seed": -1}},
        "/config/seed",
        "greater_than_equal",
        "send a number of at least 0",
    ),
    (
        TrainingRequest,
        {"config": {"embedding_dim": 513}},
        "/config/embedding_dim",
        "less_than_equal",
        "send a number of at most 512",
    ),
    (TrainingRequest, {"force": "yes"}, "/force", "bool_type", "write true or false"),
    (
        TrainingRequest,
        {"config": {"loss": "s3cret"}},
        "/config/loss",
        "literal_error",
        "write softmax, pointwise, bpr, hinge, adaptive_hinge, log_bpr, logistic or warp",
    ),
]


def told(model: type[BaseModel], value: Any, **options: Any) -> list[FieldError]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value, context={"now_us": 0})
    return field_errors(caught.value, model=model, **options)


@pytest.mark.parametrize(("model", "value", "pointer", "code", "detail"), CASES)
def test_every_kind_of_mistake_is_told_in_plain_words(
    model: type[BaseModel], value: Any, pointer: str, code: str, detail: str
) -> None:
    assert FieldError(pointer, code, detail) in told(model, value)


def test_the_sentences_are_those_of_the_mistakes_that_can_be_made() -> None:
    models = [InteractionRow, ItemRow]
    models += [operation.query for operation in operations() if operation.query is not None]
    bodies = [operation.body.schema for operation in operations() if isinstance(operation.body, Body)]
    schemas = [TypeAdapter(kind).core_schema for kind in (*models, *bodies)]
    possible = {kind for schema in schemas for kind in kinds(schema)}
    assert possible == SENTENCES.keys() == {code for _, _, _, code, _ in CASES}


KINDS: dict[str, tuple[str, ...]] = {
    "model": ("model_type",),
    "model-fields": ("missing", "extra_forbidden"),
    "dict": ("dict_type",),
    "list": ("list_type",),
    "str": ("string_type", "string_unicode"),
    "int": ("int_type",),
    "float": ("float_type",),
    "bool": ("bool_type",),
    "literal": ("literal_error",),
    **dict.fromkeys(("default", "nullable", "union", "definitions", "definition-ref", "any", "model-field"), ()),
    **dict.fromkeys(("function-plain", "function-before", "function-after"), ()),
}
BOUNDS = {
    "list": {"min_length": "too_short", "max_length": "too_long"},
    "str": {"min_length": "string_too_short", "max_length": "string_too_long", "pattern": "string_pattern_mismatch"},
    "number": {"gt": "greater_than", "ge": "greater_than_equal", "lt": "less_than", "le": "less_than_equal"},
}


def kinds(schema: Any, *, strict: bool = False) -> Iterator[str]:
    """What pydantic's own validators in this schema can find wrong; a kind of schema that is not above is an error."""
    kind = schema["type"]
    yield from KINDS[kind]
    strict = schema.get("strict", schema.get("config", {}).get("strict", strict))
    if kind in ("int", "float", "bool") and not strict:
        yield f"{kind}_parsing"
    if kind == "float" and schema.get("allow_inf_nan") is False:
        yield "finite_number"
    bounds = BOUNDS.get("number" if kind in ("int", "float") else kind, {})
    yield from (found for name, found in bounds.items() if name in schema)
    inner = [schema.get(name) for name in ("schema", "items_schema", "keys_schema", "values_schema")]
    inner += [*schema.get("choices", ()), *schema.get("definitions", ()), *schema.get("fields", {}).values()]
    for part in inner:
        if part is not None:
            yield from kinds(part, strict=strict)


class Strange(BaseModel):
    number: complex


def test_a_mistake_without_a_sentence_is_told_without_pydantics_words() -> None:
    (entry,) = told(Strange, {"number": "s3cret"})
    assert (entry.pointer, entry.detail) == ("/number", "this is not taken here")


def test_a_query_has_parameters() -> None:
    (entry,) = told(UploadQuery, {"on_eror": "skip"}, prefix=("query",))
    assert entry.detail == "there is no such parameter; those there are: on_error"
    (entry,) = told(UploadQuery, {"on_error": "s3cret"}, prefix=("query",))
    assert entry.detail == "write abort or skip"
    (entry,) = told(QueryModel, {"verbose": "1"}, prefix=("query",))
    assert entry.detail == "there is no such parameter; there are no parameters here"


def test_our_own_validators_words_come_through_and_their_codes_are_nobody_elses() -> None:
    (entry,) = told(PersonalQuery, {"limit": "0"}, prefix=("query",))
    assert (entry.code, entry.detail) == ("limit_range", "limit is a whole number from 1 to 500")
    assert entry.code not in ErrorType.__args__  # type: ignore[attr-defined]  # a Literal's members


@pytest.mark.parametrize("case", CASES)
def test_neither_values_nor_classes_are_told(case: tuple[type[BaseModel], Any, str, str, str]) -> None:
    words = " ".join(entry.detail for entry in told(*case[:2]))
    assert not re.search(r"s3cret|Input|instance|dictionary|[A-Z][a-z]+[A-Z]", words)
