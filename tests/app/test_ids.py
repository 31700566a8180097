from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids import InvalidId, check_id, id_from_json, id_from_path

ACCEPTED = [
    "a",
    "a/b",
    "..",
    ".",
    "café",
    "cafe\u0301",
    "🦊",
    "x" * 256,
    "🦊" * 256,
    "a b",
    "%",
    "a%2Fb",
    "\ufffe",
    "١٢",
]
REFUSED = {
    "": "id_empty",
    "x" * 257: "id_too_long",
    "a\x00b": "id_control_character",
    "a\nb": "id_control_character",
    "\x7f": "id_control_character",
    "a\x80": "id_control_character",
    "a\x9f": "id_control_character",
    "a\ufffdb": "id_replacement_character",
    "\ud800": "id_not_unicode",
    f"a{chr(0xDFFF)}b": "id_not_unicode",
    " a": "id_surrounding_space",
    "a ": "id_surrounding_space",
    "a\u00a0": "id_surrounding_space",
    "\u3000a": "id_surrounding_space",
    "\u2028a": "id_surrounding_space",
}


@pytest.mark.parametrize("value", ACCEPTED)
def test_an_id_is_any_text_and_stays_as_it_is(value: str) -> None:
    assert check_id(value) == value
    assert id_from_json(value) == value
    assert id_from_path(quote(value, safe="")) == value


@pytest.mark.parametrize(("value", "code"), REFUSED.items())
def test_an_id_that_would_cause_trouble_is_refused(value: str, code: str) -> None:
    with pytest.raises(InvalidId) as caught:
        check_id(value)
    assert caught.value.code == code
    assert not value or value not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (-3, "-3"), (0, "0"), (10**255, "1" + "0" * 255), (-(10**254), "-1" + "0" * 254)]
)
def test_an_integer_means_its_decimal_string(value: int, text: str) -> None:
    assert id_from_json(value) == text


@pytest.mark.parametrize("value", [10**256, -(10**255), 10**4000])
def test_an_integer_of_more_than_256_characters_is_refused(value: int) -> None:
    with pytest.raises(InvalidId) as caught:
        id_from_json(value)
    assert caught.value.code == "id_too_long"


@pytest.mark.parametrize("value", [True, False, 1.0, None, ["a"], {"a": 1}])
def test_what_is_neither_text_nor_integer_is_refused(value: object) -> None:
    with pytest.raises(InvalidId) as caught:
        id_from_json(value)
    assert caught.value.code == "id_type"


@pytest.mark.parametrize("raw", ["%zz", "%f", "%", "a%2", "%ff", "%c3%28", "%ed%a0%80", "é"])
def test_a_path_segment_that_is_not_percent_encoded_utf8_is_refused(raw: str) -> None:
    with pytest.raises(InvalidId) as caught:
        id_from_path(raw)
    assert caught.value.code == "percent_encoding"


def test_a_plus_in_a_path_is_a_plus() -> None:
    assert id_from_path("a+b") == "a+b"


@given(st.text(min_size=1, max_size=300))
def test_every_text_is_judged_the_same_in_a_body_and_in_a_path(value: str) -> None:
    def judged(call: object, argument: str) -> str:
        try:
            return call(argument)  # type: ignore[operator]
        except InvalidId as error:
            return error.code

    assert judged(id_from_json, value) == judged(id_from_path, quote(value, safe=""))
