"""Lists that are asked for together are ranked together, and each hears of its own outcome."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from app.recommend import Ranked, SharedRanking
from app.recommend.sharing import MOST_TOGETHER


class Counting:
    """A recommender that ranks numbers and remembers which it was given together."""

    def __init__(self, *, items: int = 10) -> None:
        self.items = items
        self.together: list[list[Any]] = []

    def items_of_model(self) -> int:
        return self.items

    def rank(self, lists: list[Any]) -> list[Ranked]:
        self.together.append(list(lists))
        if "broken" in lists:
            raise ZeroDivisionError
        return [Ranked(each, "model", []) for each in lists]


class Held(Counting):
    """One that ranks nothing before it may go on."""

    def __init__(self, *, items: int) -> None:
        super().__init__(items=items)
        self.go_on = threading.Event()

    def rank(self, lists: list[Any]) -> list[Ranked]:
        try:
            return super().rank(lists)
        finally:
            assert self.go_on.wait(10)


def ranking(recommender: Counting) -> SharedRanking:
    return SharedRanking(recommender)  # type: ignore[arg-type]  # what it needs of one


@pytest.mark.parametrize("items", [10, 10**6])
def test_lists_of_one_moment_are_ranked_together_and_each_gets_its_own(items: int) -> None:
    recommender = Counting(items=items)

    async def ask() -> list[Ranked]:
        sharing = ranking(recommender)
        try:
            return await asyncio.gather(*(sharing.ranked(number) for number in range(7)))  # type: ignore[arg-type]
        finally:
            sharing.close()

    assert [ranked.model_version for ranked in asyncio.run(ask())] == list(range(7))
    assert recommender.together == [list(range(7))]


def test_what_comes_while_a_thread_ranks_is_ranked_after_it() -> None:
    recommender = Counting(items=10**6)

    async def ask() -> None:
        sharing = ranking(recommender)
        first = asyncio.ensure_future(sharing.ranked(0))  # type: ignore[arg-type]
        while not recommender.together:
            await asyncio.sleep(0)
        later = [asyncio.ensure_future(sharing.ranked(number)) for number in (1, 2)]  # type: ignore[arg-type]
        await asyncio.gather(first, *later)
        sharing.close()

    asyncio.run(ask())
    assert [sorted(each) for each in recommender.together] == [[0], [1, 2]]


@pytest.mark.parametrize("items", [10, 10**6])
def test_all_who_wait_hear_of_a_failure_and_the_next_are_ranked(items: int) -> None:
    recommender = Counting(items=items)

    async def ask() -> list[object]:
        sharing = ranking(recommender)
        failed = await asyncio.gather(
            sharing.ranked("broken"),  # type: ignore[arg-type]
            sharing.ranked(1),  # type: ignore[arg-type]
            return_exceptions=True,
        )
        after = await sharing.ranked(2)  # type: ignore[arg-type]
        sharing.close()
        return [*failed, after.model_version]

    first, second, after = asyncio.run(ask())
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, ZeroDivisionError)
    assert after == 2


def test_a_list_that_nobody_waits_for_any_more_is_not_ranked() -> None:
    recommender = Counting()

    async def ask() -> None:
        sharing = ranking(recommender)
        gone = asyncio.ensure_future(sharing.ranked("gone"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        gone.cancel()
        await sharing.ranked("here")  # type: ignore[arg-type]
        sharing.close()

    asyncio.run(ask())
    assert recommender.together == [["here"]]


def test_one_ranking_serves_event_loops_one_after_the_other() -> None:
    recommender = Counting()
    sharing = ranking(recommender)
    for number in range(3):
        assert asyncio.run(sharing.ranked(number)).model_version == number  # type: ignore[arg-type]


@pytest.mark.parametrize("items", [10, 10**6])
def test_what_comes_in_consecutive_turns_of_the_loop_is_ranked_together_up_to_a_number(items: int) -> None:
    recommender = Counting(items=items)
    count = MOST_TOGETHER + 8

    async def ask() -> list[int | None]:
        sharing = ranking(recommender)

        async def after(turns: int) -> int | None:
            for _ in range(turns):
                await asyncio.sleep(0)
            ranked = await sharing.ranked(turns)  # type: ignore[arg-type]
            return ranked.model_version

        try:
            return await asyncio.gather(*map(after, range(count)))
        finally:
            sharing.close()

    assert asyncio.run(ask()) == list(range(count))
    assert recommender.together[0] == list(range(MOST_TOGETHER))
    assert sorted(number for each in recommender.together for number in each) == list(range(count))


def test_who_goes_away_while_a_thread_ranks_takes_nothing_from_the_others() -> None:
    recommender = Held(items=10**6)

    async def ask() -> list[int | None]:
        sharing = ranking(recommender)
        gone, here = (asyncio.ensure_future(sharing.ranked(number)) for number in (1, 2))  # type: ignore[arg-type]
        while not recommender.together:
            await asyncio.sleep(0)
        waits = [asyncio.ensure_future(sharing.ranked(number)) for number in (3, 4)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        gone.cancel()
        waits[0].cancel()
        recommender.go_on.set()
        found = [(await each).model_version for each in (here, waits[1])]
        sharing.close()
        return found

    assert asyncio.run(ask()) == [2, 4]
    assert recommender.together == [[1, 2], [4]]


def test_a_failure_in_a_thread_does_not_reach_those_who_came_meanwhile() -> None:
    recommender = Held(items=10**6)

    async def ask() -> tuple[BaseException | None, int | None]:
        sharing = ranking(recommender)
        broken = asyncio.ensure_future(sharing.ranked("broken"))  # type: ignore[arg-type]
        while not recommender.together:
            await asyncio.sleep(0)
        later = asyncio.ensure_future(sharing.ranked(5))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        recommender.go_on.set()
        found = (await later).model_version
        sharing.close()
        return broken.exception(), found

    error, found = asyncio.run(ask())
    assert isinstance(error, ZeroDivisionError)
    assert found == 5
