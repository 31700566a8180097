"""Holding rows of the store out: what the library needs to know about them, by numbers instead of keys.

Letters used for shapes: N events.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.training.dataset import Pairs, Positives
from model.evaluation.temporal import TemporalSplit, WidenedCut, renumbered, widened_cut
from model.interactions import Interactions
from model.policy_choice import Windows

# Fewer warm users than this after a cut in time say less than rows held out at random.
FEWEST_USERS_BY_TIME = 30
FEWEST_USERS = 5


class Split(NamedTuple):
    """Rows before a cut and rows held out; `by` says how they were told apart."""

    earlier: Positives
    later: Positives
    by: Literal["time", "random"]

    @property
    def cut_at_us(self) -> int:
        """The time of the oldest row held out."""
        return int(self.later.times_us.min())


def split(rows: Positives, *, generator: np.random.Generator) -> Split | None:
    """Hold out the newest 10 % of the rows, widened up to 30 % until 200 users with a history chose something new.

    Where time hardly tells (fewer than 30 such users: a file imported user by user), rows are drawn at random instead.
    Returns: the split, or None if there are fewer than 5 such users either way.
    """
    by_time = _cut(rows, rows.times_us)
    if by_time is not None and by_time.warm_users >= FEWEST_USERS_BY_TIME:
        return Split(rows.take(by_time.earlier), rows.take(by_time.later), "time")
    at_random = _cut(rows, generator.permutation(len(rows)))
    if at_random is not None and at_random.warm_users >= FEWEST_USERS:
        return Split(rows.take(at_random.earlier), rows.take(at_random.later), "random")
    return None


def by_number(rows: Positives, numbered: Pairs) -> Interactions:
    """The events behind `numbered`, by its numbers; timestamps are microseconds."""
    return Interactions(
        np.searchsorted(numbered.user_keys, rows.user_keys),
        np.searchsorted(numbered.item_keys, rows.item_keys),
        timestamps=rows.times_us,
        weights=rows.weights,
        num_users=len(numbered.user_keys),
        num_items=len(numbered.item_keys),
    )


def split_by_number(divided: Split, numbered: Pairs) -> TemporalSplit:
    """Both sides by the numbers of `numbered`, the pairs of the earlier rows."""
    later_users = renumbered(numbered.user_keys, divided.later.user_keys)
    later_items = renumbered(numbered.item_keys, divided.later.item_keys)
    return TemporalSplit(by_number(divided.earlier, numbered), later_users, later_items)


def open_windows(divided: TemporalSplit, *, most_users: int, generator: np.random.Generator) -> Windows:
    """What the held out rows say about the users of the earlier ones.

    Args:
        most_users: of more users than this that many are drawn; five times as many of everyone, who are ranked by
            popularity alone.
    """
    windows = Windows.of(divided)
    return Windows(
        windows.new_items.drawn(most_users, generator=generator),
        windows.repeats.drawn(most_users, generator=generator),
        windows.everyone.drawn(5 * most_users, generator=generator),
    )


def _cut(rows: Positives, order: NDArray[np.int64]) -> WidenedCut | None:
    return widened_cut(order, rows.user_keys, rows.item_keys)
