"""What a version makes of a user: kept until the next interaction, made again of the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.live.seen import EventTypes
from app.recommend import Wanted
from app.recommend.known_users import KnownUser, KnownUsers
from model.policy import Repeats
from model.positives import EventWeights, TypeWeights
from tests.app.recommend.worlds import (
    DAY_US,
    ITEMS,
    NOW_US,
    TRAINED_US,
    Event,
    World,
    bits,
    ids,
    item_id,
    user_id,
)

ALL = Wanted(limit=100)
TRAINED = [Event(user, key) for user in range(1, 7) for key in (user, user + 10, user + 20)]


def known(world: World, users: KnownUsers, key: int) -> KnownUser:
    return users.get(key, world.live.current())


def vector(world: World, user: KnownUser) -> NDArray[np.float32]:
    return user.factors(world.live.current().served).vector


def test_a_user_is_kept_until_the_next_interaction() -> None:
    world = World(TRAINED)
    users = KnownUsers(world.history)
    first, other = known(world, users, 1), known(world, users, 2)
    assert known(world, users, 1) is first
    world.interact(1, 30)
    second = known(world, users, 1)
    assert second is not first
    assert known(world, users, 1) is second
    assert known(world, users, 2) is other
    assert (first.source, second.source) == ("model", "fold_in")
    assert not np.array_equal(vector(world, first), vector(world, second))


def test_a_later_interaction_changes_the_next_list_and_where_it_comes_from() -> None:
    world = World(TRAINED)
    before = world.recommender.for_user("user-1", ALL)
    world.interact(1, 30)
    after = world.recommender.for_user("user-1", ALL)
    assert (before.source, after.source) == ("model", "fold_in")
    assert set(ids(before)) - set(ids(after)) == {"item-30"}
    scores = {item.item_id: item.score for item in before.items}
    assert any(item.score != scores[item.item_id] for item in after.items)


def test_a_user_whose_history_is_the_training_s_has_the_vector_that_it_made() -> None:
    vectors = np.arange(48, dtype=np.float32).reshape(6, 8)
    world = World(TRAINED, user_vectors=vectors, user_groups=np.full(6, 3, dtype=np.uint8))
    factors = known(world, KnownUsers(world.history), 2).factors(world.live.current().served)
    assert np.array_equal(factors.vector, vectors[1])
    assert factors.group == 3


def test_a_user_who_only_disliked_something_since_has_the_same_taste_and_another_list() -> None:
    world = World(TRAINED)
    before = known(world, KnownUsers(world.history), 1)
    world.interact(1, 30, event_type="dislike")
    after = known(world, KnownUsers(world.history), 1)
    assert np.array_equal(vector(world, before), vector(world, after))
    assert "item-30" not in ids(world.recommender.for_user("user-1", ALL))


def test_a_restart_gives_the_same_bits_of_everybody() -> None:
    world = World(TRAINED, policy={"repeats": Repeats(0.5, 3.0 * DAY_US), "fold_in_half_life_us": 2.0 * DAY_US})
    world.did(*(Event(user, 3 * user + day, at=TRAINED_US + day * DAY_US) for user in (1, 3, 7) for day in range(5)))
    world.did(Event(2, 30, "dislike"), Event(8, 3), Event(9, ITEMS + 1), Event(1, ITEMS + 1))
    world.followed()
    world.freshen()
    users = [user_id(key) for key in range(1, 11)]
    lists = world.recommender.for_users(users, ALL)
    again = world.restarted().recommender.for_users(users, ALL)
    assert list(map(bits, again)) == list(map(bits, lists))
    assert [each.source for each in again] == [each.source for each in lists]
    assert {each.source for each in lists} == {"model", "fold_in", "popular"}


def test_rows_that_became_a_table_give_the_same_bits_as_rows_on_their_own() -> None:
    events = [Event(user, 3 * user + day, at=TRAINED_US + day * DAY_US) for user in (1, 3, 7) for day in range(5)]
    alone, table = World(TRAINED), World(TRAINED, most_since=4)
    for world in (alone, table):
        world.did(*events)
        world.followed()
        world.freshen()
    assert (bool(alone.history.held.recent), bool(table.history.held.recent)) == (False, True)
    users = [user_id(key) for key in range(1, 9)]
    one, other = (world.recommender.for_users(users, ALL) for world in (alone, table))
    assert list(map(bits, one)) == list(map(bits, other))
    assert [each.source for each in one] == [each.source for each in other]


def test_the_order_in_which_interactions_came_does_not_matter() -> None:
    events = [Event(7, key, kind, at=TRAINED_US + key * DAY_US) for key in (3, 4, 5) for kind in ("view", "purchase")]
    one, other = World(TRAINED), World(TRAINED)
    one.did(*events)
    other.did(*reversed(events))
    assert bits(one.recommender.for_user("user-7", ALL)) == bits(other.recommender.for_user("user-7", ALL))


def test_what_was_taken_back_no_longer_speaks_and_may_be_listed_again() -> None:
    world = World(TRAINED)
    world.take_back(1)
    assert world.rows_of(1)[0].item_key == 11
    ranked = world.recommender.for_user("user-1", ALL)
    assert "item-1" in ids(ranked)
    # What is left was in the training.
    assert ranked.source == "model"
    fresh = World([Event(1, 11), Event(1, 21)])
    assert bits(ranked) == bits(fresh.recommender.for_user("user-1", ALL))


def test_an_interaction_in_place_of_one_that_was_taken_back_is_a_later_one() -> None:
    world = World(TRAINED)
    world.take_back(1)
    world.interact(1, 30)
    assert world.recommender.for_user("user-1", ALL).source == "fold_in"
    diagnosed = world.recommender.diagnose("user-1", ALL)
    assert (diagnosed.source, diagnosed.reason) == ("fold_in", "later_interactions")


def test_what_came_and_was_taken_back_again_does_not_make_the_list_a_later_one() -> None:
    world = World(TRAINED, most_since=0)
    world.interact(1, 30)
    world.followed()
    assert world.history.held.recent
    world.take_back(world.last_id)
    ranked = world.recommender.for_user("user-1", ALL)
    assert ranked.source == "model"
    assert bits(ranked) == bits(World(TRAINED).recommender.for_user("user-1", ALL))


def test_an_older_version_tells_another_interaction_from_the_one_that_it_replaces() -> None:
    world = World(TRAINED)
    old = world.live.current()
    before = world.recommender.for_user("user-1", Wanted(limit=100, include_seen=True))
    world.train(4)
    world.live.swap(old)
    world.take_back(1)
    world.interact(1, 30)
    after = world.recommender.for_user("user-1", Wanted(limit=100, include_seen=True))
    assert (before.source, after.source) == ("model", "fold_in")
    assert bits(before) != bits(after)


def test_without_the_training_s_history_users_are_as_trained_until_they_did_something_else() -> None:
    world = World(TRAINED)
    world.lose_base()
    users = KnownUsers(world.history)
    before = known(world, users, 1)
    assert before.source == "model"
    assert np.array_equal(vector(world, before), world.live.current().served.user_vectors[0])
    world.take_back(1)
    world.interact(1, 30)
    assert not np.array_equal(vector(world, known(world, users, 1)), vector(world, before))


def test_a_new_item_that_was_seen_before_it_could_be_listed_is_still_a_seen_one() -> None:
    world = World(TRAINED)
    world.interact(1, ITEMS + 1)
    assert item_id(ITEMS + 1) not in ids(world.recommender.for_user("user-1", ALL))
    world.freshen()
    assert item_id(ITEMS + 1) in ids(world.recommender.for_user("user-2", ALL))
    assert item_id(ITEMS + 1) not in ids(world.recommender.for_user("user-1", ALL))


@pytest.mark.parametrize("most_since", [20_000, 0])
def test_an_interaction_in_place_of_one_that_expired_changes_the_list(most_since: int) -> None:
    old = Event(1, 1, at=TRAINED_US - 300 * DAY_US)
    world = World([old, *TRAINED[1:]], most_since=most_since)
    world.expire(TRAINED_US - 200 * DAY_US)
    without = world.recommender.for_user("user-1", ALL)
    world.interact(1, 30)
    world.followed()
    assert bool(world.history.held.recent) is (most_since == 0)
    ranked = world.recommender.for_user("user-1", ALL)
    assert (without.source, ranked.source) == ("model", "fold_in")
    scores = {item.item_id: item.score for item in without.items}
    assert any(item.score != scores[item.item_id] for item in ranked.items)


def test_a_user_of_whom_nothing_is_left_gets_what_is_popular() -> None:
    world = World([Event(1, 1), Event(2, 2)])
    world.take_back(1)
    ranked = world.recommender.for_user("user-1", ALL)
    assert ranked.source == "popular"
    assert bits(ranked) == bits(world.recommender.popular(ALL))


def test_more_users_than_are_kept_are_made_again() -> None:
    world = World(TRAINED)
    users = KnownUsers(world.history, most_kept=2)
    first = known(world, users, 1)
    for key in (2, 3):
        known(world, users, key)
    again = known(world, users, 1)
    assert again is not first
    assert vector(world, again).tobytes() == vector(world, first).tobytes()


def test_another_version_makes_its_own_users() -> None:
    world = World(TRAINED)
    before = world.recommender.for_user("user-1", ALL)
    world.train(4, item_vectors=world.served_model().item_vectors[::-1].copy())
    after = world.recommender.for_user("user-1", ALL)
    assert (before.model_version, after.model_version) == (3, 4)
    assert bits(after) != bits(before)
    fresh = World(TRAINED, item_vectors=world.served_model().item_vectors)
    assert bits(after) == bits(fresh.recommender.for_user("user-1", ALL))


class Interrupting(EventTypes):
    """Types of events; while a user is made for the first time something else happens."""

    meanwhile = staticmethod(lambda: None)

    def weights(self, weights: EventWeights) -> TypeWeights:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().weights(weights)


def test_a_user_made_for_the_version_before_is_not_kept_for_the_one_that_came_meanwhile() -> None:
    world = World(TRAINED)
    world.interact(7, 4, 5)
    old, users = world.live.current(), KnownUsers(world.history)
    other = World(TRAINED, item_vectors=world.served_model().item_vectors[::-1].copy())
    new = other.live.current()
    types = Interrupting(world.rule)
    types.numbers(world.history.types.names)
    # Another thread answers with the version that came.
    types.meanwhile = lambda: users.get(2, new)
    world.history.types = types
    of_old = users.get(7, old)
    of_new = users.get(7, new)
    vector_of_new = of_new.factors(new.served).vector
    assert not np.array_equal(vector_of_new, of_old.factors(old.served).vector)
    assert np.array_equal(vector_of_new, KnownUsers(world.history).get(7, new).factors(new.served).vector)


def test_a_user_made_for_one_version_is_refused_by_another() -> None:
    world = World(TRAINED)
    user, other = known(world, KnownUsers(world.history), 1), World(TRAINED)
    with pytest.raises(ValueError, match="another version"):
        user.factors(other.live.current().served)


def test_repeats_are_counted_back_from_the_moment_of_the_candidates() -> None:
    policy = {"repeats": Repeats(2.0, 1.0 * DAY_US), "popularity_now_us": float(TRAINED_US)}
    world = World(TRAINED, repeats_included=True, policy=policy)
    before = world.recommender.predict("user-1", ["item-1"]).scores[0]
    # Enough newer rows of others make now a later moment.
    world.did(*(Event(100 + user, 40, at=NOW_US) for user in range(30)))
    world.freshen()
    after = world.recommender.predict("user-1", ["item-1"]).scores[0]
    assert after < before
