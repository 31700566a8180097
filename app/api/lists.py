"""How a list is shown: shared by every operation that answers with recommendations."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from app.api.answers import json_answer
from app.api.parameters import Flag, Limit, QueryId, QueryModel
from app.clock import to_rfc3339
from app.recommend import Ranked, Wanted
from app.state import AppState


class ListQuery(QueryModel):
    """What every list can be asked for."""

    limit: Limit = Field(10, description="How many items; fewer come back only when there are no more candidates.")
    exclude_item: list[QueryId] = Field([], description="Leave this item out; may be repeated.")

    def wanted(self) -> Wanted:
        """As the read policy takes it."""
        return Wanted(limit=self.limit, exclude_items=self.exclude_item)


class PersonalQuery(ListQuery):
    """What a user's list can be asked for."""

    include_seen: Flag | None = Field(
        None, description="Keep items the user has dealt with. Default: what LIKEWISE_REPEATS says, usually false."
    )
    strict: Flag = Field(False, description="Answer 404 for a user nothing is known of, instead of what is popular.")

    def wanted(self) -> Wanted:
        """As the read policy takes it."""
        return Wanted(limit=self.limit, exclude_items=self.exclude_item, include_seen=self.include_seen)


class ListedItem(BaseModel):
    """One recommended item."""

    item_id: str
    rank: int = Field(description="From 1.")
    score: float = Field(description="The served score; comparable within one list only.")
    source: str = Field(description="`model` or `popular`.")
    title: str | None = Field(None, description="Present where the item has one.")


class ItemList(BaseModel):
    """A list, and where it came from."""

    recommendation_id: str = Field(description="Unique per answer; send it back with the interactions it leads to.")
    user_id: str | None
    model_version: int | None = Field(description="null before the first model.")
    source: str = Field(
        description="`model`: personal; `popular`: nothing is known of the user, or there is no model yet."
    )
    generated_at: str = Field(json_schema_extra={"format": "date-time"})
    items: list[ListedItem]


LIST_EXAMPLE = {
    "recommendation_id": "0b9f9d4e6f0c4a53a4c1b7a7d0c0a1f2",
    "user_id": "ada",
    "model_version": 3,
    "source": "model",
    "generated_at": "2025-01-31T12:00:00.250000Z",
    "items": [{"item_id": "saucer", "rank": 1, "score": 4.125, "source": "model", "title": "Saucer, white"}],
}


def list_answer(state: AppState, ranked: Ranked, *, user_id: str | None) -> Response:
    """The list as JSON, under a new recommendation_id."""
    items: list[dict[str, Any]] = []
    for item in ranked.items:
        shown = {"item_id": item.item_id, "rank": item.rank, "score": item.score, "source": item.source}
        items.append(shown if item.title is None else {**shown, "title": item.title})
    return json_answer(
        {
            "recommendation_id": uuid.uuid4().hex,
            "user_id": user_id,
            "model_version": ranked.model_version,
            "source": ranked.source,
            "generated_at": to_rfc3339(state.clock()),
            "items": items,
        }
    )
