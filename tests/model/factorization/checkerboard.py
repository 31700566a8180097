"""Interactions with a known right answer: what every solver and every loss must learn."""

from __future__ import annotations

import numpy as np

from model import ImplicitFactorizationModel, Interactions


def checkerboard(side: int = 16) -> Interactions:
    """Even users like even items, odd users odd items; of every user's items one is held back."""
    pairs = [(u, i) for u in range(side) for i in range(side) if (u + i) % 2 == 0 and i != (u + 2) % side]
    users, items = np.array(pairs).T
    return Interactions(users, items, num_users=side, num_items=side)


def learnt(model: ImplicitFactorizationModel, side: int = 16) -> tuple[float, float]:
    """Shares of pairs (an item of the user's colour, one of the other) in the right order: all, and of those held back.

    0.5 is chance.
    """
    right, held_back_right = [], []
    for user in range(side):
        scores = model.predict(user)
        others = scores[(user + 1) % 2 :: 2]
        right.append((scores[user % 2 :: 2, None] > others).mean())
        held_back_right.append((scores[(user + 2) % side] > others).mean())
    return float(np.mean(right)), float(np.mean(held_back_right))
