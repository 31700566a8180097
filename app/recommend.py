"""The whole read policy: who is known, what is left out, which score answers. No SQL, no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.clock import Clock
from app.live.history import History
from app.live.live_model import ActiveModel, LiveModel

MANY_ITEMS = 2_000
"""Scoring and telling as many takes about a millisecond."""

Source = Literal["model", "popular"]
_NO_NUMBERS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks of a list. `include_seen` None leaves it to the service's setting."""

    limit: int = 10
    exclude_items: Sequence[str] = ()
    include_seen: bool | None = None


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One line of a list."""

    item_id: str
    rank: int
    score: float
    source: Source
    title: str | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list and where it came from; `model_version` is None before the first model."""

    model_version: int | None
    source: Source
    items: list[RankedItem]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order asked; None for an item that has none."""

    model_version: int
    source: Source
    item_ids: Sequence[str]
    scores: list[float | None]


class NoModelError(LookupError):
    """No model is live yet."""


class UnknownUserError(LookupError):
    """Nothing is known of the user."""


class Recommender:
    """Answers from memory: the live model, what users did, and the catalogue."""

    def __init__(self, history: History, live: LiveModel, *, clock: Clock, repeats_included: bool) -> None:
        self._history = history
        self._live = live
        self._clock = clock
        self._repeats_included = repeats_included

    def for_user(self, user_id: str, wanted: Wanted, *, strict: bool = False) -> Ranked:
        """The user's list: personal when the model knows the user, popular otherwise, own seen items left out.

        Raises: UnknownUserError with `strict` when nothing is known of the user.
        """
        model = self._live.current()
        user_key = self._history.user_key(user_id)
        if user_key is None:
            if strict:
                raise UnknownUserError
            return self._popular(model, self._left_out(wanted, None))
        left_out = self._left_out(wanted, user_key)
        number = None if model is None else model.served.user_number(user_key)
        if model is None or number is None:
            return self._popular(model, left_out)
        numbers, scores = model.served.recommend(
            number, k=wanted.limit, excluded=model.served.item_numbers(left_out.keys)
        )
        return self._ranked(model.version, "model", model.served.item_keys[numbers], scores)

    def popular(self, wanted: Wanted) -> Ranked:
        """What is popular lately, the same for everyone."""
        return self._popular(self._live.current(), self._left_out(wanted, None))

    def predict(self, user_id: str, item_ids: Sequence[str] | None) -> Scored:
        """The served score of a user and the given items, or of every item of the model.

        The same numbers as in the lists, bit for bit. Raises: NoModelError.
        """
        model = self._model()
        served = model.served
        number = self._user_number(model, user_id)
        if item_ids is None:
            # An item that nothing names any more cannot be told.
            names = self._history.catalogue.item_ids(served.item_keys)
            numbers = np.array([number for number, name in enumerate(names) if name is not None], dtype=np.int64)
            item_ids = [name for name in names if name is not None]
        else:
            numbers = self._item_numbers(model, item_ids)
        users = np.full(len(numbers), -1 if number is None else number, dtype=np.int64)
        return Scored(model.version, "popular" if number is None else "model", item_ids, _scores(model, users, numbers))

    def predict_pairs(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> Scored:
        """The served score of each pair. Raises: NoModelError."""
        model = self._model()
        known = {user_id: self._user_number(model, user_id) for user_id in set(user_ids)}
        users = np.array([-1 if (n := known[user_id]) is None else n for user_id in user_ids], dtype=np.int64)
        numbers = self._item_numbers(model, item_ids)
        return Scored(model.version, "model", item_ids, _scores(model, users, numbers))

    def predicts_many(self) -> bool:
        """Whether `predict` without items has so many to score that it holds up whoever waits beside it."""
        model = self._live.current()
        return model is not None and model.served.num_items > MANY_ITEMS

    def _model(self) -> ActiveModel:
        model = self._live.current()
        if model is None:
            raise NoModelError
        return model

    def _user_number(self, model: ActiveModel, user_id: str) -> int | None:
        user_key = self._history.user_key(user_id)
        return None if user_key is None else model.served.user_number(user_key)

    def _item_numbers(self, model: ActiveModel, item_ids: Sequence[str]) -> NDArray[np.int64]:
        return model.served.item_numbers(self._history.catalogue.item_keys(item_ids))

    def _left_out(self, wanted: Wanted, user_key: int | None) -> _LeftOut:
        catalogue = self._history.catalogue
        now_us = self._clock()
        excluded = [key for item_id in wanted.exclude_items if (key := catalogue.item_key(item_id)) is not None]
        parts = [catalogue.withheld_keys(now_us), np.array(excluded, dtype=np.int64)]
        if user_key is not None:
            include_seen = self._repeats_included if wanted.include_seen is None else wanted.include_seen
            parts.append(self._history.seen_item_keys(user_key, now_us=now_us, only_hidden=include_seen))
        return _LeftOut(wanted.limit, np.concatenate(parts))

    def _popular(self, model: ActiveModel | None, left_out: _LeftOut) -> Ranked:
        if model is not None:
            served = model.served
            numbers, scores = served.popular(k=left_out.limit, excluded=served.item_numbers(left_out.keys))
            return self._ranked(model.version, "popular", served.item_keys[numbers], scores)
        keys, counts = self._history.recent_popularity()
        kept = ~np.isin(keys, left_out.keys)
        keys, counts = keys[kept], counts[kept]
        # By the counts: among very old events, whose scores all round to 0, they still tell more from less.
        best = np.lexsort((keys, -counts))[: left_out.limit]
        return self._ranked(None, "popular", keys[best], np.log1p(counts[best]).astype(np.float32))

    def _ranked(
        self, version: int | None, source: Source, keys: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> Ranked:
        catalogue = self._history.catalogue
        # An item that nothing names any more cannot be shown; a list that is one short is better than none.
        named = [
            (item_id, score, catalogue.title(key))
            for key, score in zip(keys.tolist(), scores.tolist(), strict=True)
            if (item_id := catalogue.item_id(key)) is not None
        ]
        items = [
            RankedItem(item_id, rank, score, source, title) for rank, (item_id, score, title) in enumerate(named, 1)
        ]
        return Ranked(version, source, items)


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """How many items are wanted, and the keys of those that must not be among them."""

    limit: int
    keys: NDArray[np.int64]


def _scores(model: ActiveModel, users: NDArray[np.int64], numbers: NDArray[np.int64]) -> list[float | None]:
    """Scores of pairs, shape (n,): number -1 among `users` is scored by popularity, among `numbers` has no score."""
    served = model.served
    known = (numbers >= 0) & (users >= 0)
    popular = (numbers >= 0) & (users < 0)
    values = np.zeros(len(numbers), dtype=np.float32)
    values[known] = served.pair_scores(users[known], numbers[known])
    values[popular] = served.popular_scores[numbers[popular]]
    scores: list[float | None] = [*values.tolist()]
    for position in np.flatnonzero(numbers < 0).tolist():
        scores[position] = None
    return scores
