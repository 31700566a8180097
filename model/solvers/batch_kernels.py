"""Compiled loops of minibatches under dense Adam (``model.solvers.minibatch``). ``Tables`` are P, Q, b and c.

Letters used for shapes: U users, I items, D dimensions, B batch, K negatives of one positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.solvers.kernels import add_scaled, compiled, dot, loss_of

Table = NDArray[np.float32]
Tables = tuple[Table, Table, Table, Table]


@compiled
def add_gradients(
    users_B: NDArray[np.int64],
    items_B: NDArray[np.int64],
    negatives_BK: NDArray[np.int64],
    shares_B: NDArray[np.float64],
    tables: Tables,
    gradients: Tables,
    kind: int,
) -> float:
    """Add the gradients of a batch to their tables, and return its loss: the elements by their shares."""
    users_UD, items_ID, biases_U, biases_I = tables
    to_users_UD, to_items_ID, to_biases_U, to_biases_I = gradients
    total = 0.0
    for row in range(users_B.shape[0]):
        user, item = users_B[row], items_B[row]
        positive = dot(users_UD[user], items_ID[item]) + biases_U[user, 0] + biases_I[item, 0]
        hardest, negative = negatives_BK[row, 0], -np.inf
        for place in range(negatives_BK.shape[1]):
            other = negatives_BK[row, place]
            score = dot(users_UD[user], items_ID[other]) + biases_U[user, 0] + biases_I[other, 0]
            # What is not a number stays so.
            if not score <= negative:
                hardest, negative = other, score
        value, factor, by_positive, by_negative = loss_of(kind, positive, negative)
        total += shares_B[row] * (value + np.log(factor))
        up, down = np.float32(shares_B[row] * by_positive), np.float32(shares_B[row] * by_negative)
        if up != 0.0 or down != 0.0:
            add_scaled(to_users_UD[user], items_ID[item], up)
            add_scaled(to_users_UD[user], items_ID[hardest], down)
            add_scaled(to_items_ID[item], users_UD[user], up)
            add_scaled(to_items_ID[hardest], users_UD[user], down)
            to_biases_U[user, 0] += up + down
            to_biases_I[item, 0] += up
            to_biases_I[hardest, 0] += down
    return total


@compiled
def adam(
    values: Table,
    gradient: Table,
    mean: Table,
    square: Table,
    rate: np.float32,
    keep_mean: np.float32,
    keep_square: np.float32,
    scale: np.float32,
    eps: np.float32,
    l2: np.float32,
) -> None:
    """One step of Adam for all numbers of a table; the gradient is zero afterwards."""
    one = np.float32(1.0)
    for place in range(values.shape[0]):
        slope = gradient[place] + l2 * values[place]
        gradient[place] = 0.0
        moved = mean[place] + keep_mean * (slope - mean[place])
        spread = keep_square * square[place] + (one - keep_square) * slope * slope
        mean[place], square[place] = moved, spread
        values[place] -= rate * moved / (np.sqrt(spread) * scale + eps)
