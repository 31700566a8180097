"""Items that came after a version's training: which of them are listed, and where among its vectors they belong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.live.freshness import MOST_TASTES, MOST_USERS, USUAL_TASTES, fresh_candidates
from app.live.history import History
from model.served import ServedModel
from tests.app.live.events import appended, batch, record, row, upto
from tests.app.live.versions import ITEM_KEYS, MINUTE_US, NAME, NOW_US, Shown, fresh, started, version
from tests.app.published import served_model

SERVED = version()
NEW = 20
FILMS = {11: ["film"], 12: ["film", "short"], 13: ["book"]}


def mean_of(*keys: int, served: ServedModel = SERVED) -> tuple[np.ndarray, float]:
    numbers = [ITEM_KEYS.index(key) for key in keys]
    return served.item_vectors[numbers].astype(np.float64).mean(axis=0), float(served.item_biases[numbers].mean())


def assert_placed(found: Shown, vector: Sequence[float] | np.ndarray, bias: float) -> None:
    assert found.vector == pytest.approx(np.asarray(vector, dtype=np.float32).tolist(), rel=1e-6)
    assert found.bias == pytest.approx(bias, rel=1e-6)


def at_home(*user_item: tuple[int, int]) -> list:
    """Each user chose an item that the version knows."""
    return [row(1_000 + n, user, item, at=NOW_US - n * MINUTE_US) for n, (user, item) in enumerate(user_item)]


def popular(h: History) -> list[tuple[int, float]]:
    """Item keys and scores of the list that is the same for everybody, the best first."""
    candidates = fresh_candidates(SERVED, NAME, h)
    best = np.argsort(-candidates.popular_scores, kind="stable")
    return list(zip(candidates.keys(best).tolist(), candidates.popular_scores[best].tolist(), strict=True))


def test_a_new_item_is_among_the_popular_ones_though_nobody_chose_it_yet() -> None:
    h = started(trained=at_home((1, 11)))
    assert NEW not in fresh(SERVED, h)
    h.apply_feed(batch(items=[record(NEW)], watermark=upto(1_000, 1)))
    assert fresh(SERVED, h)[NEW] == Shown(0.0, None, None)
    assert popular(h)[-1] == (NEW, 0.0)


def test_a_new_item_rises_among_the_popular_ones_as_it_is_chosen() -> None:
    rows = [row(n, 50 + n, NEW, at=NOW_US) for n in range(10)]
    h = started(*rows)
    assert popular(h)[0] == (NEW, np.float32(np.log1p(10.0)))


def test_an_own_write_brings_its_new_item() -> None:
    h = started()
    h.apply(appended(row(1, 9, NEW)))
    assert fresh(SERVED, h)[NEW] == Shown(1.0, None, None)


@pytest.mark.parametrize("gone", [{"deleted": True}, {"hidden": True}])
def test_a_deleted_or_hidden_new_item_is_listed_nowhere_until_it_is_put_again(gone: dict[str, bool]) -> None:
    h = started(row(1, 9, NEW), row(2, 1, NEW), *at_home((1, 11)), records=[record(NEW, **gone)])
    assert fresh(SERVED, h).keys() == {*ITEM_KEYS}
    h.apply_feed(batch(items=[record(NEW)], watermark=upto(2_000, 1)))
    assert fresh(SERVED, h)[NEW].popularity == 2.0
    h.apply_feed(batch(items=[record(NEW, **gone)], watermark=upto(2_000, 2)))
    assert fresh(SERVED, h).keys() == {*ITEM_KEYS}


def test_an_item_that_is_not_available_yet_has_its_place_already() -> None:
    h = started(records=[record(NEW, categories=("film",), available_from_us=NOW_US + 1)], categories=FILMS)
    assert_placed(fresh(SERVED, h)[NEW], *mean_of(11, 12))


def test_a_new_item_belongs_where_its_category_is() -> None:
    h = started(records=[record(NEW, categories=("film",)), record(21, categories=("book",))], categories=FILMS)
    found = fresh(SERVED, h)
    assert_placed(found[NEW], *mean_of(11, 12))
    assert_placed(found[21], *mean_of(13))
    assert found[NEW].popularity == 0.0


def test_of_several_categories_each_counts_the_same() -> None:
    h = started(records=[record(NEW, categories=("film", "book", "unheard"))], categories=FILMS)
    (films, film_bias), (books, book_bias) = mean_of(11, 12), mean_of(13)
    assert_placed(fresh(SERVED, h)[NEW], (films + books) / 2, (film_bias + book_bias) / 2)


def test_a_category_that_the_version_knows_no_item_of_tells_nothing() -> None:
    records = [record(NEW, categories=("unheard",)), record(21, categories=("unheard",))]
    found = fresh(SERVED, started(records=records, categories=FILMS))
    assert (found[NEW], found[21]) == (Shown(0.0, None, None), Shown(0.0, None, None))


def test_a_category_is_where_its_items_are_by_their_records_of_now() -> None:
    h = started(records=[record(NEW, categories=("film",))], categories=FILMS)
    h.apply_feed(batch(items=[record(11, categories=("book",)), record(13, categories=("film",))], watermark=upto(0)))
    assert_placed(fresh(SERVED, h)[NEW], *mean_of(12, 13))


def test_a_new_item_without_categories_belongs_between_its_users_tastes_and_the_mean_of_all() -> None:
    h = started(*at_home((7, 11), (8, 13)), row(1, 7, NEW), row(2, 8, NEW))
    tastes = mean_of(11)[0] + mean_of(13)[0]
    usual, bias = mean_of(*ITEM_KEYS)
    assert_placed(fresh(SERVED, h)[NEW], (tastes + USUAL_TASTES * usual) / (2 + USUAL_TASTES), bias)


def test_a_new_item_with_categories_is_drawn_from_their_mean_to_its_users_tastes() -> None:
    h = started(*at_home((7, 13)), row(1, 7, NEW), records=[record(NEW, categories=("film",))], categories=FILMS)
    usual, bias = mean_of(11, 12)
    assert_placed(fresh(SERVED, h)[NEW], (mean_of(13)[0] + USUAL_TASTES * usual) / (1 + USUAL_TASTES), bias)


def test_what_a_user_did_before_the_training_is_part_of_their_taste() -> None:
    before, since = (
        started(row(2_000, 1, NEW), *rows, trained=trained)
        for rows, trained in (((), at_home((1, 11), (1, 12))), (at_home((1, 11), (1, 12)), ()))
    )
    assert fresh(SERVED, before)[NEW].vector == fresh(SERVED, since)[NEW].vector
    assert fresh(SERVED, before)[NEW].vector is not None


def test_users_at_home_nowhere_do_not_place_an_item() -> None:
    h = started(row(1, 7, NEW), row(2, 7, 21))
    assert fresh(SERVED, h)[NEW] == Shown(1.0, None, None)
    assert fresh(SERVED, h)[21] == Shown(1.0, None, None)


def test_a_user_who_chose_an_item_often_counts_once_and_one_who_hid_it_does_not() -> None:
    served = version(event_weights={"dislike": "hide"})
    often = [row(10 + n, 7, NEW, at=NOW_US + n * MINUTE_US) for n in range(5)]
    hidden = row(50, 8, NEW, event_type="dislike", at=NOW_US)
    found = fresh(served, started(*at_home((7, 11), (8, 13)), *often, hidden))[NEW]
    usual, bias = mean_of(*ITEM_KEYS)
    assert_placed(found, (mean_of(11)[0] + USUAL_TASTES * usual) / (1 + USUAL_TASTES), bias)
    assert found.popularity == 5.0


def test_the_newest_users_of_an_item_say_where_it_belongs() -> None:
    late = range(100, 100 + MOST_USERS)
    homes = at_home(*((user, 11) for user in late), (7, 13))
    chosen = [row(n, user, NEW, at=NOW_US + n) for n, user in enumerate(late)]
    usual, bias = mean_of(*ITEM_KEYS)
    expected = (MOST_USERS * mean_of(11)[0] + USUAL_TASTES * usual) / (MOST_USERS + USUAL_TASTES)
    assert_placed(fresh(SERVED, started(*homes, *chosen, row(500, 7, NEW, at=NOW_US - 1)))[NEW], expected, bias)
    # As the newest one that user takes the place of another.
    other = fresh(SERVED, started(*homes, *chosen, row(500, 7, NEW, at=NOW_US + MOST_USERS)))[NEW]
    expected += (mean_of(13)[0] - mean_of(11)[0]) / (MOST_USERS + USUAL_TASTES)
    assert_placed(other, expected, bias)


def test_a_flood_of_new_items_looks_up_the_tastes_of_so_many_users_at_most() -> None:
    users = range(100, 100 + MOST_TASTES + 1)
    homes = at_home(*((user, 11) for user in users))
    # Each new item has users of its own; the last one has the one user beyond the bound.
    chosen = [row(n, user, NEW + n // MOST_USERS, at=NOW_US) for n, user in enumerate(users)]
    found = fresh(SERVED, started(*homes, *chosen, most_since=0))
    placed = {key for key, each in found.items() if key >= NEW and each.vector is not None}
    assert placed == {NEW + n for n in range(MOST_TASTES // MOST_USERS)}
    assert found[NEW + MOST_TASTES // MOST_USERS] == Shown(1.0, None, None)


def test_the_candidates_of_new_items_stand_behind_the_version_s_placed_ones_first() -> None:
    h = started(
        *(row(1, 9, 24), row(2, 9, 22)),
        records=[record(25, categories=("film",)), record(21, categories=("book",)), record(23)],
        categories=FILMS,
    )
    candidates = fresh_candidates(SERVED, NAME, h)
    assert candidates.keys(np.arange(len(candidates))).tolist() == [11, 12, 13, 21, 25, 22, 23, 24]
    assert candidates.num_scored == 5
    assert candidates.new.popularity.tolist() == [0, 0, 1, 0, 1]


def test_an_item_that_the_next_version_knows_is_no_new_one_any_more() -> None:
    h = started(row(1, 7, NEW), records=[record(NEW, categories=("film",))], categories=FILMS)
    served = served_model([1, 2, 3], [*ITEM_KEYS, NEW])
    found = fresh(served, h)
    assert list(found) == [*ITEM_KEYS, NEW]
    assert found[NEW].vector == served.item_vectors[3].tolist()
    assert fresh_candidates(served, NAME, h).new.keys.tolist() == []
