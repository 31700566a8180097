"""Who may call what: keys, scopes and the rule for callers without a key.

A key is `lw_<id>_<secret>`. The store holds only the SHA-256 of the whole key, and this process holds those hashes in
memory, so that no request waits for the store to be let in.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from starlette.datastructures import Headers

from app.errors import ApiError, ConfigurationError, store_unavailable
from app.settings import Settings

Scope = Literal["open", "read", "write", "admin"]
"""What an operation asks for; `open` looks at no key at all. Each scope includes the ones before it."""

RANKS: dict[str, int] = {"open": 0, "read": 1, "write": 2, "admin": 3}
_UNKNOWN_KEY = bytes(32)


class StoredKey(Protocol):
    """A key as the store knows it (`app.db.keys.KeyRow`)."""

    @property
    def key_id(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def secret_sha256(self) -> bytes | str: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from: a key's public id (None: anonymous) and its scope."""

    key_id: str | None
    scope: str


# Of a name in the DNS, with a port.
_LONGEST_HOST = 260
_ANONYMOUS = Caller(None, "admin")


class KeyRing:
    """The active keys, replaced as a whole when the store's change; one reference, so readers need no lock.

    Until they were read once nobody is let in: a service that starts while its store is away does not know whether it
    has keys, and must not take that for having none.

    Args:
        anonymous: whether callers without a key are served while no key was ever made: on a loopback address, or where
            LIKEWISE_ALLOW_ANONYMOUS says so. The first key ends it for good, also when it is revoked later.
        any_host: whether they may call the service by any name; otherwise an address, or a name without a dot.
    """

    def __init__(self, *, anonymous: bool, any_host: bool = False) -> None:
        self._anonymous = anonymous
        self._any_host = any_host
        self._keys: dict[str, tuple[str, bytes]] | None = None

    def replace(self, keys: Iterable[StoredKey]) -> None:
        """Take these keys and forget all others. None at all means that no key was ever made (`app.db.keys.active`)."""
        self._keys = {key.key_id: (key.scope, _digest_bytes(key.secret_sha256)) for key in keys}

    def caller(self, headers: Headers) -> Caller:
        """Who sent these headers. Raises: ApiError 401 for a wrong key, and for none where one is needed."""
        keys = self._keys
        if keys is None:
            raise store_unavailable("the keys have not been read from the store yet; try again")
        presented = _presented(headers)
        if presented is None:
            if self._anonymous and not keys:
                _refuse_web_pages(headers, any_host=self._any_host)
                return _ANONYMOUS
            raise _unauthorized("send a key: Authorization: Bearer KEY, or X-API-Key: KEY")
        prefix, _, rest = presented.partition("_")
        key_id = rest.partition("_")[0] if prefix == "lw" else ""
        scope, expected = keys.get(key_id, ("open", _UNKNOWN_KEY))
        # compare_digest also for an unknown id: the time taken does not tell which ids exist.
        matches = hmac.compare_digest(hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest(), expected)
        if not matches or key_id not in keys:
            raise _unauthorized("the key is not valid: mistyped, revoked, or of another store")
        return Caller(key_id, scope)

    def authorise(self, headers: Headers, scope: Scope) -> Caller:
        """The caller, if allowed to do what needs `scope`. Raises: ApiError 401 or 403."""
        if scope == "open":
            return Caller(None, "open")
        caller = self.caller(headers)
        if RANKS[caller.scope] < RANKS[scope]:
            raise ApiError(
                403, "forbidden", f"this needs a key of scope {scope}; the key sent has scope {caller.scope}"
            )
        return caller


def _presented(headers: Headers) -> str | None:
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get("x-api-key")
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise _unauthorized("the Authorization header has the form: Bearer KEY")
    return key.strip()


def _refuse_web_pages(headers: Headers, *, any_host: bool) -> None:
    """Without a key, a page that somebody's browser shows could speak for them. Raises: ApiError 403.

    A page of another origin says so in `Origin`. One whose own name was made to lead here (DNS rebinding) shows in
    `Host`: such a name is a public one, so it has a dot.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise ApiError(403, "forbidden", "a page of another origin needs a key to call this")
    if not any_host and (len(host) > _LONGEST_HOST or not _is_local_name(host)):
        raise ApiError(403, "forbidden", "without a key call this by its address, such as 127.0.0.1, or as localhost")


@lru_cache(maxsize=64)
def _is_local_name(host: str) -> bool:
    """Whether a Host header names an address, `localhost` or something without a dot; no public name does."""
    bracketed = host.startswith("[")
    name = host[1:].partition("]")[0] if bracketed else host.partition(":")[0]
    if not bracketed and ("." not in name or name.lower().endswith(".localhost")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _unauthorized(detail: str) -> ApiError:
    return ApiError(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def _digest_bytes(digest: bytes | str) -> bytes:
    return bytes.fromhex(digest) if isinstance(digest, str) else bytes(digest)


def is_loopback(host: str) -> bool:
    """Whether binding `host` can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check_bind(host: str, settings: Settings, *, has_keys: bool) -> None:
    """Refuse to serve everybody without meaning to.

    Args:
        has_keys: whether a key was ever made; where all are revoked nobody is served, which harms nobody.
    Raises: ConfigurationError if `host` is reachable from other machines, no key was ever made and anonymous callers
        are not allowed in so many words.
    """
    if is_loopback(host) or has_keys or settings.allow_anonymous:
        return
    raise ConfigurationError(
        f"refusing to listen on {host} with no key in the store: make one with `likewise keys create`, "
        "listen on 127.0.0.1, or set LIKEWISE_ALLOW_ANONYMOUS=true"
    )
