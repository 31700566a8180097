"""The OpenAPI 3.1 document, made from the operations' own declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from app.api.operations import Answer, Body, Operation, Upload
from app.api.parameters import QueryModel
from app.api.problems import MEDIA_TYPE
from app.errors import TITLES

_REF = "#/components/schemas/{model}"
_SEGMENT = re.compile(r"\{(\w+)(?::\w+)?\}")
_DESCRIPTION = """\
Interactions go in, personal recommendations come out.

Every error is a problem document (RFC 9457) with a stable `code`; every answer carries `X-Request-ID`. Ids are opaque
strings of 1 to 256 characters; in a path they are percent-encoded once, so that `a/b` is `a%2Fb`.
"""
_ALWAYS: Mapping[int, tuple[str, ...]] = {
    400: ("bad_request",),
    408: ("request_timeout",),
    431: ("headers_too_large",),
    500: ("internal_error",),
    503: ("store_unavailable", "shutting_down"),
}
_WITH_SCOPE: Mapping[int, tuple[str, ...]] = {
    401: ("unauthorized",),
    403: ("forbidden",),
    422: ("invalid_request",),
    429: ("too_many_requests",),
}


class ProblemEntry(BaseModel):
    """One thing that is wrong with the request."""

    pointer: str = Field(description="RFC 6901, into the body; /query/NAME and /path/NAME for parameters.")
    code: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457). `errors` stands on every 422."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: made for programs.")
    request_id: str
    errors: list[ProblemEntry] | None = Field(None, min_length=1, max_length=20)


class LineEntry(BaseModel):
    """One row of an upload that is wrong."""

    line: int = Field(description="Counted from 1; the header of CSV is line 1.")
    code: str
    detail: str


class UploadProblem(Problem):
    """An error of a bulk upload: `errors` names lines where the body is wrong, and says where else."""

    rejected: int | None = Field(None, description="How many rows are wrong.")
    errors: list[LineEntry | ProblemEntry] | None = Field(None, min_length=1, max_length=100)  # type: ignore[assignment]


def document(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """The whole document as plain JSON values."""
    shown = [operation for operation in operations if not operation.hidden]
    schemas, components = _schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        path = _SEGMENT.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Likewise", "version": version, "description": _DESCRIPTION, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key made by `likewise keys create`."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in shown)],
    }


def _schemas(operations: Iterable[Operation]) -> tuple[dict[tuple[str, Any], Any], dict[str, Any]]:
    """Schema of each body (`body`) and answer (status) by operation, and the components they refer to."""
    wanted: list[tuple[Any, Any, TypeAdapter[Any]]] = [
        (("", model.__name__), "serialization", TypeAdapter(model)) for model in (Problem, UploadProblem)
    ]
    for operation in operations:
        name = _identifier(operation)
        if isinstance(operation.body, Body):
            wanted.append(((name, "body"), "validation", TypeAdapter(operation.body.schema)))
        for status, answer in operation.answers.items():
            if answer.schema is not None:
                # By validation: the answers are plain dictionaries, in which a field with a default may be absent.
                wanted.append(((name, status), "validation", TypeAdapter(answer.schema)))
    made, shared = TypeAdapter.json_schemas(wanted, ref_template=_REF)
    components = shared.get("$defs", {})
    _drop_absent_defaults([*made.values(), *components.values()])
    return {key: schema for (key, _), schema in made.items()}, components


def _drop_absent_defaults(schemas: Iterable[dict[str, Any]]) -> None:
    """Take `default: null` away where null is not allowed: there it means that the field may be absent, no more."""
    for schema in schemas:
        if schema.get("default", ...) is None and not _allows_null(schema):
            del schema["default"]
        inner = [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
        inner += [part for name in ("anyOf", "oneOf", "allOf", "prefixItems") for part in schema.get(name, ())]
        _drop_absent_defaults([*inner, *schema.get("properties", {}).values()])


def _allows_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type", ())
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return True
    return any(_allows_null(branch) for name in ("anyOf", "oneOf") for branch in schema.get(name, ()))


def _identifier(operation: Operation) -> str:
    return operation.handler.__module__.rpartition(".")[2] + "_" + operation.handler.__name__


def _described(operation: Operation, schemas: Mapping[tuple[str, Any], Any]) -> dict[str, Any]:
    name = _identifier(operation)
    described: dict[str, Any] = {
        "operationId": name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _prose(operation),
        "x-scope": operation.scope,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query)],
        # The empty requirement: without any key in the store callers need none where the service allows it.
        "security": [] if operation.scope == "open" else [{"bearer": []}, {"apiKey": []}, {}],
        "responses": {
            **{
                str(status): _answer(answer, schemas.get((name, status)))
                for status, answer in operation.answers.items()
            },
            **_problems(operation),
        },
    }
    if isinstance(operation.body, Upload):
        uploaded = {
            media_type: {"schema": {"type": "string"}, "examples": {"rows": {"value": example}}}
            for media_type, example in operation.body.examples.items()
        }
        described["requestBody"] = {"required": True, "content": uploaded}
    elif operation.body is not None:
        examples = {title: {"value": value} for title, value in operation.body.examples.items()}
        content = {"schema": schemas[name, "body"], "examples": examples}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _prose(operation: Operation) -> str:
    scope = (
        "Open to everybody." if operation.scope == "open" else f"Needs a key of scope `{operation.scope}` or higher."
    )
    return f"{operation.description}\n\n{scope}".strip()


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": operation.path_parameters[name],
            "schema": {"type": "string", "minLength": 1, "maxLength": 256},
            "example": operation.path_examples[name],
        }
        for name in _SEGMENT.findall(operation.path)
    ]


def _query_parameters(model: type[QueryModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=_REF)
    _drop_absent_defaults([schema])
    required = schema.get("required", [])
    return [_query_parameter(name, entry, required=name in required) for name, entry in schema["properties"].items()]


def _query_parameter(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    description = schema.pop("description", "")
    schema.pop("title", None)
    # A parameter that is absent is null inside; over the wire there is no null.
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    if len(branches) == 1:
        schema = {key: value for key, value in schema.items() if key != "anyOf"} | branches[0]
        if schema.get("default", ...) is None:
            del schema["default"]
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _answer(answer: Answer, schema: object) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if schema is not None:
        described["content"] = {answer.media_type: {"schema": schema, "example": answer.example}}
    return described


def _problems(operation: Operation) -> dict[str, Any]:
    codes: dict[int, tuple[str, ...]] = dict(_ALWAYS)
    if operation.scope != "open":
        codes |= _WITH_SCOPE
    for status, own in operation.problems.items():
        codes[status] = tuple(dict.fromkeys((*own, *codes.get(status, ()))))
    model = UploadProblem if isinstance(operation.body, Upload) else Problem
    return {str(status): _problem(status, codes[status], model) for status in sorted(codes)}


def _problem(status: int, codes: tuple[str, ...], model: type[Problem]) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": f"urn:likewise:problem:{codes[0]}",
        "title": TITLES[codes[0]],
        "status": status,
        "detail": TITLES[codes[0]],
        "code": codes[0],
        "request_id": "0f3a9c",
    }
    if status == 422:
        example["errors"] = [
            {"pointer": "/query/limit", "code": "limit_range", "detail": "limit is a whole number from 1 to 500"}
        ]
    schema = {"$ref": _REF.format(model=model.__name__)}
    described = "; ".join(f"`{code}`: {TITLES[code].lower()}" for code in codes)
    return {"description": described, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
