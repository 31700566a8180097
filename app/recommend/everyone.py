"""The lists of all users in one pass: what is the same for many is looked up for many at once.

Letters used for shapes: B users, N rows of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.live.held import Held
from app.live.history import History
from app.live.live_model import ActiveModel
from app.recommend.lists import Ranked, Wanted
from app.recommend.recommender import Recommender
from model.queries import best_of_many

USERS_AT_ONCE = 256


class UserList(NamedTuple):
    """A user's list."""

    user_id: str
    ranked: Ranked


def everyone(recommender: Recommender, history: History, *, limit: int) -> Iterator[UserList]:
    """The list of every user that anything is known of, as `Recommender.for_user` gives it.

    Those whose history is the one of the training are looked up all at once; the others are folded in one by one and
    come last.
    """
    wanted, held, model = Wanted(limit=limit), history.held, recommender.live_model()
    users = held.base.histories.users
    rest = held.user_ids_beside()
    erased = np.fromiter(held.erased, dtype=np.int64, count=len(held.erased))
    for start in range(0, len(users), USERS_AT_ONCE):
        rows = np.arange(start, min(start + USERS_AT_ONCE, len(users)))
        rows = rows[~np.isin(held.base.histories.user_keys[rows], erased)]
        if model is not None and not recommender.includes_seen(wanted, model) and not _own_items_stay(history, model):
            trained = _as_trained(rows, held, model)
            if len(trained):
                yield from _lists(trained, recommender, history, held=held, model=model, limit=limit)
            rows = np.setdiff1d(rows, trained)
        rest += users.ids(rows)
    for start in range(0, len(rest), USERS_AT_ONCE):
        some = rest[start : start + USERS_AT_ONCE]
        yield from map(UserList, some, recommender.by_version(model, some, wanted))


def _own_items_stay(history: History, model: ActiveModel) -> bool:
    """Whether lists may hold items with a part of their own in the score, although what was seen is left out."""
    return model.served.policy.repeats is not None and not history.rule.sees_everything


def _as_trained(rows: NDArray[np.int64], held: Held, model: ActiveModel) -> NDArray[np.int64]:
    """Those rows of the base whose users the training knew with just what is held of them."""
    histories, served = held.base.histories, model.served
    if held.base.name != model.name or held.expired_us >= 0:
        return rows[:0]
    keys = histories.user_keys[rows]
    numbers = np.minimum(served.user_keys.searchsorted(keys), served.num_users - 1)
    sizes = histories.indptr[rows + 1] - histories.indptr[rows]
    same = (served.user_keys[numbers] == keys) & (served.history_sizes[numbers] == sizes)
    changed = {*held.replaced, *held.later.copy()}
    same &= ~np.isin(keys, np.fromiter(changed, dtype=np.int64, count=len(changed)))
    for table in held.recent:
        same &= ~np.isin(keys, table.user_keys)
    trained: NDArray[np.int64] = rows[same]
    return trained


def _lists(
    rows: NDArray[np.int64],
    recommender: Recommender,
    history: History,
    *,
    held: Held,
    model: ActiveModel,
    limit: int,
) -> Iterator[UserList]:
    histories, served = held.base.histories, model.served
    numbers = served.user_keys.searchsorted(histories.user_keys[rows])
    best = best_of_many(
        model.candidates,
        served.user_vectors[numbers],
        served.user_groups[numbers],
        k=limit,
        excluded=_seen(rows, history, held=held, model=model, now_us=recommender.now_us()),
        withheld=recommender.withheld(model),
    )
    yield from map(UserList, histories.users.ids(rows), recommender.told(model, best))


def _seen(
    rows: NDArray[np.int64], history: History, *, held: Held, model: ActiveModel, now_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of the number of a seen item and the place in `rows` of who has seen it, both of shape (N,)."""
    events, counts = held.base_table.events_of(rows)
    seen = history.seen_mask(events, now_us=now_us)
    users = np.repeat(np.arange(len(rows)), counts)[seen]
    numbers = model.candidates.numbers(events.item_keys[seen])
    return numbers[numbers >= 0], users[numbers >= 0]
