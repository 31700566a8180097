from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

from app.errors import TITLES
from app.main import operations
from tests.app.api.running import Running

API_GUIDE = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture(scope="module")
def document(shared: Running) -> dict[str, Any]:
    answer: dict[str, Any] = shared.client.get("/openapi.json").json()
    return answer


def each(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def check(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_the_document_describes_every_operation(document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, method, _ in each(document)}
    declared = {(re.sub(r":\w+}", "}", o.path), o.method) for o in operations() if not o.hidden}
    assert described == declared
    assert document["openapi"] == "3.1.0"


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in each(document)]
    assert len(ids) == len(set(ids))


def test_every_schema_is_a_valid_json_schema_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                kind, name = re.fullmatch(r"#/components/(\w+)/(\w+)", reference).groups()  # type: ignore[union-attr]
                assert name in document["components"][kind]
            if isinstance(schema := node.get("schema"), dict):
                Draft202012Validator.check_schema(schema)
            for child in node.values():
                visit(child)
        elif isinstance(node, list):
            for child in node:
                visit(child)

    visit(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_a_summary_examples_and_its_problems(document: dict[str, Any]) -> None:
    for path, method, operation in each(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert {"400", "408", "431", "500", "503"} <= operation["responses"].keys(), where
        if operation["x-scope"] != "open":
            assert {"401", "403", "422", "429"} <= operation["responses"].keys(), where
            assert operation["security"], where
        for parameter in operation["parameters"]:
            assert parameter["description"], (where, parameter["name"])
            if parameter["in"] == "path":
                assert parameter["example"], where
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                assert "example" in content, (where, status)
                assert (media_type == "application/problem+json") == (int(status) >= 400), (where, status)


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    for _, _, operation in each(document):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                check(document, content["schema"], content["example"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for example in content["examples"].values():
                check(document, content["schema"], example["value"])


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema in the document, those inside schemas included."""
    if isinstance(node, list):
        for entry in node:
            yield from schemas(entry)
    elif isinstance(node, dict):
        for name, entry in node.items():
            if name == "schema":
                yield from within(entry)
            elif name == "schemas":
                for component in entry.values():
                    yield from within(component)
            elif name not in ("example", "examples"):
                yield from schemas(entry)


def within(schema: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for entry in schema.get(name, []):
            yield from within(entry)
    for name in ("items", "additionalProperties", "not"):
        yield from within(schema.get(name))
    for entry in schema.get("properties", {}).values():
        yield from within(entry)


def test_every_default_and_every_example_in_a_schema_fits_it(document: dict[str, Any]) -> None:
    seen = 0
    for schema in schemas(document):
        given = [schema[name] for name in ("default", "example") if name in schema] + schema.get("examples", [])
        for value in given:
            check(document, schema, value)
            seen += 1
    assert seen > 20


def test_what_has_no_value_when_absent_has_no_default(document: dict[str, Any]) -> None:
    row = document["components"]["schemas"]["InteractionRow"]["properties"]
    assert "default" not in row["timestamp"]
    assert row["value"]["default"] == 1.0
    assert row["context"]["default"] is None  # here null is allowed


def test_every_parameters_example_and_default_fits_its_schema(document: dict[str, Any]) -> None:
    for path, _, operation in each(document):
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            assert schema.get("default", ...) is not None, (path, parameter["name"])
            if "example" in parameter:
                check(document, schema, parameter["example"])


def test_a_training_is_described_as_it_is_taken(shared: Running, document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/TrainingRequest"}
    check(document, schema, {"note": "one line"})
    for body in ({"note": "two\nlines"}, {"note": "x" * 501}):
        assert shared.client.post("/trainings", json=body).status_code == 422
        with pytest.raises(jsonschema.ValidationError):
            check(document, schema, body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/healthz", 200),
        ("get", "/readyz", 200),
        ("get", "/stats", 200),
        ("get", "/interactions", 200),
        ("get", "/interactions?limit=0", 422),
        ("post", "/interactions", 422),
        ("get", "/users/nobody", 404),
    ],
)
def test_answers_fit_what_the_document_says(
    shared: Running, document: dict[str, Any], method: str, path: str, status: int
) -> None:
    response = shared.client.request(method, path)
    assert response.status_code == status
    template = path.partition("?")[0].replace("nobody", "{user_id}")
    content = document["paths"][template][method]["responses"][str(status)]["content"]
    check(document, content[response.headers["content-type"]]["schema"], response.json())


def test_a_bad_upload_does_not_fit_the_documented_body(document: dict[str, Any]) -> None:
    schema = document["paths"]["/interactions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for body in (
        {},
        {"user_id": "a"},
        {"user_id": "a", "item_id": "b", "value": 0},
        {"user_id": "a", "item_id": "b", "x": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(document, schema, body)


def test_every_code_is_explained_in_the_guide() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| [\d, ]+ \|", API_GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert explained == set(TITLES)


def test_every_code_an_operation_names_has_a_title() -> None:
    for operation in operations():
        for codes in operation.problems.values():
            assert set(codes) <= TITLES.keys(), operation.path
