"""Operations: what the service can be asked, each declared once with its scope, its parameters and its documentation.

They are served by `app.api.routing`. FastAPI's parameter machinery was measured at 130 microseconds a request, more
than scoring a list takes; what it would give (OpenAPI, validation, problems) is made from the same declarations in
`app.api.openapi`, `app.api.parameters` and `app.api.problems`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from starlette.requests import Request
from starlette.responses import Response

from app.api.parameters import QueryModel, refuse_query
from app.security import Scope
from app.state import app_state

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer for the document: what it means, its schema (a pydantic type, or None) and an example."""

    description: str
    schema: Any = None
    example: Any = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body for the document: its schema as a pydantic type, and named examples."""

    schema: Any
    examples: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Upload:
    """A body of rows for the document: an example by media type; its refusals name lines."""

    examples: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        path: with parameters as `{name:segment}`; each is documented in `path_parameters`.
        scope: who may call it; there is no default, so that none is forgotten.
        query: its query parameters; None refuses any, except that open operations ignore them: probes add them against
            caches.
        problems: status -> codes that this operation can answer beside those that every operation can.
        hidden: left out of the document (pages and their assets).
    """

    method: str
    path: str
    scope: Scope
    handler: Handler
    summary: str
    tag: str
    description: str = ""
    query: type[QueryModel] | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    path_examples: Mapping[str, str] = field(default_factory=dict)
    body: Body | Upload | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict)
    problems: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    hidden: bool = False

    async def answer(self, request: Request) -> Response:
        """Let the caller in, refuse unknown parameters, and hand over. Raises: ApiError."""
        state = app_state(request)
        caller = state.keyring.authorise(request.headers, self.scope)
        request.state.key_id = caller.key_id
        if self.scope != "open":
            state.rate_limiter.admit(caller.key_id or _address(request))
            if self.query is None:
                refuse_query(request)
        return await self.handler(request)


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


class _Described(TypedDict, total=False):
    """Operation's optional attributes."""

    description: str
    query: type[QueryModel] | None
    path_parameters: Mapping[str, str]
    path_examples: Mapping[str, str]
    body: Body | Upload | None
    answers: Mapping[int, Answer]
    problems: Mapping[int, tuple[str, ...]]
    hidden: bool


class Operations:
    """The operations of one noun, collected by decorators: `@operations.get("/popular", scope="read", ...)`."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._declared: list[Operation] = []

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._declared)

    def declare(
        self, method: str, path: str, *, scope: Scope, summary: str, **described: Unpack[_Described]
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler as one operation; keywords are Operation's attributes."""

        def add(handler: Handler) -> Handler:
            self._declared.append(
                Operation(method, path, scope=scope, handler=handler, summary=summary, tag=self.tag, **described)
            )
            return handler

        return add

    def get(
        self, path: str, *, scope: Scope, summary: str, **described: Unpack[_Described]
    ) -> Callable[[Handler], Handler]:
        """A GET; HEAD comes with it."""
        return self.declare("GET", path, scope=scope, summary=summary, **described)

    def post(
        self, path: str, *, scope: Scope, summary: str, **described: Unpack[_Described]
    ) -> Callable[[Handler], Handler]:
        """A POST."""
        return self.declare("POST", path, scope=scope, summary=summary, **described)

    def put(
        self, path: str, *, scope: Scope, summary: str, **described: Unpack[_Described]
    ) -> Callable[[Handler], Handler]:
        """A PUT."""
        return self.declare("PUT", path, scope=scope, summary=summary, **described)

    def delete(
        self, path: str, *, scope: Scope, summary: str, **described: Unpack[_Described]
    ) -> Callable[[Handler], Handler]:
        """A DELETE."""
        return self.declare("DELETE", path, scope=scope, summary=summary, **described)
