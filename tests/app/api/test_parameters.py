from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from app.api.lists import ListQuery
from app.api.parameters import read_query
from tests.app.api.running import Running


def get(service: Running, query: str) -> Any:
    return service.client.get(f"/interactions?{query}")


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "/query/limit", "limit_range"),
        ("limit=501", "/query/limit", "limit_range"),
        ("limit=-1", "/query/limit", "limit_range"),
        ("limit=ten", "/query/limit", "limit_range"),
        ("limit=1.0", "/query/limit", "limit_range"),
        ("limit=", "/query/limit", "limit_range"),
        ("limit=1_0", "/query/limit", "limit_range"),
        ("limit=99999999999999999999999", "/query/limit", "limit_range"),
        ("limit=٥", "/query/limit", "limit_range"),
        ("limit=5&limit=5", "/query/limit", "repeated"),
        ("limt=5", "/query/limt", "extra_forbidden"),
        ("user=ada", "/query/user", "extra_forbidden"),
        ("a/b~c=1", "/query/a~1b~0c", "extra_forbidden"),
        ("user_id=", "/query/user_id", "id_empty"),
        ("user_id=%00", "/query/user_id", "id_control_character"),
        ("user_id=%20a", "/query/user_id", "id_surrounding_space"),
        ("user_id=%ff", "/query/user_id", "percent_encoding"),
        ("user_id=%zz", "/query/user_id", "percent_encoding"),
        ("user_id=%EF%BF%BD", "/query/user_id", "id_replacement_character"),
        ("user_id=" + "x" * 257, "/query/user_id", "id_too_long"),
        ("%ff=1", "/query/%ff", "percent_encoding"),
        ("cursor=abc", "/query/cursor", "invalid_cursor"),
        ("cursor=", "/query/cursor", "invalid_cursor"),
    ],
)
def test_a_wrong_parameter_is_pointed_at(shared: Running, query: str, pointer: str, code: str) -> None:
    response = get(shared, query)
    assert response.status_code == 422
    assert [(entry["pointer"], entry["code"]) for entry in response.json()["errors"]] == [(pointer, code)]


def test_all_wrong_parameters_are_listed(shared: Running) -> None:
    pointers = {entry["pointer"] for entry in get(shared, "limit=0&user_id=&x=1").json()["errors"]}
    assert pointers == {"/query/limit", "/query/user_id", "/query/x"}


@pytest.mark.parametrize("query", ["limit=1", "limit=500", "&&limit=5&", "limit=007", "user_id=a+b", "user_id=a%2Bb"])
def test_right_parameters_are_taken(shared: Running, query: str) -> None:
    assert get(shared, query).status_code == 200


def test_an_operation_without_parameters_refuses_any(shared: Running) -> None:
    response = shared.client.get("/stats?verbose=1")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/query/verbose"


def test_a_value_is_not_echoed(shared: Running) -> None:
    response = get(shared, "limit=s3cret&cursor=s3cret&user_id=%20s3cret")
    assert response.status_code == 422
    assert "s3cret" not in response.text


def test_what_a_query_means_depends_on_the_operation_however_often_it_is_asked(shared: Running) -> None:
    for _ in range(3):
        assert get(shared, "limit=5").status_code == 200
        assert shared.client.get("/popular?limit=5").status_code == 200
        assert get(shared, "limit=5&category=a").status_code == 422
        assert shared.client.get("/popular?limit=5&category=a").status_code == 200
        assert shared.client.get("/popular?explain=true").status_code == 422
        assert shared.client.get("/users/a/recommendations?explain=true").status_code == 200


def test_parameters_are_read_anew_beyond_those_that_are_kept() -> None:
    for _ in range(2):
        for number in range(1_100):
            text = f"exclude_item=i{number}&limit={number % 500 + 1}".encode()
            query = read_query(Request({"type": "http", "query_string": text}), ListQuery)
            assert (query.exclude_item, query.limit) == ([f"i{number}"], number % 500 + 1)


def test_long_and_short_queries_mean_the_same(shared: Running) -> None:
    excluded = "&".join(f"exclude_item=item-{number}" for number in range(200))
    assert shared.client.get(f"/popular?{excluded}").status_code == 200
    response = shared.client.get(f"/popular?{excluded}&limit=0")
    assert [entry["pointer"] for entry in response.json()["errors"]] == ["/query/limit"]
