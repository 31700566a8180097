"""What other programs call and how they write what we have columns for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from app.importing.records import Preset

# 2021-03-04 05:06:07.891 +0000 UTC, as Go prints a time; nine digits of a second at most.
_GO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) ([+-]\d\d)(\d\d)(?: [A-Za-z0-9+-]{1,8})?", re.ASCII
)
_NO_GO_TIME = "0001-01-01"
_NO_GENRES = "(no genres listed)"


class Presets(NamedTuple):
    """Those of one program."""

    interactions: Preset
    items: Preset


def _event_type(cell: str) -> str:
    """`Add To Cart` as `add_to_cart`."""
    return "_".join(cell.lower().split())


def _go_time(cell: str) -> str:
    """RFC 3339; Go's zero time is no time at all. What is in another form stays, for the rules to judge."""
    if cell.startswith(_NO_GO_TIME):
        return ""
    found = _GO_TIME.fullmatch(cell)
    return f"{found[1]}T{found[2]}{found[3]}:{found[4]}" if found else cell


PRESETS: Mapping[str, Presets] = {
    # ratings.csv and movies.csv of the data sets that have a header: a rating counts as the value.
    "movielens": Presets(
        Preset({"userId": "user_id", "movieId": "item_id", "rating": "value", "timestamp": "timestamp"}),
        Preset(
            {"movieId": "item_id", "title": "title", "genres": "categories"},
            {"categories": lambda cell: "" if cell == _NO_GENRES else cell},
        ),
    ),
    # feedback.csv and items.csv of the dashboard's export, and the objects of the REST API.
    "gorse": Presets(
        Preset(
            {
                **{"user_id": "user_id", "UserId": "user_id", "item_id": "item_id", "ItemId": "item_id"},
                **{"feedback_type": "event_type", "FeedbackType": "event_type"},
                **{"time_stamp": "timestamp", "Timestamp": "timestamp"},
            },
            {"event_type": _event_type, "timestamp": _go_time},
        ),
        Preset(
            {
                **{"item_id": "item_id", "ItemId": "item_id", "is_hidden": "hidden", "IsHidden": "hidden"},
                **{"categories": "categories", "Categories": "categories"},
            }
        ),
    ),
    # The reserved fields of an item interactions and an items dataset.
    "personalize": Presets(
        Preset(
            {
                **{"USER_ID": "user_id", "ITEM_ID": "item_id", "TIMESTAMP": "timestamp"},
                **{"EVENT_TYPE": "event_type", "EVENT_VALUE": "value", "RECOMMENDATION_ID": "recommendation_id"},
            },
            {"event_type": _event_type},
        ),
        Preset({"ITEM_ID": "item_id", "GENRES": "categories", "CATEGORY_L1": "categories"}),
    ),
}
