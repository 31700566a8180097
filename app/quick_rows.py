"""One uploaded interaction that is plainly right, in a fifth of the time that telling what is wrong takes.

`app.interaction_rows` says what the rules are. Here they are only kept: whatever is not certain to be right there too
gives None. Most uploads are single rows of the same few fields.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from pydantic_core import PydanticCustomError

from app.clock import DAY_US
from app.db.interactions import NewInteraction
from app.ids import InvalidId, id_from_json
from app.interaction_rows import DEFAULT_TYPE, MAX_VALUE, timestamp_us
from app.settings import EVENT_TYPE


class DecodedRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of an interaction as JSON has them, before any rule but that of their types."""

    user_id: str | int
    item_id: str | int
    event_type: str | UnsetType = UNSET
    value: float | int | UnsetType = UNSET
    timestamp: str | int | float | UnsetType = UNSET
    event_id: str | int | UnsetType | None = UNSET
    recommendation_id: str | int | UnsetType | None = UNSET
    context: msgspec.Raw = msgspec.Raw(b"")


DECODER = msgspec.json.Decoder(DecodedRow)


def quick_row(body: bytes, *, now_us: int) -> NewInteraction | None:
    """The interaction that a JSON body is, or None where it is anything else or may break a rule.

    Args:
        now_us: the time received.
    """
    try:
        row = DECODER.decode(body)
        if row.context or body.count(b'"') != _quotes(row):
            return None
        return NewInteraction(
            id_from_json(row.user_id),
            id_from_json(row.item_id),
            _event_type(row.event_type),
            _value(row.value),
            _moment(row.timestamp, now_us),
            None if row.event_id is UNSET or row.event_id is None else id_from_json(row.event_id),
            None
            if row.recommendation_id is UNSET or row.recommendation_id is None
            else id_from_json(row.recommendation_id),
        )
    except (msgspec.MsgspecError, InvalidId, PydanticCustomError, ValueError, OverflowError, RecursionError):
        return None


def _quotes(row: DecodedRow) -> int:
    """How many quotes there are where no name stands twice and nothing is escaped: the decoder tells of neither."""
    quotes = 0
    for field in (
        *(row.user_id, row.item_id, row.event_type, row.value, row.timestamp),
        *(row.event_id, row.recommendation_id),
    ):
        if field is not UNSET:
            quotes += 4 if type(field) is str else 2
    return quotes


def _optional_id(given: str | int | UnsetType | None) -> str | None:
    return None if given is UNSET or given is None else id_from_json(given)


def _event_type(given: str | UnsetType) -> str:
    if given is UNSET:
        return DEFAULT_TYPE
    if not EVENT_TYPE.fullmatch(given):
        raise ValueError
    return given


def _value(given: float | UnsetType) -> float:
    if given is UNSET:
        return 1.0
    if not 0 < given <= MAX_VALUE:
        raise ValueError
    return float(given)


def _moment(given: str | float | UnsetType, now_us: int) -> int:
    if given is UNSET:
        return now_us
    moment = timestamp_us(given)
    if moment > now_us + DAY_US:
        raise ValueError
    return moment
