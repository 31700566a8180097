"""The read policy: who is known, what is left out, which score answers. No SQL, no HTTP."""

from app.recommend.lists import (
    Diagnosis,
    NoModelError,
    Ranked,
    RankedItem,
    Scored,
    SessionEvent,
    Share,
    UnknownItemError,
    UnknownUserError,
    Wanted,
)
from app.recommend.ranking import Prepared
from app.recommend.recommender import Recommender
from app.recommend.sharing import SharedRanking

__all__ = [
    "Diagnosis",
    "NoModelError",
    "Prepared",
    "Ranked",
    "RankedItem",
    "Recommender",
    "Scored",
    "SessionEvent",
    "Share",
    "SharedRanking",
    "UnknownItemError",
    "UnknownUserError",
    "Wanted",
]
