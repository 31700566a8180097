"""What a version makes of each user: trained, or folded in from what the user did; kept until the next interaction."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.live.held import Held
from app.live.history import History
from app.live.live_model import ActiveModel
from app.recommend.lists import SessionEvent
from model.served import ServedModel
from model.user_factors import ChosenItems, UserEvents, UserFactors, as_trained, chosen_items, folded_in

# Users kept at a time, half a kilobyte each as trained, and more than one where they are folded in or items come back;
# with more, those that came first are made again when they come back.
MOST_KEPT = 24_576

Numbers = NDArray[np.int64]


class _Seen(Struct, frozen=True, gc=False):
    """Numbers of items that are kept out of a list: for which candidates, and whether only of those hidden."""

    serial: int
    only_hidden: bool
    numbers: Numbers


class KnownUser(Struct, gc=False):
    """A user as one version sees them.

    Thousands come with each version, and hold nothing that leads back to them: the garbage collector, which would hold
    up every request for some ten milliseconds, need not know them.

    Attributes:
        key: the store's; None for a visitor of whom nothing is stored.
        source: whether anything that the training did not know shaped the vector.
        events: how many there are.
        chosen: what shaped it, of a visitor.
        seen_keys: of a visitor, the items seen and those hidden, int64.
    """

    key: int | None
    source: Literal["model", "fold_in"]
    events: int
    # The row in the version, whose arrays are not kept here, of a user as trained.
    _number: int | None = None
    # Of anybody else; None where no item of the version is among what the user chose.
    _factors: UserFactors | None = None
    chosen: ChosenItems | None = None
    seen_keys: tuple[Numbers, Numbers] | None = None
    # The version, what was held, how many later rows of the user, and the moment that repeats count back from.
    _made_of: tuple[int, int, int, float] = (-1, -1, -1, 0.0)
    _seen: _Seen | None = None
    # What the user did, until it has been looked at once more.
    _events: UserEvents | None = None

    @property
    def personal(self) -> bool:
        """Whether there is a vector."""
        return self._number is not None or self._factors is not None

    def factors(self, served: ServedModel) -> UserFactors | None:
        """What scores need of the user. Raises: ValueError for another version than the one the user was made for."""
        if self._number is None:
            return self._factors
        if served.serial != self._made_of[0]:
            raise ValueError("the user was made for another version")
        return as_trained(served, self._number, None)


class KnownUsers:
    """Makes users and keeps some of them. The same user is made again of the same bits."""

    def __init__(self, history: History, *, most_kept: int = MOST_KEPT) -> None:
        self._history = history
        self._most_kept = most_kept
        self._kept: dict[int, KnownUser] = {}
        # One for all who have the same.
        self._made_last = (-1, -1, -1, 0.0)
        self._lock = threading.Lock()

    def get(self, user_key: int, model: ActiveModel) -> KnownUser:
        """The user as the model sees them now."""
        held = self._history.held
        # What comes back does so by its age. Rows are counted before they are read: what comes in between only makes
        # the user be made once more. Users of an older version go one by one, as they come back or others come: to let
        # go of thousands at a time would hold up every request for some ten milliseconds.
        now_us = 0.0 if model.served.policy.repeats is None else model.candidates.now_us
        later = held.later.get(user_key)
        made_of = (model.served.serial, held.serial, 0 if later is None else len(later), now_us)
        kept = self._kept.get(user_key)
        if kept is not None and kept._made_of == made_of:
            return kept
        if made_of == (last := self._made_last):
            made_of = last
        self._made_last = made_of
        made = self._make(user_key, held, model, made_of)
        with self._lock:
            self._kept.pop(user_key, None)
            while len(self._kept) >= self._most_kept:
                del self._kept[next(iter(self._kept))]
            self._kept[user_key] = made
        return made

    def forget(self, user_key: int) -> None:
        """Let go of a user who is gone."""
        with self._lock:
            self._kept.pop(user_key, None)

    def seen(self, user: KnownUser, model: ActiveModel, *, now_us: int, only_hidden: bool) -> Numbers:
        """Numbers of the items that are kept out of the user's list because of what they did."""
        if user.key is None:
            keys = user.seen_keys[only_hidden] if user.seen_keys else np.empty(0, dtype=np.int64)
            return model.candidates.known_numbers(keys)
        kept = user._seen
        if kept is not None and kept.serial == model.candidates.serial and kept.only_hidden == only_hidden:
            return kept.numbers
        events, user._events = user._events, None
        if events is None:
            events = self._history.held.events(user.key)
        return self._look(user, events, model, now_us=now_us, only_hidden=only_hidden)

    def chosen(self, user: KnownUser, model: ActiveModel) -> ChosenItems:
        """Which items shaped the user's vector, and how much."""
        if user.chosen is not None or user.key is None:
            return user.chosen or ChosenItems.none()
        return self._chosen(self._history.held.events(user.key), model)

    def _look(
        self,
        user: KnownUser,
        events: UserEvents,
        model: ActiveModel,
        *,
        now_us: int,
        only_hidden: bool,
    ) -> Numbers:
        keys = self._history.seen_of(events, now_us=now_us, only_hidden=only_hidden)
        numbers = model.candidates.known_numbers(keys)
        # With an age limit what was seen changes by itself.
        if not self._history.seen_ages:
            user._seen = _Seen(model.candidates.serial, only_hidden, numbers)
        return numbers

    def _chosen(self, events: UserEvents, model: ActiveModel) -> ChosenItems:
        types = self._history.types.weights(model.served.policy)
        return chosen_items(model.served, events, types=types, now_us=model.candidates.now_us)

    def _make(self, user_key: int, held: Held, model: ActiveModel, made_of: tuple[int, int, int, float]) -> KnownUser:
        served = model.served
        events = held.events(user_key)
        count = len(events.times_us)
        number = served.user_number(user_key)
        trained_on = -1 if number is None else int(served.history_sizes[number])
        # Where some were deleted their number alone does not tell.
        later = count > trained_on or _came_later(user_key, held, model)
        source: Literal["model", "fold_in"] = "fold_in" if later else "model"
        factors = None
        if number is None or count != trained_on or later or user_key in held.replaced:
            number, chosen = None, self._chosen(events, model)
            factors = folded_in(served, chosen) if chosen.events else None
        elif served.policy.repeats is not None:
            factors = as_trained(served, number, self._chosen(events, model))
            # A user who is kept must not keep the arrays of a version that is over.
            factors, number = factors._replace(vector=factors.vector.copy()), None
        return KnownUser(user_key, source, count, _number=number, _factors=factors, _made_of=made_of, _events=events)


def _came_later(user_key: int, held: Held, model: ActiveModel) -> bool:
    """Whether the user did anything after the training, as far as what is held beside a training's history tells."""
    if held.base.name == "":
        return False
    in_recent = user_key not in held.replaced and any(table.size(user_key) for table in held.recent)
    if in_recent and held.base.name == model.name:
        return True
    covers = model.watermark.covers
    return any(not covers(row.id, row.xact) for row in held.later.get(user_key, ()))


def visitor(model: ActiveModel, session: Sequence[SessionEvent], *, history: History, now_us: int) -> KnownUser:
    """Somebody who did just this, all of it now."""
    keys = history.catalogue.item_keys([event.item_id for event in session])
    rows = [(key, event) for key, event in zip(keys.tolist(), session, strict=True) if key >= 0]
    # With numbers of their own: what a visitor calls an event must not stay here.
    names = sorted({event.event_type for _, event in rows})
    events = UserEvents(
        keys[keys >= 0],
        np.array([names.index(event.event_type) for _, event in rows], dtype=np.int32),
        np.full(len(rows), now_us, dtype=np.int64),
        np.array([event.value for _, event in rows], dtype=np.float32),
    )
    types = model.served.policy.weights_of(names)
    chosen = chosen_items(model.served, events, types=types, now_us=model.candidates.now_us)
    factors = folded_in(model.served, chosen) if chosen.events else None
    seen = [key for key, event in rows if history.rule.sees(event.event_type)]
    hidden = [key for key, event in rows if event.event_type in history.rule.hidden_types]
    seen_keys = (np.array(seen, dtype=np.int64), np.array(hidden, dtype=np.int64))
    return KnownUser(None, "fold_in", len(rows), _factors=factors, chosen=chosen, seen_keys=seen_keys)
