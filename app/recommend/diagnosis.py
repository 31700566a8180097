"""Why a user gets the list that they get, in one sentence and numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.live.live_model import ActiveModel
from app.recommend.before_model import Chosen
from app.recommend.filters import counted
from app.recommend.known_users import KnownUser
from app.recommend.lists import Diagnosis, Source


def diagnosis(
    model: ActiveModel,
    user: KnownUser | None,
    *,
    among: NDArray[np.int64] | None,
    parts: list[tuple[str, NDArray[np.int64]]],
    interactions_used: int,
) -> Diagnosis:
    """What a version makes of a user.

    Args:
        among: numbers of the items of the wanted categories; None for all.
        parts: names of filters and numbers of the items they take away.
        interactions_used: how many interactions shaped the user's vector.
    """
    candidates = model.candidates
    personal = user is not None and user.personal
    total = candidates.num_scored if personal else len(candidates)
    source, reason, sentence = _why(user, interactions_used)
    filters = counted(total, among, parts)
    left = filters[-1].after if filters else total
    return Diagnosis(
        source,
        reason,
        f"{sentence} {left} of {total} items are left to choose from.",
        interactions_used,
        total,
        filters,
        model.version,
        model.created_us,
    )


def diagnosis_before_model(chosen: Chosen, *, known: bool, seen_left_out: bool) -> Diagnosis:
    """What a user gets before the first model.

    Args:
        known: whether anything is known of the user.
        seen_left_out: whether the list leaves out what the user has seen.
    """
    sentence = "There is no model yet, so the list is what is popular lately, the same for everybody."
    if known and seen_left_out:
        sentence = "There is no model yet, so the list is what is popular lately, without what this user has seen."
    total = len(chosen.keys)
    filters = counted(total, chosen.among, chosen.parts)
    sentence = f"{sentence} {len(chosen.left())} of {total} items are left to choose from."
    return Diagnosis("popular", "no_model", sentence, 0, total, filters, None, None)


def _why(user: KnownUser | None, used: int) -> tuple[Source, str, str]:
    if user is None:
        return "popular", "unknown_user", "Nothing is known of this user, so the list is what is popular lately."
    if not user.personal:
        if not user.events:
            return "popular", "no_interactions", "Nothing of what this user did is left, so the list is popular lately."
        return (
            "popular",
            "only_unknown_items",
            "No item that speaks for this user's taste is in the model yet, so the list is what is popular lately.",
        )
    interactions = "1 interaction" if used == 1 else f"{used} interactions"
    if user.source == "model":
        return "model", "known_to_model", f"The list is made of {interactions} of this user that the training knew."
    return (
        "fold_in",
        "later_interactions",
        f"The list is made of {interactions} of this user, some of which came after the training.",
    )
