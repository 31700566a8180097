from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest
from starlette.datastructures import Headers

from app.db.keys import NO_KEY_LEFT
from app.errors import ApiError, ConfigurationError
from app.security import KeyRing, check_bind, is_loopback
from app.settings import Settings


@dataclass(frozen=True)
class Key:
    key_id: str
    scope: str
    secret_sha256: str


def key(text: str, scope: str) -> Key:
    return Key(text.split("_")[1], scope, hashlib.sha256(text.encode()).hexdigest())


PUBLIC = "0.0.0.0"  # noqa: S104 - nothing is bound
READER = "lw_r1_aaaa"
WRITER = "lw_w1_bbbb"


def ring(*, anonymous: bool = True, keys: tuple[Key, ...] = (key(READER, "read"), key(WRITER, "write"))) -> KeyRing:
    made = KeyRing(anonymous=anonymous)
    made.replace(keys)
    return made


def refusal(made: KeyRing, scope: str = "read", **headers: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        made.authorise(Headers({name.replace("_", "-"): value for name, value in headers.items()}), scope)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {READER}"}, {"x-api-key": READER}])
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    assert ring().authorise(Headers(headers), "read").key_id == "r1"


def test_a_higher_scope_includes_the_lower_ones() -> None:
    assert ring().authorise(Headers({"x-api-key": WRITER}), "read").scope == "write"


def test_a_lower_scope_is_told_which_one_is_needed() -> None:
    error = refusal(ring(), "admin", x_api_key=WRITER)
    assert (error.status, error.code) == (403, "forbidden")
    assert "scope admin" in error.detail


@pytest.mark.parametrize("wrong", ["lw_r1_aaab", "lw_zz_aaaa", "", "lw__", "x", "lw_r1_aaaa ä"])
def test_a_wrong_key_is_401_and_never_repeated(wrong: str) -> None:
    error = refusal(ring(), x_api_key=wrong)
    assert error.status == 401
    assert error.headers["WWW-Authenticate"] == "Bearer"
    assert not wrong or wrong not in error.detail.split()


def test_another_authorization_scheme_is_401() -> None:
    assert refusal(ring(), authorization="Basic abc").status == 401


def test_without_any_key_in_the_store_callers_are_anonymous_where_that_is_allowed() -> None:
    assert ring(keys=()).authorise(Headers({}), "admin").key_id is None
    assert refusal(ring(keys=(), anonymous=False)).status == 401


def test_a_wrong_key_is_401_even_where_none_is_needed() -> None:
    assert refusal(ring(keys=()), x_api_key="lw_x_y").status == 401


def test_the_first_key_ends_anonymous_calls() -> None:
    made = ring(keys=())
    made.authorise(Headers({}), "read")
    made.replace([key(READER, "read")])
    assert refusal(made).status == 401


@pytest.mark.parametrize("sent", ["lw___", "lw__", "_", "lw_", ""])
def test_when_all_keys_are_revoked_nobody_is_let_in(sent: str) -> None:
    made = KeyRing(anonymous=True)
    made.replace([NO_KEY_LEFT])
    assert refusal(made).status == 401
    assert refusal(made, x_api_key=sent).status == 401


def test_a_revoked_key_is_refused_from_then_on() -> None:
    made = ring()
    made.replace([key(READER, "read")])
    assert refusal(made, x_api_key=WRITER).status == 401


def test_before_the_keys_were_read_nobody_is_let_in() -> None:
    made = KeyRing(anonymous=True)
    assert refusal(made).status == 503
    assert refusal(made, x_api_key=READER).status == 503
    assert made.authorise(Headers({}), "open").scope == "open"


HERE = ["127.0.0.1:8000", "[::1]:8000", "localhost", "app.localhost:8000", "api:8000", "10.0.0.7", ""]
ELSEWHERE = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.", "[", "a.b@127.0.0.1.x"]


@pytest.mark.parametrize("host", HERE)
def test_without_a_key_the_service_is_called_by_its_address_or_a_local_name(host: str) -> None:
    assert ring(keys=()).authorise(Headers({"host": host}), "admin").key_id is None
    assert ring(keys=()).authorise(Headers({"host": host, "origin": f"http://{host}"}), "admin").key_id is None


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_name_that_was_made_to_lead_here_needs_a_key(host: str) -> None:
    assert refusal(ring(keys=()), host=host).status == 403
    assert ring().authorise(Headers({"host": host, "x-api-key": READER}), "read").key_id == "r1"


def test_any_name_will_do_where_anonymous_callers_are_allowed_aloud() -> None:
    made = KeyRing(anonymous=True, any_host=True)
    made.replace([])
    assert made.authorise(Headers({"host": "recommendations.example"}), "admin").key_id is None
    assert refusal(made, host="recommendations.example", origin="https://evil.example").status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:9000", "null", ""])
def test_a_page_of_another_origin_needs_a_key(origin: str) -> None:
    assert refusal(ring(keys=()), host="127.0.0.1:8000", origin=origin).status == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
)
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [PUBLIC, "::", "192.168.1.2", "example.org", "", "localhost.example.org"])
def test_a_public_bind_without_keys_is_refused_in_one_line(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigurationError) as caught:
        check_bind(host, Settings(), has_keys=False)
    assert "LIKEWISE_ALLOW_ANONYMOUS" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_public_bind_is_fine_with_a_key_or_when_said_aloud() -> None:
    check_bind(PUBLIC, Settings(), has_keys=True)
    check_bind(PUBLIC, Settings(allow_anonymous=True), has_keys=False)
    check_bind("127.0.0.1", Settings(), has_keys=False)
