"""Waiting on the event loop for what the writer's thread commits.

Requests that share a commit are woken together: asyncio's own way from a thread's future to a loop's takes a system
call and a task for each of them, a fifth of what an upload costs.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from app.db.engine import StoreUnavailable
from app.db.interactions import Appended
from app.db.writer import Outcome


class _Awaited:
    """What one request waits for; the writer's thread says it."""

    __slots__ = ("_waking", "error", "result", "waiting")

    def __init__(self, waking: _Waking, waiting: asyncio.Future[Appended]) -> None:
        self._waking = waking
        self.waiting = waiting
        self.result: Appended | None = None
        self.error: BaseException | None = None

    def set_running_or_notify_cancel(self) -> bool:
        """Rows of a request that is over are not stored."""
        return not self.waiting.done()

    def set_result(self, result: Appended, /) -> None:
        """It is stored."""
        self.result = result
        self._waking.came(self)

    def set_exception(self, exception: BaseException | None, /) -> None:
        """It is not."""
        self.error = exception
        self._waking.came(self)

    def done(self) -> bool:
        """Whether one of the two was said."""
        return self.result is not None or self.error is not None


class _Waking:
    """What is there of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._came: deque[_Awaited] = deque()
        self._called = False

    def came(self, awaited: _Awaited) -> None:
        """In the writer's thread."""
        self._came.append(awaited)
        # The loop looks again for what comes after it has begun to look.
        if not self._called and (loop := self._loop()) is not None:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._called = False
        while self._came:
            awaited = self._came.popleft()
            if awaited.waiting.done():
                continue
            if awaited.result is not None:
                awaited.waiting.set_result(awaited.result)
            elif awaited.error is not None:
                awaited.waiting.set_exception(awaited.error)


_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waking] = weakref.WeakKeyDictionary()


async def acknowledged(submit: Callable[[Outcome], None], *, seconds: float) -> Appended:
    """What became of a submission, once it is committed.

    Rows that still wait when the caller stops waiting are not stored.

    Raises: StoreUnavailable when it takes longer; what `submit` raises, or the submission fails with.
    """
    loop = asyncio.get_running_loop()
    waking = _of_loops.get(loop)
    if waking is None:
        waking = _of_loops[loop] = _Waking(loop)
    waiting: asyncio.Future[Appended] = loop.create_future()
    submit(_Awaited(waking, waiting))
    timer = loop.call_later(seconds, _late, waiting, seconds)
    try:
        return await waiting
    finally:
        timer.cancel()


def _late(waiting: asyncio.Future[Appended], seconds: float) -> None:
    if not waiting.done():
        waiting.set_exception(StoreUnavailable(f"no commit within {seconds:g} s"))
