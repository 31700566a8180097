from __future__ import annotations

import os
import sys
import threading

import pytest

from app.threads import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness of single threads")
def test_one_thread_gives_way_and_the_others_do_not() -> None:
    found = []

    def run() -> None:
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert found == [max(10, before)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
