"""History against a plain dict of rows, through everything that can come to a replica, in every order."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.db.append import StoredInteraction
from app.db.watermark import Watermark
from app.live.held import Base
from app.live.history import History
from app.live.seen import SeenRule
from tests.app.live.events import appended, history, item_id, popular, rebase, told, told_of, user_id
from tests.app.live.log import Log, Read

USER_KEYS = (1, 2, 3)
FACTS = st.tuples(
    st.sampled_from(USER_KEYS), st.sampled_from((11, 12, 13)), st.sampled_from(("view", "dislike")), st.integers(0, 20)
)


class Followed(RuleBasedStateMachine):
    """One replica and its store. A read of the feed and its taking are two steps: own writes come in between."""

    def __init__(self) -> None:
        super().__init__()
        # With so few a table is made again and again.
        self.history: History = history(SeenRule(hidden_types=frozenset({"dislike"})), most_since=2)
        self.expected: dict[int, StoredInteraction] = {}
        self.own: list[list[StoredInteraction]] = []
        self.told: dict[int, StoredInteraction] = {}
        self.read: tuple[Base | None, Read] | None = None
        self.trained_upto: list[Watermark] = []
        self.newest: Base = Base.none()
        self.trainings = 0
        # Reads of the feed since it last rested on a base: most is to be met between two of those.
        self.followed = 0

    @initialize(ordered=st.booleans(), facts=st.lists(FACTS, max_size=8))
    def a_store(self, ordered: bool, facts: list[tuple[int, int, str, int]]) -> None:
        self.log = Log(ordered=ordered)
        self.log.commit(self.log.begin(facts))
        self.train()
        self.newest = self.log.base(self.trained_upto.pop(), "model-0")
        self.start_anew()

    # -- the store ----------------------------------------------------------------------------------------------------

    @rule(facts=st.lists(FACTS, min_size=1, max_size=3), own=st.booleans())
    def write(self, facts: list[tuple[int, int, str, int]], own: bool) -> None:
        rows = self.log.commit(self.log.begin(facts))
        if own:
            self.own.append(rows)

    @precondition(lambda self: not self.log.ordered)
    @rule(facts=st.lists(FACTS, min_size=1, max_size=3))
    def begin(self, facts: list[tuple[int, int, str, int]]) -> None:
        self.log.begin(facts)

    @precondition(lambda self: self.log.open)
    @rule(data=st.data(), own=st.booleans())
    def commit(self, data: st.DataObject, own: bool) -> None:
        rows = self.log.commit(data.draw(st.sampled_from(sorted(self.log.open))))
        if own:
            self.own.append(rows)

    @precondition(lambda self: self.log.rows)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.log.delete(data.draw(st.sampled_from(sorted(self.log.rows))))

    @rule(before_us=st.integers(1, 20))
    def expire(self, before_us: int) -> None:
        self.log.expire(before_us)

    @rule()
    def train(self) -> None:
        self.trained_upto.append(self.log.now())

    # -- the replica --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.own)
    @rule()
    def tell(self) -> None:
        rows = self.own.pop(0)
        self.history.apply(appended(*rows))
        for row in rows:
            if not self.history.watermark.covers(row.id, row.xact):
                self.told[row.id] = self.expected[row.id] = row

    @precondition(lambda self: self.read is None)
    @rule()
    def read_feed(self) -> None:
        self.read = (None, self.log.read(self.history.watermark))

    @precondition(lambda self: self.read is None and self.trained_upto and self.followed > 2)
    @rule()
    def read_newer_base(self) -> None:
        self.trainings += 1
        base = self.log.base(self.trained_upto.pop(0), f"model-{self.trainings}")
        self.read = (base, self.log.read(base.watermark))

    @precondition(lambda self: self.read is not None)
    @rule()
    def take(self) -> None:
        assert self.read is not None
        base, read = self.read
        if base is None:
            self.history.apply_feed(read.batch)
            self.followed += 1
        else:
            rebase(self.history, base, read.batch)
            self.newest = base
            self.followed = 0
        self.read = None
        ahead = {key: row for key, row in self.told.items() if not read.batch.watermark.covers(row.id, row.xact)}
        self.expected = read.rows | ahead

    @precondition(lambda self: self.read is None)
    @rule()
    def poll(self) -> None:
        self.read_feed()
        self.take()

    @precondition(lambda self: self.followed > 2)
    @rule()
    def start_anew(self) -> None:
        self.read = None
        self.followed = 0
        self.told.clear()
        read = self.log.read(self.newest.watermark)
        self.history.restart(self.newest, read.batch)
        self.expected = read.rows

    # -- what holds always --------------------------------------------------------------------------------------------

    @invariant()
    def every_row_is_held_once_and_no_other(self) -> None:
        h = self.history
        assert told(h.held.rows_since(""), h.types) == told_of(self.expected.values())

    @invariant()
    def a_user_has_their_rows(self) -> None:
        h = self.history
        for key in USER_KEYS:
            own = [row for row in self.expected.values() if row.user_key == key]
            assert sorted(h.held.events(key).values.tolist()) == sorted(row.value for row in own)
            assert h.held.size(key) == len(own)
            if own:
                assert h.user_key(user_id(key)) == key
            hidden = sorted(row.item_key for row in own if row.event_type == "dislike")
            assert sorted(h.seen_item_keys(key, now_us=99, only_hidden=True).tolist()) == hidden

    @invariant()
    def what_the_base_lacks_is_known(self) -> None:
        h, covers = self.history, self.newest.watermark.covers
        since = [row for row in self.expected.values() if not covers(row.id, row.xact)]
        if self.newest.name:
            assert told(h.held.rows_since(self.newest.name), h.types) == told_of(since)
        beside = [row for row in self.expected.values() if row.user_key in h.held.replaced or row in since]
        assert h.held.since_base() == len(beside)

    @invariant()
    def items_are_named_and_counted(self) -> None:
        shown = Counter(row.item_key for row in self.expected.values() if row.event_type == "view")
        assert popular(self.history) == pytest.approx(shown, abs=1e-6)
        for key in {row.item_key for row in self.expected.values()}:
            assert self.history.catalogue.item_id(key) == item_id(key)


TestFollowed = Followed.TestCase
TestFollowed.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


@pytest.mark.slow
class TestFollowedForLonger(Followed.TestCase):
    settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
