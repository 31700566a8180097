"""A version's popularity as of now, against the sum that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.append import StoredInteraction
from app.live.freshness import fresh_candidates
from app.live.history import History
from model.served import ServedModel
from tests.app.live.events import appended, base, batch, rebase, record, row, upto
from tests.app.live.versions import MINUTE_US, NAME, NOW_US, fresh, shown, started, version

HALF_LIFE_US = 60 * MINUTE_US
WEIGHTS = {"dislike": "hide"}
FILMS = {11: ["film"], 12: ["book", "film"]}


def slow_popularity(
    served: ServedModel, rows: Sequence[StoredInteraction], *, trained: int
) -> tuple[float, dict[int, float]]:
    """The moment that counts as now, and r of each item, after a training of so many rows and all rows since."""
    said = []
    for kind, user, item in {(r.event_type, r.user_key, r.item_key) for r in rows}:
        of_pair = [r for r in rows if (r.user_key, r.item_key) == (user, item)]
        hides_us = [r.occurred_us for r in of_pair if r.event_type == "dislike"]
        if kind != "dislike":
            times = sorted(r.occurred_us for r in of_pair if r.event_type == kind)
            apart = times[:1] + [later for earlier, later in pairwise(times) if later - earlier >= MINUTE_US]
            said += [(item, at) for at in apart if not any(at <= hidden for hidden in hides_us)]
    late = max(1, min(max(10, (trained + len(said)) // 1_000), (trained + len(said)) // 20))
    now_us = served.policy.popularity_now_us
    if not trained and said:
        now_us = sorted(at for _, at in said)[-late]
    elif len(said) >= late:
        now_us = max(now_us, sorted(at for _, at in said)[-late])
    half_life_us = served.policy.popularity_half_life_us
    share = 1.0 if half_life_us is None else 2 ** (-(now_us - served.policy.popularity_now_us) / half_life_us)
    found = {
        key: r * share * (trained > 0) for key, r in zip(served.item_keys.tolist(), served.popularity, strict=True)
    }
    for item, at in said:
        age_us = max(now_us - at, 0)
        found[item] = found.get(item, 0.0) + (1.0 if half_life_us is None else 2 ** (-age_us / half_life_us))
    return float(now_us), found


def of_training(count: int) -> list[StoredInteraction]:
    return [row(number + 1, 1 + number % 3, 11 + number % 3, at=NOW_US - number * MINUTE_US) for number in range(count)]


FACTS = st.tuples(
    st.integers(1, 4),
    st.sampled_from((11, 12, 13, 20, 21)),
    st.sampled_from(("view", "buy", "dislike")),
    st.integers(-40, 160).map(lambda halves: NOW_US + halves * MINUTE_US // 2),
)


def numbered(facts: Sequence[tuple[int, int, str, int]]) -> list[StoredInteraction]:
    return [row(100 + n, user, item, event_type=kind, at=at) for n, (user, item, kind, at) in enumerate(facts)]


@given(st.lists(FACTS, max_size=40), st.sampled_from((30, 400)), st.sampled_from((None, HALF_LIFE_US)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_popularity_goes_on_as_the_sum_says(
    facts: list[tuple[int, int, str, int]], trained: int, half_life_us: float | None, continues: bool
) -> None:
    earlier, rows = of_training(trained), numbered(facts)
    served = version(half_life_us=half_life_us, event_weights=WEIGHTS)
    candidates = fresh_candidates(served, NAME if continues else "model-0", started(*rows, trained=earlier))
    counted = rows if continues else [*earlier, *rows]
    now_us, expected = slow_popularity(served, counted, trained=trained if continues else 0)
    expected |= {r.item_key: 0.0 for r in rows if r.item_key not in expected}
    found = {key: each.popularity for key, each in shown(candidates).items()}
    assert candidates.now_us == now_us
    assert found == pytest.approx(expected, rel=1e-9)


@given(st.lists(FACTS, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_what_is_listed_depends_neither_on_the_order_of_the_rows_nor_on_a_restart(
    facts: list[tuple[int, int, str, int]], random: Random
) -> None:
    trained, rows = of_training(30), numbered(facts)
    served = version(half_life_us=HALF_LIFE_US, event_weights=WEIGHTS)
    records = [record(20, categories=("film",)), record(22, categories=("book", "film"))]
    lists = [fresh(served, started(*rows, trained=trained, records=records, categories=FILMS))]
    for most_since in (3, 100):
        h = started(trained=trained, categories=FILMS, most_since=most_since)
        left = list(rows)
        random.shuffle(left)
        own, left = left[:5], left[5:]
        h.apply(appended(*own))
        while left:
            # In any order, as on PostgreSQL: the watermark stays below all of them.
            several, left = left[:4], left[4:]
            h.apply_feed(batch(*several, watermark=upto(30)))
        h.apply_feed(batch(*own, items=records, watermark=upto(200)))
        lists.append(fresh(served, h))
    assert lists[0] == lists[1] == lists[2]


def test_sums_are_of_the_same_bits_whatever_order_their_rows_came_in() -> None:
    times = np.random.default_rng(1).integers(0, 200 * HALF_LIFE_US, 300)
    rows = [row(100 + n, 10 + n, 11, at=NOW_US - int(at)) for n, at in enumerate(times)]
    served = version(half_life_us=100.0 * HALF_LIFE_US)
    first, second = (started(*rows, trained=of_training(30), most_since=most_since) for most_since in (0, 1_000))
    third = started(trained=of_training(30))
    for one in reversed(rows):
        third.apply_feed(batch(one, watermark=upto(30)))
    assert fresh(served, first) == fresh(served, second) == fresh(served, third)


def test_rows_of_the_training_are_not_counted_again_after_its_history_was_taken_up() -> None:
    trained, served = of_training(30), version()
    h = started(trained=[])
    h.apply_feed(batch(*trained, row(50, 1, 11), watermark=upto(50)))
    rebase(h, base(*trained, name=NAME), batch(row(50, 1, 11), watermark=upto(50)))
    found = fresh(served, h)
    of_training_and_since = (served.popularity + np.array([1, 0, 0])).tolist()
    assert [found[key].popularity for key in (11, 12, 13)] == of_training_and_since


def test_going_back_to_an_older_version_counts_every_row_by_its_own_half_life() -> None:
    h = started(row(50, 1, 11, at=NOW_US + 2 * MINUTE_US), trained=of_training(30))
    served = version()
    now = {key: each.popularity for key, each in fresh(served, h, "model-0").items()}
    assert now == {11: 11.0, 12: 10.0, 13: 10.0}


def test_a_few_rows_of_the_future_do_not_age_all_others() -> None:
    trained, served = of_training(400), version(half_life_us=HALF_LIFE_US)
    ahead = [row(500 + n, 1, 12, at=NOW_US + 1_000 * HALF_LIFE_US + n * MINUTE_US) for n in range(10)]
    few, many = (fresh(served, started(*rows, trained=trained)) for rows in (ahead[:9], ahead))
    assert few[11].popularity == served.popularity[0]
    assert few[12].popularity == served.popularity[1] + 9
    assert many[11].popularity < 1e-200


def test_a_deleted_row_that_came_since_is_not_popular_any_more() -> None:
    trained, served = of_training(30), version()
    h = started(row(50, 1, 11), row(51, 2, 11), trained=trained)
    assert fresh(served, h)[11].popularity == served.popularity[0] + 2
    h.apply_feed(batch(watermark=upto(51, 1), deleted={1: [r for r in trained if r.user_key == 1]}))
    assert fresh(served, h)[11].popularity == served.popularity[0] + 1


def test_own_writes_count_before_the_feed_brings_them() -> None:
    served, h = version(), started(trained=of_training(30))
    h.apply(appended(row(50, 4, 12)))
    assert fresh(served, h)[12].popularity == served.popularity[1] + 1
    h.apply_feed(batch(row(50, 4, 12), watermark=upto(50)))
    assert fresh(served, h)[12].popularity == served.popularity[1] + 1


def test_old_rows_do_not_turn_back_the_moment_of_a_training_whose_own_rows_are_gone() -> None:
    served = version(half_life_us=HALF_LIFE_US)
    candidates = fresh_candidates(served, NAME, started(row(1, 1, 11, at=NOW_US - HALF_LIFE_US)))
    assert candidates.now_us == NOW_US
    assert candidates.popularity.tolist() == (served.popularity + np.array([0.5, 0, 0])).tolist()


def test_a_version_of_a_store_without_rows_stays_as_it_was_trained() -> None:
    served = version(half_life_us=HALF_LIFE_US)
    h: History = started(records=[record(20)])
    candidates = fresh_candidates(served, NAME, h)
    assert candidates.now_us == served.policy.popularity_now_us
    assert candidates.popularity.tolist() == served.popularity.tolist()
