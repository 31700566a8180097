"""Lists that are asked for at the same time share a matrix product.

Requests that came in consecutive turns of the event loop are ranked together: alone, a request loses some twenty
microseconds; under load the items are read from memory once for all of them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from app.recommend.lists import Ranked
from app.recommend.ranking import Prepared
from app.recommend.recommender import Recommender

# With more items a product is left to a thread, so that the loop goes on with what is quick: of all it takes 5 ms.
ITEMS_ON_THE_LOOP = 250_000
MOST_TOGETHER = 32


class SharedRanking:
    """Ranks what has been prepared, together with what else was prepared meanwhile.

    For one event loop.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._waiting: list[tuple[Prepared, asyncio.Future[Ranked]]] = []
        self._in_thread = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ranking")

    async def ranked(self, prepared: Prepared) -> Ranked:
        """The list. Raises: what ranking raises."""
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Ranked] = loop.create_future()
        self._waiting.append((prepared, future))
        if len(self._waiting) == 1 and not self._in_thread:
            loop.call_soon(self._wait, 0)
        return await future

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False)

    def _wait(self, before: int) -> None:
        """Rank once no more requests came in a turn of the loop: those that come together are not all read in one."""
        if before < len(self._waiting) < MOST_TOGETHER:
            asyncio.get_running_loop().call_soon(self._wait, len(self._waiting))
        else:
            self._rank()

    def _rank(self) -> None:
        # Whoever has gone away meanwhile needs no list.
        waiting = [(prepared, future) for prepared, future in self._waiting if not future.done()]
        self._waiting = []
        if not waiting:
            return
        if self._recommender.items_of_model() <= ITEMS_ON_THE_LOOP:
            _hand_out(waiting, self._recommender)
            return
        self._in_thread = True
        done = asyncio.get_running_loop().run_in_executor(
            self._thread, self._recommender.rank, [prepared for prepared, _ in waiting]
        )
        done.add_done_callback(lambda lists: self._ranked_in_thread(waiting, lists))

    def _ranked_in_thread(
        self, waiting: list[tuple[Prepared, asyncio.Future[Ranked]]], lists: asyncio.Future[list[Ranked]]
    ) -> None:
        self._in_thread = False
        if (error := lists.exception()) is not None:
            _fail(waiting, error)
        else:
            _resolve(waiting, lists.result())
        self._rank()


def _hand_out(waiting: list[tuple[Prepared, asyncio.Future[Ranked]]], recommender: Recommender) -> None:
    try:
        lists = recommender.rank([prepared for prepared, _ in waiting])
    except Exception as error:  # whatever it was: those who wait must hear of it
        _fail(waiting, error)
    else:
        _resolve(waiting, lists)


def _resolve(waiting: list[tuple[Prepared, asyncio.Future[Ranked]]], lists: list[Ranked]) -> None:
    for (_, future), ranked in zip(waiting, lists, strict=True):
        if not future.done():
            future.set_result(ranked)


def _fail(waiting: list[tuple[Prepared, asyncio.Future[Ranked]]], error: BaseException) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)
