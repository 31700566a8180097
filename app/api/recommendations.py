"""Lists: `/users/{user_id}/recommendations` and `/popular`, answered from memory."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.api.lists import LIST_EXAMPLE, ItemList, ListQuery, PersonalQuery, list_answer
from app.api.operations import Answer, Operations
from app.api.parameters import path_id, read_query
from app.errors import unknown_user
from app.recommend import UnknownUserError
from app.state import app_state

operations = Operations("recommendations")


@operations.get(
    "/users/{user_id:segment}/recommendations",
    scope="read",
    summary="A user's list",
    description="Seen, withheld and excluded items are left out before the best are taken, so the list is full "
    "whenever there are enough candidates. A user nothing is known of gets what is popular lately.",
    query=PersonalQuery,
    path_parameters={"user_id": "The user's id, percent-encoded once."},
    path_examples={"user_id": "ada"},
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE)},
    problems={404: ("unknown_user",)},
)
async def for_user(request: Request) -> Response:
    """No SQL and no waiting: the list is computed where the request arrives."""
    state = app_state(request)
    user_id = path_id(request, "user_id")
    query = read_query(request, PersonalQuery)
    try:
        ranked = state.recommender.for_user(user_id, query.wanted(), strict=query.strict)
    except UnknownUserError:
        raise unknown_user() from None
    return list_answer(state, ranked, user_id=user_id)


@operations.get(
    "/popular",
    scope="read",
    summary="What is popular lately",
    query=ListQuery,
    answers={200: Answer("The list.", ItemList, LIST_EXAMPLE | {"user_id": None, "source": "popular"})},
)
async def popular(request: Request) -> Response:
    """The same for everyone."""
    state = app_state(request)
    query = read_query(request, ListQuery)
    return list_answer(state, state.recommender.popular(query.wanted()), user_id=None)
