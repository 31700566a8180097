"""The whole read policy on one page: who is known, what is left out, which score answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from app.clock import Clock
from app.live.history import History
from app.live.live_model import ActiveModel, LiveModel
from app.recommend.before_model import choose, popular_before_model
from app.recommend.diagnosis import diagnosis, diagnosis_before_model
from app.recommend.filters import Filters
from app.recommend.known_users import KnownUser, KnownUsers, visitor
from app.recommend.lists import (
    Diagnosis,
    NoModelError,
    Ranked,
    Scored,
    SessionEvent,
    Source,
    UnknownItemError,
    UnknownUserError,
    Wanted,
)
from app.recommend.ranking import MORE_FOR_CATEGORIES, Prepared, Ranking
from model.queries import Query
from model.shortlist import Best

_NO_NUMBERS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


class Recommender:
    """Answers from memory: the live model, what users did, and the catalogue.

    Args:
        repeats_included: whether lists hold what their user had already; None leaves it to what the training chose.
    """

    def __init__(self, history: History, live: LiveModel, *, clock: Clock, repeats_included: bool | None) -> None:
        self._history = history
        self._live = live
        self._clock = clock
        self._repeats_included = repeats_included
        self._filters = Filters(history)
        self._users = KnownUsers(history)
        self._ranking = Ranking(history)

    # -- lists --------------------------------------------------------------------------------------------------------

    def for_user(self, user_id: str, wanted: Wanted, *, strict: bool = False) -> Ranked:
        """The user's list. Raises: UnknownUserError with `strict` when nothing is known of the user."""
        prepared = self.prepare(user_id, wanted, strict=strict)
        return prepared if isinstance(prepared, Ranked) else self.rank([prepared])[0]

    def for_users(self, user_ids: Sequence[str], wanted: Wanted) -> list[Ranked]:
        """The lists of some users, in the order given and all of one version."""
        return self.by_version(self._live.current(), user_ids, wanted)

    def by_version(self, model: ActiveModel | None, user_ids: Sequence[str], wanted: Wanted) -> list[Ranked]:
        """`for_users` of a version that may not be the live one any more; None: before the first one."""
        prepared = [self._prepare(model, user_id, wanted) for user_id in user_ids]
        ranked = iter(self.rank([each for each in prepared if isinstance(each, Prepared)]))
        return [each if isinstance(each, Ranked) else next(ranked) for each in prepared]

    def for_session(self, session: Sequence[SessionEvent], wanted: Wanted) -> Ranked:
        """The list of somebody of whom only this is known; what is popular, if no item of the model is among it."""
        model = self._live.current()
        if model is None:
            seen = [event.item_id for event in session if self._keeps_out(event, wanted)]
            return self._before_model(wanted, {"seen": self._history.catalogue.item_keys(seen)})
        user = visitor(model, session, history=self._history, now_us=self._clock())
        return self.rank([self._prepared(model, wanted, user)])[0]

    def popular(self, wanted: Wanted) -> Ranked:
        """What is popular lately, the same for everyone."""
        model = self._live.current()
        if model is None:
            return self._before_model(wanted, {})
        return self.rank([self._prepared(model, wanted, None)])[0]

    def similar(self, item_id: str, wanted: Wanted) -> Ranked:
        """The items most like another; what is popular where nothing tells. Raises: UnknownItemError."""
        catalogue = self._history.catalogue
        key = catalogue.item_key(item_id)
        if key is None or catalogue.is_deleted(key):
            raise UnknownItemError
        itself = np.array([key], dtype=np.int64)
        model = self._live.current()
        if model is None:
            return self._before_model(wanted, {"itself": itself})
        candidates = model.candidates
        number = int(candidates.numbers(itself)[0])
        to = number if 0 <= number < candidates.num_scored and candidates.one_over_norms[number] > 0 else None
        return self.rank([self._prepared(model, wanted, None, leave_out=number, to=to)])[0]

    # -- scores -------------------------------------------------------------------------------------------------------

    def predict(self, user_id: str, item_ids: Sequence[str] | None) -> Scored:
        """The served score of a user and the given items, or of every item of the model.

        The same numbers as in the lists, bit for bit. Raises: NoModelError.
        """
        model = self._model()
        user = self._known(model, user_id)
        if item_ids is None:
            # An item that nothing names any more cannot be told.
            by_key = model.served.items_by_key
            names = self._history.catalogue.item_ids(model.served.sorted_item_keys)
            numbers = by_key[[name is not None for name in names]]
            item_ids = [name for name in names if name is not None]
        else:
            numbers = model.candidates.numbers(self._history.catalogue.item_keys(item_ids))
        return Scored(model.version, _source(user), item_ids, _scores(model, user, numbers))

    def predict_pairs(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> Scored:
        """The served score of each pair. Raises: NoModelError."""
        model = self._model()
        numbers = model.candidates.numbers(self._history.catalogue.item_keys(item_ids))
        places: dict[str, list[int]] = {}
        for place, user_id in enumerate(user_ids):
            places.setdefault(user_id, []).append(place)
        scores: list[float | None] = [None] * len(user_ids)
        for user_id, of_user in places.items():
            found = _scores(model, self._known(model, user_id), numbers[of_user])
            for place, score in zip(of_user, found, strict=True):
                scores[place] = score
        return Scored(model.version, "model", item_ids, scores)

    def live_model(self) -> ActiveModel | None:
        """The model that answers now."""
        return self._live.current()

    def now_us(self) -> int:
        """The present moment."""
        return self._clock()

    def items_of_model(self) -> int:
        """How many items are scored for a list; 0 before the first model."""
        model = self._live.current()
        return 0 if model is None else model.candidates.num_scored

    def diagnose(self, user_id: str, wanted: Wanted) -> Diagnosis:
        """Why the user gets the list that they get."""
        model = self._live.current()
        if model is None:
            user_key = self._history.user_key(user_id)
            left_out = self._seen_keys(wanted, user_key)
            chosen = choose(self._history, wanted, left_out, now_us=self._clock())
            return diagnosis_before_model(chosen, known=user_key is not None, seen_left_out="seen" in left_out)
        user = self._known(model, user_id)
        candidates, now_us = model.candidates, self._clock()
        parts = [("unavailable", self._filters.withheld(candidates, now_us=now_us))]
        used = 0
        if user is not None:
            only_hidden = self.includes_seen(wanted, model)
            seen = self._users.seen(user, model, now_us=now_us, only_hidden=only_hidden)
            parts.append((_seen_filter(only_hidden), seen))
            used = self._users.chosen(user, model).events
        if wanted.exclude_items:
            parts.append(("exclude_item", self._filters.excluded(candidates, wanted.exclude_items)))
        among = self._filters.among(candidates, wanted)
        return diagnosis(model, user, among=among, parts=parts, interactions_used=used)

    # -- the steps of a list ------------------------------------------------------------------------------------------

    def prepare(self, user_id: str, wanted: Wanted, *, strict: bool = False) -> Prepared | Ranked:
        """What `rank` needs for a user's list, or the list itself before the first model. Raises: as `for_user`."""
        if strict and self._history.user_key(user_id) is None:
            raise UnknownUserError
        return self._prepare(self._live.current(), user_id, wanted)

    def rank(self, lists: Sequence[Prepared]) -> list[Ranked]:
        """The lists; those of one version share a matrix product."""
        return self._ranking.rank(lists)

    def told(self, model: ActiveModel, lists: Sequence[Best]) -> list[Ranked]:
        """Lists of users whose histories are those of the training, by the names of their items."""
        return self._ranking.told(model, lists, [("model", ())] * len(lists))

    def withheld(self, model: ActiveModel) -> NDArray[np.int64]:
        """Numbers of the items that no list may hold now."""
        return self._filters.withheld(model.candidates, now_us=self._clock())

    def _prepare(self, model: ActiveModel | None, user_id: str, wanted: Wanted) -> Prepared | Ranked:
        user_key = self._history.user_key(user_id)
        if model is None:
            return self._before_model(wanted, self._seen_keys(wanted, user_key))
        user = None if user_key is None else self._users.get(user_key, model)
        return self._prepared(model, wanted, user)

    def _prepared(
        self,
        model: ActiveModel,
        wanted: Wanted,
        user: KnownUser | None,
        *,
        leave_out: int = -1,
        to: int | None = None,
    ) -> Prepared:
        candidates, now_us = model.candidates, self._clock()
        withheld = self._filters.withheld(candidates, now_us=now_us)
        left_out: list[NDArray[np.int64]] = []
        if leave_out >= 0:
            left_out.append(np.array([leave_out]))
        own: Collection[int] = ()
        if user is not None:
            includes_seen = self.includes_seen(wanted, model)
            seen = self._users.seen(user, model, now_us=now_us, only_hidden=includes_seen)
            left_out.append(seen)
            if includes_seen:
                own = set(self._users.seen(user, model, now_us=now_us, only_hidden=False).tolist())
        if wanted.exclude_items:
            left_out.append(self._filters.excluded(candidates, wanted.exclude_items))
        factors = None if user is None else user.factors(model.served)
        k = wanted.limit if wanted.max_per_category is None else wanted.limit * MORE_FOR_CATEGORIES
        query = Query(factors, k, _joined(left_out), self._filters.among(candidates, wanted), withheld)
        source = _source(user) if to is None else "model"
        chosen = self._users.chosen(user, model) if wanted.explain and user is not None else None
        return Prepared(model, query, wanted, source, own, to, chosen)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _model(self) -> ActiveModel:
        model = self._live.current()
        if model is None:
            raise NoModelError
        return model

    def forget_user(self, user_key: int) -> None:
        """Let go of what is kept of a user who is gone."""
        self._users.forget(user_key)

    def _known(self, model: ActiveModel, user_id: str) -> KnownUser | None:
        user_key = self._history.user_key(user_id)
        return None if user_key is None else self._users.get(user_key, model)

    def includes_seen(self, wanted: Wanted, model: ActiveModel | None) -> bool:
        """Whether the list may hold what its user had."""
        if wanted.include_seen is not None:
            return wanted.include_seen
        if self._repeats_included is not None:
            return self._repeats_included
        return model is not None and model.served.policy.repeats is not None

    def _keeps_out(self, event: SessionEvent, wanted: Wanted) -> bool:
        rule = self._history.rule
        return event.event_type in (rule.hidden_types) or (
            not self.includes_seen(wanted, None) and rule.sees(event.event_type)
        )

    def _seen_keys(self, wanted: Wanted, user_key: int | None) -> dict[str, NDArray[np.int64]]:
        """What the user's list leaves out before the first model, by the filter's name."""
        if user_key is None:
            return {}
        only_hidden = self.includes_seen(wanted, None)
        keys = self._history.seen_item_keys(user_key, now_us=self._clock(), only_hidden=only_hidden)
        return {_seen_filter(only_hidden): keys}

    def _before_model(self, wanted: Wanted, left_out: dict[str, NDArray[np.int64]]) -> Ranked:
        return popular_before_model(self._history, wanted, left_out, now_us=self._clock())


def _seen_filter(only_hidden: bool) -> str:
    return "disliked" if only_hidden else "seen"


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return parts[0] if len(parts) == 1 else np.concatenate((_NO_NUMBERS, *parts))


def _source(user: KnownUser | None) -> Source:
    return "popular" if user is None or not user.personal else user.source


def _scores(model: ActiveModel, user: KnownUser | None, numbers: NDArray[np.int64]) -> list[float | None]:
    """Scores of items, shape (n,), for a user, or by popularity; None where there is none."""
    candidates = model.candidates
    factors = None if user is None else user.factors(model.served)
    has_one = (numbers >= 0) & (numbers < (len(candidates) if factors is None else candidates.num_scored))
    known = numbers[has_one]
    values = candidates.popular_scores[known] if factors is None else candidates.scores(factors, known)
    scores: list[float | None] = [None] * len(numbers)
    for place, score in zip(np.flatnonzero(has_one).tolist(), values.tolist(), strict=True):
        scores[place] = score
    return scores
