"""`POST /predict`: the served score of items for a user, or of pairs, the same bits as in the lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.api.body import read_body, validated
from app.api.operations import Answer, Body, Operations
from app.errors import ApiError
from app.ids import ExternalId
from app.recommend import NoModelError, Recommender
from app.state import app_state
from app.strict_json import decode_json

operations = Operations("predictions")

MAX_PAIRS = 10_000
MAX_ITEMS = 50_000
# A body of so many bytes is read, scored and answered in about a millisecond; the largest takes a tenth of a second.
_QUICK_BYTES = 8 * 1024
_BLOCK_LINES = 2_000
# Scoring and telling as many takes about a millisecond.
MANY_ITEMS = 2_000


class UserItems(BaseModel):
    """Score these items for one user; without `item_ids`, every item of the model."""

    model_config = ConfigDict(extra="forbid")

    user_id: ExternalId
    item_ids: Annotated[list[ExternalId], Field(min_length=1, max_length=MAX_ITEMS)] | None = None


class Pair(BaseModel):
    """A user and an item."""

    model_config = ConfigDict(extra="forbid")

    user_id: ExternalId
    item_id: ExternalId


class Pairs(BaseModel):
    """Score these pairs."""

    model_config = ConfigDict(extra="forbid")

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=MAX_PAIRS)]


class ItemScore(BaseModel):
    """An item's score; null where the model does not know the item."""

    item_id: str
    score: float | None


class PairScore(ItemScore):
    """A pair's score; null where the model does not know the item."""

    user_id: str


class UserScores(BaseModel):
    """Scores in the order asked."""

    user_id: str
    model_version: int
    source: str
    scores: list[ItemScore]


class PairScores(BaseModel):
    """Scores in the order asked."""

    model_version: int
    scores: list[PairScore]


@operations.post(
    "/predict",
    scope="read",
    summary="Scores of items for a user, or of pairs",
    description="A user the model does not know is scored by popularity (source `popular`).",
    body=Body(
        UserItems | Pairs,
        {
            "items of a user": {"user_id": "ada", "item_ids": ["saucer", "teapot"]},
            "pairs": {"pairs": [{"user_id": "ada", "item_id": "saucer"}, {"user_id": "ben", "item_id": "teapot"}]},
        },
    ),
    answers={
        200: Answer(
            "The scores.",
            UserScores | PairScores,
            {
                "user_id": "ada",
                "model_version": 3,
                "source": "model",
                "scores": [{"item_id": "saucer", "score": 4.125}, {"item_id": "teapot", "score": None}],
            },
        )
    },
    problems={503: ("no_model",), 413: ("body_too_large",), 415: ("unsupported_media_type",)},
)
async def predict(request: Request) -> Response:
    """Both forms end in the one kernel that the lists use."""
    recommender = app_state(request).recommender
    body = await read_body(request)
    try:
        if len(body) > _QUICK_BYTES:
            # In a thread: the loop goes on with other requests meanwhile.
            return await asyncio.to_thread(lambda: _answer(recommender, _asked(body)))
        asked = _asked(body)
        if isinstance(asked, UserItems) and asked.item_ids is None and recommender.items_of_model() > MANY_ITEMS:
            return await asyncio.to_thread(_answer, recommender, asked)
        return _answer(recommender, asked)
    except NoModelError:
        detail = "no model has been trained yet; the first training starts by itself once there are enough interactions"
        raise ApiError(503, "no_model", detail, headers={"Retry-After": "10"}) from None


def _asked(body: bytes) -> UserItems | Pairs:
    decoded = decode_json(body)
    is_pairs = isinstance(decoded, dict) and "pairs" in decoded
    return validated(Pairs, decoded) if is_pairs else validated(UserItems, decoded)


def _answer(recommender: Recommender, asked: UserItems | Pairs) -> Response:
    return _pairs(recommender, asked.pairs) if isinstance(asked, Pairs) else _user_items(recommender, asked)


def _user_items(recommender: Recommender, asked: UserItems) -> Response:
    scored = recommender.predict(asked.user_id, asked.item_ids)
    head = {"user_id": asked.user_id, "model_version": scored.model_version, "source": scored.source}
    lines = zip(scored.item_ids, scored.scores, strict=True)
    return _scores_answer(head, ({"item_id": item_id, "score": score} for item_id, score in lines))


def _pairs(recommender: Recommender, pairs: list[Pair]) -> Response:
    scored = recommender.predict_pairs([pair.user_id for pair in pairs], [pair.item_id for pair in pairs])
    lines = zip(pairs, scored.scores, strict=True)
    return _scores_answer(
        {"model_version": scored.model_version},
        ({"user_id": pair.user_id, "item_id": pair.item_id, "score": score} for pair, score in lines),
    )


def _scores_answer(head: Mapping[str, Any], lines: Iterator[Mapping[str, Any]]) -> Response:
    """`head` with `scores`, encoded in blocks: the encoder lets no other thread run before it is done."""
    blocks = iter(lambda: list(islice(lines, _BLOCK_LINES)), [])
    scores = b",".join(to_json(block)[1:-1] for block in blocks)
    body = to_json(head)[:-1] + b',"scores":[' + scores + b"]}"
    return Response(body, media_type="application/json")
