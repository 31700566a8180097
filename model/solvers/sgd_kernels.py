"""Compiled loops of stochastic gradient descent, one interaction at a time (``model.solvers.sgd``).

An interaction is one number, user * 2^32 + item. ``tables`` are P, Q and c.

Letters used for shapes: N interactions, U users, I items, D dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.solvers import kernels
from model.solvers.kernels import compiled, dot, inlined, loss_of

Table = NDArray[np.float32]


class Known(NamedTuple):
    """The items of each user, and a filter of the pairs: a bit that is not set says no, one that is says perhaps.

    Attributes:
        indptr: int64, shape (U + 1,).
        items: ascending within a user, int32.
        bits: a power of two of bits, uint64.
        shift: what leaves of 64 bits the number of a bit.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    bits: NDArray[np.uint64]
    shift: np.uint64


WARP = 5
"""Beside the losses of ``kernels``."""

# Drawn before any of them is learnt from, so that their rows are on the way from memory meanwhile.
AHEAD, FAR_AHEAD = 128, 32
# A user who has nearly every item may have none left in a part: that interaction is then passed over.
MOST_TRIES = 64
COLUMNS_OF_A_LINE = 16
# Tables of more numbers than this do not stay in a core's cache.
NUMBERS_IN_CACHE = 2**18
# Beside a root that may be zero.
EPSILON = np.float32(1e-10)
# By which a counter goes on: 2^64 over the golden ratio, made odd.
STEP = np.uint64(0x9E3779B97F4A7C15)


@inlined
def _mixed(state: np.uint64) -> np.uint64:
    """A number without a visible pattern from a counter (SplitMix64; Steele et al. 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@inlined
def _place_of(user: int, item: int, shift: np.uint64) -> np.uint64:
    """Which bit of the filter stands for a pair."""
    pair = (np.uint64(user) << np.uint64(32)) ^ np.uint64(item)
    return (pair * STEP) >> shift


@compiled
def set_bits(users: NDArray[np.int64], items: NDArray[np.int64], bits: NDArray[np.uint64], shift: np.uint64) -> None:
    for pair in range(users.shape[0]):
        place = _place_of(users[pair], items[pair], shift)
        bits[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


@inlined
def _is_known(user: int, item: int, known: Known) -> bool:
    indptr, items, bits, shift = known
    place = _place_of(user, item, shift)
    if not (bits[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1):
        return False
    low, high = indptr[user], indptr[user + 1]
    while low < high:
        middle = (low + high) // 2
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < indptr[user + 1] and items[low] == item


@compiled
def grouped(
    users: NDArray[np.int64],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    weights: Table,
    part_of_item: NDArray[np.uint8],
    parts: int,
    pairs: NDArray[np.int64],
    sorted_weights: Table,
) -> NDArray[np.int64]:
    """Fill `pairs` and `sorted_weights` with the interactions of some users by parts of the items.

    Returns: where each part starts, and the last one ends, int64, shape (parts + 1,).
    """
    firsts = np.zeros(parts + 1, dtype=np.int64)
    for user in users:
        for row in range(starts[user], starts[user + 1]):
            firsts[np.int64(part_of_item[items[row]]) + 1] += 1
    firsts = np.cumsum(firsts)
    places = firsts.copy()
    for user in users:
        for row in range(starts[user], starts[user + 1]):
            part = np.int64(part_of_item[items[row]])
            place = places[part]
            places[part] = place + 1
            pairs[place] = (user << 32) | np.int64(items[row])
            if weights.shape[0]:
                sorted_weights[place] = weights[row]
    return firsts


@compiled
def shuffle(pairs: NDArray[np.int64], weights: Table, seed: np.uint64) -> None:
    """Put interactions into a random order, in place (Fisher and Yates)."""
    state = seed
    for place in range(pairs.shape[0] - 1, 0, -1):
        state += STEP
        other = np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(place + 1)) >> np.uint64(32))
        pairs[place], pairs[other] = pairs[other], pairs[place]
        if weights.shape[0]:
            weights[place], weights[other] = weights[other], weights[place]


@inlined
def _place(others: NDArray[np.int64], other: int) -> int:
    for place in range(others.shape[0]):
        if others[place] == other:
            return place
    return others.shape[0]


@inlined
def _first_too_close(
    user: int, item: int, others: NDArray[np.int64], tables: tuple[Table, Table, Table]
) -> tuple[int, float]:
    """The first drawn item that scores above the positive less 1, and by how much; -1 if there is none."""
    users_UD, items_ID, biases_I = tables
    positive = dot(users_UD[user], items_ID[item]) + biases_I[item, 0]
    for place in range(others.shape[0]):
        other = others[place]
        if other >= 0:
            margin = dot(users_UD[user], items_ID[other]) + biases_I[other, 0] - positive + 1.0
            # Asked this way round, what is not a number is passed on.
            if not margin <= 0.0:
                return other, margin
    return -1, 0.0


@inlined
def _adagrad_step(
    user: int,
    item: int,
    other: int,
    tables: tuple[Table, Table, Table],
    squares: tuple[Table, Table, Table],
    up: np.float32,
    down: np.float32,
    rate: np.float32,
    l2: np.float32,
) -> None:
    """As the plain step, each number's step over the root of its summed squared gradients."""
    users_UD, items_ID, biases_I = tables
    squares_UD, squares_ID, squares_I = squares
    for column in range(users_UD.shape[1]):
        x, chosen, unseen = users_UD[user, column], items_ID[item, column], items_ID[other, column]
        by_x, by_chosen, by_unseen = up * chosen + down * unseen + l2 * x, up * x + l2 * chosen, down * x + l2 * unseen
        squares_UD[user, column] += by_x * by_x
        squares_ID[item, column] += by_chosen * by_chosen
        squares_ID[other, column] += by_unseen * by_unseen
        users_UD[user, column] = x - rate * by_x / (np.sqrt(squares_UD[user, column]) + EPSILON)
        items_ID[item, column] = chosen - rate * by_chosen / (np.sqrt(squares_ID[item, column]) + EPSILON)
        items_ID[other, column] = unseen - rate * by_unseen / (np.sqrt(squares_ID[other, column]) + EPSILON)
    for row, slope in ((item, up), (other, down)):
        by_bias = slope + l2 * biases_I[row, 0]
        squares_I[row, 0] += by_bias * by_bias
        biases_I[row, 0] -= rate * by_bias / (np.sqrt(squares_I[row, 0]) + EPSILON)


@compiled
def learn(
    pairs: NDArray[np.int64],
    weights: Table,
    drawn_from: NDArray[np.int32],
    known: Known,
    tables: tuple[Table, Table, Table],
    squares: tuple[Table, Table, Table],
    kind: int,
    adagrad: bool,
    rate: np.float32,
    l2: np.float32,
    most_drawn: int,
    seed: np.uint64,
) -> float:
    """Learn from some interactions, and return the sum of their losses."""
    users_UD, items_ID, biases_I = tables
    dimensions = items_ID.shape[1]
    state, total = seed, 0.0
    pairwise = kind != kernels.POINTWISE and kind != kernels.LOGISTIC  # noqa: PLR1714 - numba has no sets here
    drawn = most_drawn if kind == WARP else 1
    others = np.empty((AHEAD, drawn), dtype=np.int64)
    # Rows that are not in the cache are asked for ahead of time, since each is waited for otherwise.
    far, asked = users_UD.size + items_ID.size > NUMBERS_IN_CACHE, np.float32(0.0)
    ahead = FAR_AHEAD if far else AHEAD
    for start in range(0, pairs.shape[0], ahead):
        count = min(ahead, pairs.shape[0] - start)
        for place in range(count):
            user, item = pairs[start + place] >> 32, pairs[start + place] & 0xFFFFFFFF
            for draw in range(drawn):
                other = np.int64(-1)
                for _ in range(MOST_TRIES):
                    state += STEP
                    point = ((_mixed(state) >> np.uint64(32)) * np.uint64(drawn_from.shape[0])) >> np.uint64(32)
                    found = np.int64(drawn_from[point])
                    if not _is_known(user, found, known):
                        other = found
                        break
                others[place, draw] = other
            for column in range(0, dimensions if far else 0, COLUMNS_OF_A_LINE):
                asked += items_ID[max(others[place, 0], 0), column] + items_ID[item, column] + users_UD[user, column]
        product = 1.0
        for place in range(count):
            user, item, other = pairs[start + place] >> 32, pairs[start + place] & 0xFFFFFFFF, others[place, 0]
            if other < 0:
                continue
            weight = weights[start + place] if weights.shape[0] else np.float32(1.0)
            if kind == WARP:
                other, value = _first_too_close(user, item, others[place], tables)
                if other < 0:
                    continue
                rank = np.log1p(np.floor((items_ID.shape[0] - 1) / (1.0 + _place(others[place], other))))
                value, by_positive, by_negative = rank * value, -rank, rank
            else:
                positive, negative = np.float32(0.0), np.float32(0.0)
                if pairwise:
                    # Only the difference matters: one sum instead of two.
                    for column in range(dimensions):
                        positive += users_UD[user, column] * (items_ID[item, column] - items_ID[other, column])
                else:
                    for column in range(dimensions):
                        positive += users_UD[user, column] * items_ID[item, column]
                        negative += users_UD[user, column] * items_ID[other, column]
                value, factor, by_positive, by_negative = loss_of(
                    kind, positive + biases_I[item, 0], negative + biases_I[other, 0]
                )
                if weights.shape[0]:
                    value += np.log(factor)
                else:
                    product *= factor
            total += weight * value
            up, down = np.float32(weight * by_positive), np.float32(weight * by_negative)
            if up == 0.0 and down == 0.0:
                continue
            if adagrad:
                _adagrad_step(user, item, other, tables, squares, up, down, rate, l2)
                continue
            for column in range(dimensions):
                x, chosen, unseen = users_UD[user, column], items_ID[item, column], items_ID[other, column]
                users_UD[user, column] = x - rate * (up * chosen + down * unseen + l2 * x)
                items_ID[item, column] = chosen - rate * (up * x + l2 * chosen)
                items_ID[other, column] = unseen - rate * (down * x + l2 * unseen)
            biases_I[item, 0] -= rate * (up + l2 * biases_I[item, 0])
            biases_I[other, 0] -= rate * (down + l2 * biases_I[other, 0])
        total += np.log(product)
    return total + 0.0 * asked  # so that the asking is not optimised away
