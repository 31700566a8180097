"""`POST /predict`: the served score of items for a user, or of pairs, the same bits as in the lists."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import json_answer
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
    state = app_state(request)
    body = decode_json(await read_body(request))
    try:
        if isinstance(body, dict) and "pairs" in body:
            return json_answer(_pairs(state.recommender, validated(Pairs, body).pairs))
        return json_answer(_user_items(state.recommender, validated(UserItems, body)))
    except NoModelError:
        detail = "no model has been trained yet; the first training starts by itself once there are enough interactions"
        raise ApiError(503, "no_model", detail, headers={"Retry-After": "10"}) from None


def _user_items(recommender: Recommender, asked: UserItems) -> dict[str, Any]:
    scored = recommender.predict(asked.user_id, asked.item_ids)
    return {
        "user_id": asked.user_id,
        "model_version": scored.model_version,
        "source": scored.source,
        "scores": [
            {"item_id": item_id, "score": score} for item_id, score in zip(scored.item_ids, scored.scores, strict=True)
        ],
    }


def _pairs(recommender: Recommender, pairs: list[Pair]) -> dict[str, Any]:
    scored = recommender.predict_pairs([pair.user_id for pair in pairs], [pair.item_id for pair in pairs])
    return {
        "model_version": scored.model_version,
        "scores": [
            {"user_id": pair.user_id, "item_id": pair.item_id, "score": score}
            for pair, score in zip(pairs, scored.scores, strict=True)
        ],
    }
